# SPDX-License-Identifier: Apache-2.0
"""A server in place of Glance whose answers are no records, or do not end."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from oslo_config import cfg

from drivers.image import glance
from drivers.image.glance import GlanceImages
from drivers.interface.errors import ImageCopyFailure

pytest.importorskip("openstack.connection")

MIB = 1024**2

Answer = tuple[int, dict[str, str], Iterator[bytes]]


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 65536


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., GlanceImages]]:
    """A function that gives a client of a server which answers each request in one way."""
    answer: list[Callable[[], Answer]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            links = [{"rel": "self", "href": f"http://{self.headers['Host']}/v2/"}]
            known = [{"id": "v2.9", "status": "CURRENT", "links": links}]
            code, headers = 200, {}
            body = iter([json.dumps({"versions": known}).encode()])
            if "/images" in self.path:
                code, headers, body = answer[0]()
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for chunk in body:
                    self.wfile.write(chunk)
            except OSError:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setattr(glance, "_PAUSE", 0.0)

    def serve(code: int, body: Callable[[], Iterator[bytes]], **headers: str) -> GlanceImages:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer.append(lambda: (code, named, body()))
        conf = cfg.ConfigOpts()
        conf.register_opts(GlanceImages.OPTS)
        conf([], default_config_files=[])
        conf.set_override("auth_strategy", "noauth")
        conf.set_override("glance_num_retries", 1)
        conf.set_override("glance_request_timeout", 20)
        host, port = server.server_address[:2]
        conf.set_override("glance_api_servers", [f"http://{host!s}:{port}"])
        return GlanceImages(conf)

    yield serve
    server.shutdown()
    server.server_close()
    thread.join()


def refused(call: Callable[[], object]) -> str:
    """Require an error of images without much memory, and return its text."""
    tracemalloc.start()
    try:
        with pytest.raises(ImageCopyFailure) as caught:
            call()
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 2000
    return str(caught.value)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        *itertools.product(("show", "get_location", "create"), (200, 400, 500)),
        *itertools.product(("delete", "download"), (400, 500)),
    ],
)
def test_an_answer_that_does_not_end(
    serve: Callable[..., GlanceImages], code: int, method: str
) -> None:
    images = serve(code, endless)

    def call() -> object:
        if method == "create":
            return images.create(None, {"name": "n"})
        answer = getattr(images, method)(None, "i1")
        return list(answer) if method == "download" else answer

    assert "has more than 4194304 bytes" in refused(call)


def test_an_answer_that_inflates(serve: Callable[..., GlanceImages]) -> None:
    bomb = gzip.compress(bytes(256 * MIB), 9)
    images = serve(200, lambda: iter([bomb]), Content_Encoding="gzip")

    assert "has more than 4194304 bytes" in refused(lambda: images.show(None, "i1"))


@pytest.mark.parametrize("body", [b"[]", b"7", b'"a"', b"{", b"", b"\xff", b"[" * 200_000])
def test_an_answer_that_is_no_record(serve: Callable[..., GlanceImages], body: bytes) -> None:
    images = serve(200, lambda: iter([body]))

    refused(lambda: images.show(None, "i1"))


def test_data_that_does_not_end_comes_in_small_chunks(serve: Callable[..., GlanceImages]) -> None:
    images = serve(200, endless, Content_Type="application/octet-stream")
    chunks = images.download(None, "i1")
    assert chunks is not None

    assert all(0 < len(next(chunks)) <= glance.CHUNK for _ in range(20))
    chunks.close()  # type: ignore[attr-defined]


def test_data_that_ends_early(serve: Callable[..., GlanceImages]) -> None:
    images = serve(200, lambda: iter([b"x" * 100]), Content_Length="1000")
    chunks = images.download(None, "i1")
    assert chunks is not None

    with pytest.raises(ImageCopyFailure, match="cannot be read to its end"):
        list(chunks)
