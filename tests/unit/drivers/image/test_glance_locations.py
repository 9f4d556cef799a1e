# SPDX-License-Identifier: Apache-2.0
"""Locations of images: Glance's Location API, records that show them, and files of its store."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.image import glance
from drivers.image.glance import GlanceImages
from drivers.image.glance_client import store_files
from drivers.interface.errors import ImageCopyFailure, ImageError
from tests.scripted.glance_server import Answer, GlanceStandIn, serving

pytest.importorskip("keystoneauth1")

URL = "cinder://fast/5d0a6a3e-1c1c-4f4d-9df5-2b7a8f3f2c11"
LISTED = [{"url": URL, "metadata": {"store": "fast"}}]
DATA = bytes(range(256)) * 8192
LIST, RECORD, DATA_PATH = "/v2/images/i1/locations", "/v2/images/i1", "/v2/images/i1/file"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_PAUSE", 0.0)


@pytest.fixture
def server() -> Iterator[GlanceStandIn]:
    with serving(lambda _: (500, {}, [])) as server:
        yield server


def answers(server: GlanceStandIn, **by_request: Answer | Any) -> list[str]:
    """Have a server answer; return the list of its requests.

    :param by_request: an answer, or content, for each method and a path: list, record, data.
    """
    paths = {"list": LIST, "record": RECORD, "data": DATA_PATH}
    came: list[str] = []

    def answer(request: Any) -> Answer:
        name = next(name for name, path in paths.items() if path == request.path)
        came.append(f"{request.method} {name}")
        found = by_request.get(f"{request.method.lower()}_{name}", 404)
        if isinstance(found, int):
            return found, {}, [b"a reason"]
        return 200, {}, [found if isinstance(found, bytes) else json.dumps(found).encode()]

    server.answer = answer
    return came


def record(**more: Any) -> dict[str, Any]:
    return {"id": "i1", "status": "active", "size": len(DATA), **more}


class TestReading:
    def test_the_api_is_asked_first(self, server: GlanceStandIn) -> None:
        came = answers(server, get_list=LISTED)

        assert server.client().get_location(None, "i1") == (None, LISTED)
        assert came == ["GET list"]

    @pytest.mark.parametrize("status", [404, 405, 501, 403])
    def test_without_it_the_record_counts(self, server: GlanceStandIn, status: int) -> None:
        shown = record(direct_url="rbd://a/b/c/d", locations=LISTED)
        came = answers(server, get_list=status, get_record=shown)

        assert server.client().get_location(None, "i1") == ("rbd://a/b/c/d", LISTED)
        assert came == ["GET list", "GET record"]

    def test_an_empty_list_is_looked_up_in_the_record_too(self, server: GlanceStandIn) -> None:
        answers(server, get_list=[], get_record=record(direct_url=URL))

        assert server.client().get_location(None, "i1") == (URL, None)

    @pytest.mark.parametrize(
        ("status", "shown", "warning"),
        [
            (403, {"direct_url": URL}, "the account may not read locations of images: 403"),
            (404, {}, "Glance shows no locations of images: 404"),
            (404, {"locations": []}, "Glance shows no locations of images: 404"),
            (404, {"direct_url": URL}, ""),
        ],
    )
    def test_a_warning_says_once_that_they_are_hidden(
        self,
        server: GlanceStandIn,
        caplog: pytest.LogCaptureFixture,
        status: int,
        shown: dict[str, Any],
        warning: str,
    ) -> None:
        answers(server, get_list=status, get_record=record(**shown))
        client = server.client()

        client.get_location(None, "i1")
        client.get_location(None, "i1")

        found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert [warning in text for text in found] == ([True] if warning else [])

    @pytest.mark.parametrize("content", [{"no": "list"}, ["text"], b"<html>"])
    def test_rubbish_is_an_error(self, server: GlanceStandIn, content: Any) -> None:
        answers(server, get_list=content)

        with pytest.raises(ImageCopyFailure):
            server.client().get_location(None, "i1")

    def test_an_outage_is_an_error(self, server: GlanceStandIn) -> None:
        came = answers(server, get_list=503)

        with pytest.raises(ImageError):
            server.client().get_location(None, "i1")
        assert came == ["GET list"] * 2


class TestAdding:
    def test_the_api_gets_the_address(self, server: GlanceStandIn) -> None:
        came = answers(server, post_list={})

        server.client().add_location(None, "i1", URL, {"store": "fast"})

        assert came == ["POST list"]
        assert json.loads(server.requests[0].body) == {"url": URL, "validation_data": {}}

    def test_an_old_version_gets_a_patch(self, server: GlanceStandIn) -> None:
        came = answers(server, patch_record={})

        server.client().add_location(None, "i1", URL, {"store": "fast"})

        assert came == ["POST list", "PATCH record"]
        value = {"url": URL, "metadata": {"store": "fast"}}
        [change] = json.loads(server.requests[1].body)
        assert change == {"op": "add", "path": "/locations/-", "value": value}
        kind = server.requests[1].headers["Content-Type"]
        assert kind == "application/openstack-images-v2.1-json-patch"

    @pytest.mark.parametrize("status", [400, 403, 409])
    def test_a_refusal_is_not_repeated(self, server: GlanceStandIn, status: int) -> None:
        came = answers(server, post_list=status)

        with pytest.raises(ImageCopyFailure, match=f"{status} a reason"):
            server.client().add_location(None, "i1", URL, {})
        assert came == ["POST list"]


class TestFiles:
    @pytest.fixture
    def client(self, server: GlanceStandIn, tmp_path: Path) -> Callable[..., GlanceImages]:
        def client(url: str | None = None, **options: Any) -> GlanceImages:
            (tmp_path / "i1").write_bytes(DATA)
            shown = [{"url": url or f"file://{tmp_path}/i1", "metadata": {}}]
            self.came = answers(server, get_list=shown, get_record=record(), get_data=DATA)
            known = {"allowed_direct_url_schemes": ["cinder", "File "]}
            known["glance_file_directory"] = str(tmp_path)
            return server.client(**{**known, **options})

        return client

    def data(self, client: GlanceImages) -> str:
        """Read the image; return where it came from."""
        assert b"".join(client.download(None, "i1") or ()) == DATA
        return "glance" if "GET data" in self.came else "file"

    def test_one_is_read_without_glance(self, client: Callable[..., GlanceImages]) -> None:
        assert self.data(client()) == "file"

    @pytest.mark.parametrize(
        "options", [{"allowed_direct_url_schemes": ["cinder"]}, {"glance_file_directory": None}]
    )
    def test_not_unless_it_is_allowed(
        self, client: Callable[..., GlanceImages], options: dict[str, Any]
    ) -> None:
        assert self.data(client(**options)) == "glance"
        assert self.came == ["GET data"]

    @pytest.mark.parametrize(
        "url", ["file:///etc/passwd", "file://{}/i2", "file://{}/../i1", "rbd://{}/i1", "file://["]
    )
    def test_another_file_is_not_read(
        self, client: Callable[..., GlanceImages], tmp_path: Path, url: str
    ) -> None:
        assert self.data(client(url.format(tmp_path))) == "glance"

    @pytest.mark.parametrize("state", ["shorter", "gone", "link", "pipe", "directory"])
    def test_a_file_that_is_not_the_image_is_not_read(
        self,
        client: Callable[..., GlanceImages],
        tmp_path: Path,
        state: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        made, path = client(), tmp_path / "i1"
        path.rename(tmp_path / "whole")
        {
            "shorter": lambda: path.write_bytes(DATA[1:]),
            "gone": lambda: None,
            "link": lambda: path.symlink_to(tmp_path / "whole"),
            "pipe": lambda: os.mkfifo(path),
            "directory": path.mkdir,
        }[state]()

        assert self.data(made) == "glance"
        assert f"image i1 is read from Glance: {path}: " in caplog.text

    @pytest.mark.parametrize("unknown", ["get_list", "get_record"])
    def test_an_image_without_known_locations_or_size_comes_from_glance(
        self,
        client: Callable[..., GlanceImages],
        server: GlanceStandIn,
        caplog: pytest.LogCaptureFixture,
        unknown: str,
        tmp_path: Path,
    ) -> None:
        made = client()
        shown = [{"url": f"file://{tmp_path}/i1", "metadata": {}}]
        known = {"get_list": shown, "get_record": record(), "get_data": DATA}
        self.came = answers(server, **{**known, unknown: 400})

        file = store_files.opened(made.conf, "i1", made.show, made.get_location)

        assert file is None
        assert "image i1 is read from Glance: its file is not known" in caplog.text
