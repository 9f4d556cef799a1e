# SPDX-License-Identifier: Apache-2.0
"""Requests to Glance by each form of its address, and answers that come slowly or refuse."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from drivers.image import glance
from drivers.image.glance import GlanceImages
from drivers.image.glance_client import api_address
from drivers.interface.errors import ImageCopyFailure, ImageLimitExceeded, ImageNotFound
from tests.scripted.glance_server import Answer, GlanceStandIn, Request, serving
from tests.servers import patient
from tests.servers.keystone import Keystone

pytest.importorskip("keystoneauth1")

IMAGE = {"id": "i1", "status": "active", "os_distro": "debian"}
DATA = bytes(range(256)) * 4096 * 3


def glance_of(version_document: Answer, root: str = "") -> Callable[[Request], Answer]:
    """Return the answers of a Glance below a path: only its API, and a document of versions."""

    def answer(request: Request) -> Answer:
        if request.path == f"{root}/v2/images/i1":
            return 200, {}, [json.dumps(IMAGE).encode()]
        if request.path == f"{root}/v2/images/i1/file" and request.method == "GET":
            return 200, {"Content-Length": str(len(DATA))}, [DATA]
        if request.path == f"{root}/v2/images/i1/file":
            return 204, {}, []
        return version_document

    return answer


REFUSED: Answer = 403, {}, [b"only /v2"]
NO_LINKS: Answer = (
    300,
    {},
    [json.dumps({"versions": [{"id": "v2.9", "status": "CURRENT"}]}).encode()],
)
FOREIGN_LINKS: Answer = (
    200,
    {},
    [
        json.dumps(
            {
                "versions": [
                    {
                        "id": "v2.9",
                        "status": "CURRENT",
                        "links": [{"rel": "self", "href": "http://192.0.2.1:1/v2/"}],
                    }
                ]
            }
        ).encode()
    ],
)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_PAUSE", 0.0)


@pytest.fixture
def slow() -> Iterator[Callable[[Iterator[bytes]], GlanceStandIn]]:
    """A function that runs a server, which sends these pieces as the body of any answer."""
    with serving(lambda _: (200, {}, iter(()))) as server:

        def slow(pieces: Iterator[bytes]) -> GlanceStandIn:
            server.answer = lambda _: (200, {}, pieces)
            return server

        yield slow


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("controller", "http://controller/v2"),
        ("controller:9292", "http://controller:9292/v2"),
        ("controller:9292/v2", "http://controller:9292/v2"),
        (" controller:9292/ ", "http://controller:9292/v2"),
        ("http://controller:9292", "http://controller:9292/v2"),
        ("http://controller:9292/v2", "http://controller:9292/v2"),
        ("http://controller:9292/v2/", "http://controller:9292/v2"),
        ("http://controller:9292/v2.9", "http://controller:9292/v2"),
        ("http://controller:9292/v1", "http://controller:9292/v2"),
        ("https://cloud/image", "https://cloud/image/v2"),
        ("https://cloud/image/v2/", "https://cloud/image/v2"),
        ("https://v2/", "https://v2/v2"),
        ("HTTPS://Cloud/Image/V2/", "HTTPS://Cloud/Image/v2"),
        ("https://[2001:db8::1]:9292/v2", "https://[2001:db8::1]:9292/v2"),
        ("[2001:db8::1]:9292", "http://[2001:db8::1]:9292/v2"),
    ],
)
def test_the_address_of_the_api(text: str, address: str) -> None:
    assert api_address.of(text) == address


def test_a_list_of_addresses_with_a_comma_too_many() -> None:
    with serving(glance_of(REFUSED)) as server:
        images = server.client("", f"http://{server.place}", " ")

        images.update(None, "i1", {}, iter([b"a"]))

    assert [request.method for request in server.requests] == ["PUT", "GET"]


@pytest.mark.parametrize("versions", [REFUSED, NO_LINKS, FOREIGN_LINKS], ids=["403", "no", "bad"])
@pytest.mark.parametrize(
    ("form", "root"),
    [
        ("{place}", ""),
        ("{place}/v2", ""),
        ("http://{place}", ""),
        ("http://{place}/v2", ""),
        ("http://{place}/v2/", ""),
        ("http://{place}/image/v2", "/image"),
    ],
)
def test_each_form_of_an_address_works(versions: Answer, form: str, root: str) -> None:
    with serving(glance_of(versions, root)) as server:
        images = server.client(form.format(place=server.place))

        assert images.show(None, "i1")["properties"] == {"os_distro": "debian"}
        assert b"".join(images.download(None, "i1") or ()) == DATA
        images.update(None, "i1", {}, iter([b"a", b"b"]))

    paths = {request.path for request in server.requests}
    assert paths == {f"{root}/v2/images/i1", f"{root}/v2/images/i1/file"}


@pytest.mark.parametrize("form", ["http://{place}", "http://{place}/v2", "http://{place}/v2/"])
def test_each_form_of_an_address_in_the_catalogue_works(tmp_path: Path, form: str) -> None:
    with serving(glance_of(NO_LINKS)) as server:
        services = {"image": form.format(place=server.place)}
        with catalogue(tmp_path, services) as images:
            assert images.show(None, "i1")["status"] == "active"


def test_a_catalogue_without_images_is_named(tmp_path: Path) -> None:
    text = "catalogue of Keystone has none: .*image.*; see glance_catalog_info"
    services = {"compute": "http://192.0.2.1"}
    with catalogue(tmp_path, services) as images, pytest.raises(ImageCopyFailure, match=text):
        images.show(None, "i1")


def test_an_account_that_keystone_refuses_is_named(tmp_path: Path) -> None:
    text = r"Keystone gives no token to the account in \[service_user\]: Unauthorized"
    with catalogue(tmp_path, {}, "another") as images, pytest.raises(ImageCopyFailure, match=text):
        images.show(None, "i1")


@contextlib.contextmanager
def catalogue(
    tmp_path: Path, services: dict[str, str], password: str = "secret"
) -> Iterator[GlanceImages]:
    """Give a client that finds Glance in the catalogue of a Keystone.

    :param password: that Keystone wants of the client, which sends ``secret``.
    """
    keystone = Keystone(services, password)
    path = tmp_path / "cinder.conf"
    path.write_text(
        "[service_user]\nauth_type = v3password\nusername = holdfast\npassword = secret\n"
        "user_domain_id = default\nproject_domain_id = default\nproject_name = service\n"
        f"auth_url = {keystone.url}\n[DEFAULT]\nglance_num_retries = 0\n"
    )
    conf = cfg.ConfigOpts()
    conf.register_opts(GlanceImages.OPTS)
    conf(["--config-file", str(path)], default_config_files=[])
    try:
        yield GlanceImages(conf)
    finally:
        keystone.shutdown()
        keystone.server_close()


def test_an_address_of_another_server_is_named() -> None:
    page: Answer = 200, {"Content-Type": "text/html"}, [b"<html>It works</html>"]
    with serving(lambda _: page) as server:
        images = server.client(f"http://{server.place}/horizon")

        with pytest.raises(ImageCopyFailure) as caught:
            images.show(None, "i1")

    text = f"Glance at http://{server.place}/horizon/v2 has no record of image i1"
    assert text in str(caught.value)
    assert "look at the address" in str(caught.value)


def test_an_address_that_does_not_answer_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        with serving(glance_of(REFUSED)) as server:
            images = server.client(place, glance_num_retries=0)

            with pytest.raises(ImageCopyFailure, match=f"http://{place}/v2/images/i1"):
                images.show(None, "i1")


def test_the_next_server_answers_where_one_does_not() -> None:
    with socket.socket() as unused, serving(glance_of(REFUSED)) as server:
        unused.bind(("127.0.0.1", 0))
        images = server.client(f"127.0.0.1:{unused.getsockname()[1]}", server.place)

        assert images.show(None, "i1")["id"] == "i1"


def test_a_missing_image_is_asked_for_once() -> None:
    with serving(lambda _: (404, {}, [b"No image found"])) as server:
        text = f"Glance at http://{server.place}/v2 has no image i1 for us: 404"
        with pytest.raises(ImageNotFound, match=text):
            server.client().show(None, "i1")

    assert len(server.requests) == 1


@pytest.mark.parametrize("at", ["the begin", "the end"])
def test_an_image_beyond_the_limit_of_glance_is_sent_once(at: str) -> None:
    with serving(lambda _: (413, {}, [b"Image storage quota exceeded"])) as server:
        server.read_body = at == "the end"
        data = [b"x" * 65536] * (16 if at == "the end" else 1)
        with pytest.raises(ImageLimitExceeded, match="413 Image storage quota exceeded"):
            server.client().update(None, "i1", {}, iter(data))

    assert [request.method for request in server.requests] == ["PUT"]


def test_an_upload_names_its_store_and_its_first_image() -> None:
    with serving(glance_of(REFUSED)) as server:
        images = server.client()
        images.update(None, "i1", {}, iter([b"a"]), store_id="fast", base_image_ref="i0")
        images.update(None, "i1", {}, iter([b"a"]))

    named = ("x-image-meta-store", "x-openstack-base-image-ref")
    sent = [
        [request.headers.get(name) for name in named]
        for request in server.requests
        if request.method == "PUT"
    ]
    assert sent == [["fast", "i0"], [None, None]]


@pytest.mark.parametrize("code", [307, 401])
def test_a_refused_upload_is_not_sent_again_with_the_rest_of_the_data(code: int) -> None:
    def answer(request: Request) -> Answer:
        if request.method == "PUT":
            return code, {"Location": "/v2/images/i1/elsewhere"}, [b"no"]
        return 200, {}, [json.dumps(IMAGE).encode()]

    refusal = pytest.raises(ImageCopyFailure, match=f"refused image i1: {code}")
    with serving(answer) as server, refusal:
        server.client().update(None, "i1", {}, iter([b"a"]))

    assert [request.method for request in server.requests] == ["PUT"]


def test_a_download_that_drips_ends() -> None:
    def drip() -> Iterator[bytes]:
        while True:
            yield b"x"
            time.sleep(0.01)  # the pace of the server, not a check

    with serving(lambda _: (200, {}, drip())) as server:
        images = server.client(glance_request_timeout=1)
        begin = time.monotonic()

        with pytest.raises(ImageCopyFailure, match="only .* of waiting, see glance_download_min"):
            list(images.download(None, "i1") or ())

    assert time.monotonic() - begin < patient(20)


@pytest.mark.parametrize("code", [200, 500])
def test_a_record_that_drips_ends(code: int) -> None:
    def drip() -> Iterator[bytes]:
        while True:
            yield b" "
            time.sleep(0.01)  # the pace of the server, not a check

    with serving(lambda _: (code, {}, drip())) as server:
        images = server.client(glance_request_timeout=1, glance_num_retries=0)

        with pytest.raises(ImageCopyFailure, match="did not end in 1 s"):
            images.show(None, "i1")


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nX-Padding: "])
def test_the_head_of_an_answer_that_drips_ends(line: bytes) -> None:
    """A head that is cut off must not pass for a whole one, of an image without data."""
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(line)
            while not ended.wait(0.01):  # the pace of the server, not a check
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        with serving(glance_of(REFUSED)) as server:
            place = f"127.0.0.1:{listener.getsockname()[1]}"
            images = server.client(place, glance_request_timeout=1, glance_num_retries=0)

            with pytest.raises(ImageCopyFailure, match="Timeout|timed out"):
                list(images.download(None, "i1") or ())
        ended.set()
        thread.join()


class TestMinimumRate:
    def waits(self, rate: int, *waits: tuple[float, int]) -> None:
        progress = glance.MinimumRate(rate, 10.0)
        for seconds, size in waits:
            progress.waited(seconds, size)

    def test_a_pause_is_allowed_as_long_as_the_average_is_reached(self) -> None:
        self.waits(100, (0.1, 900), (9.9, 200), (9.0, 900), (1.0, 100), (5.0, 1), (4.0, 999))

    def test_each_window_counts_by_itself(self) -> None:
        with pytest.raises(TimeoutError, match="only 100 bytes came in 11 s of waiting"):
            self.waits(100, (1.0, 10**9), (9.0, 1), (10.9, 100))

    def test_no_rate_is_no_limit(self) -> None:
        self.waits(0, (10.0, 1), (1e9, 1))

    def test_the_end_is_no_lack_of_progress(self) -> None:
        self.waits(100, (1.0, 10), (20.0, 0))


def test_a_slow_reader_is_no_lack_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(glance_of(REFUSED)) as server:
        images = server.client(glance_request_timeout=1, glance_download_min_rate=10**6)
        clock = [0.0]
        monkeypatch.setattr("drivers.http_answers.time.monotonic", lambda: clock[0])
        read = b""
        for chunk in images.download(None, "i1") or ():
            clock[0] += 1000.0  # as a volume that takes long to be written
            read += chunk

    assert read == DATA


def test_chunks_have_a_length_however_the_data_comes() -> None:
    pieces = [DATA[at : at + 70_001] for at in range(0, len(DATA), 70_001)]
    with serving(lambda _: (200, {}, pieces)) as server:
        chunks = list(server.client().download(None, "i1") or ())

    assert b"".join(chunks) == DATA
    assert {len(chunk) for chunk in chunks[:-1]} == {glance.CHUNK}
