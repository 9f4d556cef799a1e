# SPDX-License-Identifier: Apache-2.0
"""The begin of an image, which is looked at before a volume exists."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.errors import ImageNotFound, ImageUnacceptable
from tests.scripted.glance_server import Answer, Request, serving
from tests.unit.drivers.image.disk_images import DISK, MIB, SIZE, WRITTEN, Place, packed, patched

DATA = os.urandom(MIB)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def look(place: Place, data: bytes, disk_format: str, **known: str) -> None:
    image = place.images.create(None, {"disk_format": disk_format, **known}, io.BytesIO(data))
    place.transport.check_begin(None, image, SIZE)


class TestCheck:
    @pytest.mark.parametrize("name", WRITTEN)
    @pytest.mark.parametrize("container", ["bare", "compressed"])
    def test_an_image_that_fits(self, place: Place, name: str, container: str) -> None:
        data = place.written(name)
        data = data if container == "bare" else packed(data)

        look(place, data, WRITTEN[name][0], container_format=container)

    @pytest.mark.parametrize("name", sorted(set(WRITTEN) - {"vhd fixed"}))
    @pytest.mark.parametrize("container", ["bare", "compressed"])
    def test_a_disk_larger_than_the_volume(self, place: Place, name: str, container: str) -> None:
        data = place.written(name, DISK + bytes(SIZE - len(DISK)) + b"more" * 128)
        data = data if container == "bare" else packed(data)

        with pytest.raises(ImageUnacceptable, match="holds a disk of"):
            look(place, data, WRITTEN[name][0], container_format=container)

    def test_a_backing_file(self, place: Place) -> None:
        data = patched(8, struct.pack(">QI", 512, 4))(place.written("qcow2"))

        with pytest.raises(ImageUnacceptable, match="backing file"):
            look(place, data, "qcow2")

    @pytest.mark.parametrize(
        ("data", "known", "match"),
        [
            (b"QED\0", {"disk_format": "qcow2"}, "but it is qed"),
            (DISK, {"disk_format": "qcow2"}, "but it is raw"),
            (DISK, {"disk_format": "raw", "container_format": "compressed"}, "packed by gzip"),
            (
                b"\x1f\x8b" + b"x" * 20,
                {"disk_format": "raw", "container_format": "compressed"},
                "by gzip",
            ),
            (
                packed(b"KDMV" + bytes(MIB)),
                {"disk_format": "raw", "container_format": "compressed"},
                "but it is vmdk",
            ),
        ],
    )
    def test_another_format(self, place: Place, data: bytes, known: Any, match: str) -> None:
        with pytest.raises(ImageUnacceptable, match=match):
            look(place, data, **known)

    def test_many_short_members_are_left_for_later(self, place: Place) -> None:
        data = packed(b"") * 9 + packed(place.written("qcow2"))

        look(place, data, "qcow2", container_format="compressed")

    @pytest.mark.parametrize("disk_format", ["raw", "iso"])
    def test_raw_data_is_not_read_twice(
        self, place: Place, disk_format: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(place.images, "download", lambda *_: pytest.fail("it is read"))

        look(place, DISK, disk_format)


def _part(request: Request) -> Answer:
    found = re.fullmatch(r"bytes=0-(\d+)", request.headers["Range"])
    assert found
    data = DATA[: int(found[1]) + 1]
    headers = {"Content-Range": f"bytes 0-{len(data) - 1}/{len(DATA)}"}
    return 206, {**headers, "Content-Length": str(len(data))}, [data]


def _refused(request: Request) -> Answer:
    if "Range" in request.headers:
        return 400, {}, [b"no parts"]
    return _whole(request)


def _whole(_: Request) -> Answer:
    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            yield DATA

    return 200, {"Content-Length": str(1000 * MIB)}, pieces()


class TestGlance:
    @pytest.mark.parametrize("play", [_part, _refused, _whole])
    def test_no_more_is_read_than_is_needed(self, play: Any) -> None:
        pytest.importorskip("keystoneauth1")
        with serving(play) as server:
            assert server.client().begin(None, "i1", 5000) == DATA[:5000]
            assert [one.headers.get("Range") for one in server.requests][0] == "bytes=0-4999"

    def test_an_image_that_is_gone(self) -> None:
        pytest.importorskip("keystoneauth1")
        with serving(lambda _: (404, {}, [])) as server, pytest.raises(ImageNotFound):
            server.client().begin(None, "i1", 5000)
