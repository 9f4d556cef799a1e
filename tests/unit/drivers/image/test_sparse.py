# SPDX-License-Identifier: Apache-2.0
"""Copies between sparse volumes and images cost their data, not their size, in both directions."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers import blockio
from drivers.blockio import BlockFile
from drivers.image import pieces
from drivers.image.directory import DirectoryImages
from drivers.image.image_transfer import ImageTransport
from drivers.image.qemu_img import ConversionLimits
from drivers.image.sink import ImageSink
from drivers.image.sparse_hash import SparseHash
from drivers.interface.errors import ImageCopyFailure
from drivers.interface.image import Hole, Piece
from drivers.interface.pace import Pace

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4
DATA = {0: b"begin" * 1000, 5 * GIB + 7: b"middle" * 5000, TIB - 3: b"end"}


@pytest.fixture
def images(tmp_path: Path) -> DirectoryImages:
    return DirectoryImages(SimpleNamespace(image_directory=str(tmp_path / "images")))


@pytest.fixture
def transport(images: DirectoryImages, tmp_path: Path) -> ImageTransport:
    return ImageTransport(images, tmp_path / "aside", ConversionLimits())


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths that were read of disks; more than a little is an error, before it takes hours."""
    lengths: list[int] = []
    original = BlockFile.read

    def counted(self: BlockFile, offset: int, length: int) -> bytes:
        lengths.append(length)
        assert sum(lengths) < 64 * MIB, "holes are read"
        return original(self, offset, length)

    monkeypatch.setattr(BlockFile, "read", counted)
    return lengths


def disk(path: Path, size: int, data: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, part in data.items():
            file.seek(offset)
            file.write(part)
    return path


def stored(transport: ImageTransport, volume: Path, kind: str = "raw") -> Any:
    image = transport.service.create(None, {"disk_format": kind})
    with volume.open("rb", buffering=0) as file:
        transport.store(None, image, file, "v1", Pace(), {})
    return transport.service.show(None, image["id"])


def fetched(transport: ImageTransport, image: Any, volume: Path) -> Path:
    with volume.open("r+b", buffering=0) as file:
        transport.fetch(None, image, file, volume.stat().st_size, "v1", Pace())
    return volume


class TestCost:
    def test_a_tebibyte_of_holes_there_and_back(
        self,
        images: DirectoryImages,
        transport: ImageTransport,
        tmp_path: Path,
        read: list[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("_write", "_chunks"):
            monkeypatch.setattr(images, name, _refused)
        volume = disk(tmp_path / "volume", TIB, DATA)
        image = stored(transport, volume)
        copy = fetched(transport, image, disk(tmp_path / "copy", TIB, {}))

        assert (image["size"], image["os_hash_algo"]) == (TIB, "sparse-sha512")
        assert sum(read) > 0
        with copy.open("rb") as file:
            for offset, part in DATA.items():
                file.seek(offset)
                assert file.read(len(part)) == part
        kept = tmp_path / "images" / image["id"]
        assert max(path.stat().st_blocks * 512 for path in (copy, kept)) < MIB
        assert kept.stat().st_size == TIB

    def test_a_service_without_holes_gets_zeros_that_are_not_read(
        self, images: DirectoryImages, transport: ImageTransport, tmp_path: Path, read: list[int]
    ) -> None:
        images.keeps_holes = False  # type: ignore[misc]
        volume = disk(tmp_path / "volume", 96 * MIB, {40 * MIB: b"data"})
        image = stored(transport, volume)

        assert image["checksum"] == hashlib.md5(volume.read_bytes()).hexdigest()
        assert sum(read) < MIB
        copy = fetched(transport, image, disk(tmp_path / "copy", 96 * MIB, {}))
        assert copy.read_bytes() == volume.read_bytes()

    def test_progress_is_told_in_holes_too(self, transport: ImageTransport, tmp_path: Path) -> None:
        parts: list[float] = []
        volume = disk(tmp_path / "volume", 8 * GIB, {})
        image = transport.service.create(None, {"disk_format": "raw"})
        with volume.open("rb", buffering=0) as file:
            transport.store(None, image, file, "v1", Pace(parts.append), {})

        assert len(parts) >= 8 and parts == sorted(parts) and parts[-1] == 1.0

    def test_holes_need_no_bandwidth(
        self, images: DirectoryImages, transport: ImageTransport, tmp_path: Path
    ) -> None:
        moved: list[int] = []
        pace = Pace(moved=moved.append)
        volume = disk(tmp_path / "volume", 8 * GIB, {5 * GIB: bytes(range(256)) * 8192})
        image = transport.service.create(None, {"disk_format": "raw"})
        with volume.open("rb", buffering=0) as file:
            transport.store(None, image, file, "v1", pace, {})
        assert 2 * MIB <= sum(moved) <= 4 * MIB

        moved.clear()
        with disk(tmp_path / "copy", 8 * GIB, {}).open("r+b", buffering=0) as file:
            described = transport.service.show(None, image["id"])
            transport.fetch(None, described, file, 8 * GIB, "v1", pace)
        assert 2 * MIB <= sum(moved) <= 4 * MIB


class TestContent:
    @pytest.mark.parametrize("gives_space_back", [True, False])
    @pytest.mark.parametrize(
        "data", [{}, {0: b"x"}, {3 * MIB + 1: b"y" * MIB, 7 * MIB: b"z"}, {100 * KIB: b"near"}]
    )
    def test_a_hole_replaces_old_data(
        self,
        transport: ImageTransport,
        tmp_path: Path,
        data: dict[int, bytes],
        gives_space_back: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        image = stored(transport, disk(tmp_path / "volume", 8 * MIB, data))
        old = disk(tmp_path / "old", 9 * MIB, {0: os.urandom(9 * MIB)})
        if not gives_space_back:
            monkeypatch.setattr(blockio, "punch_hole", lambda *_: False)

        fetched(transport, image, old)

        assert old.read_bytes() == (tmp_path / "volume").read_bytes() + bytes(MIB)

    @pytest.mark.parametrize("offset", [100, 2 * MIB, 6 * MIB])
    def test_an_image_that_was_changed_is_refused(
        self, transport: ImageTransport, tmp_path: Path, offset: int
    ) -> None:
        image = stored(transport, disk(tmp_path / "volume", 8 * MIB, {MIB: b"data" * MIB}))
        with (tmp_path / "images" / image["id"]).open("r+b") as file:
            file.seek(offset)
            file.write(b"!")

        with pytest.raises(ImageCopyFailure, match="changed on its way"):
            fetched(transport, image, disk(tmp_path / "copy", 8 * MIB, {}))

    def test_a_header_behind_a_hole_is_none(
        self, transport: ImageTransport, tmp_path: Path
    ) -> None:
        """The head is looked at as it is in the disk, zeros included."""
        volume = disk(tmp_path / "volume", MIB, {512 * KIB: b"QFI\xfb\0\0\0\3"})
        copy = fetched(transport, stored(transport, volume), disk(tmp_path / "copy", MIB, {}))

        assert copy.read_bytes() == volume.read_bytes()


class TestHash:
    def test_it_depends_on_the_disk_alone(self) -> None:
        dice = random.Random(1)
        disk = bytearray(3 * MIB + 5)
        for at in (0, 70_000, MIB, 3 * MIB):
            disk[at : at + 5] = dice.randbytes(5)
        found = {_hashed(_cut(bytes(disk), dice)) for _ in range(20)}

        assert len(found) == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ([b"a"], [b"b"]),
            ([b"a"], [b"a\0"]),
            ([Hole(10)], [Hole(11)]),
            ([Hole(65536), b"a"], [b"a", Hole(65536)]),
            ([Hole(65536), b"a"], [Hole(131072), b"a"]),
            ([], [b"\0"]),
        ],
    )
    def test_other_disks_have_others(self, one: list[Piece], other: list[Piece]) -> None:
        assert _hashed(iter(one)) != _hashed(iter(other))


class TestPieces:
    def test_a_disk_that_becomes_shorter_ends(self, tmp_path: Path) -> None:
        path = disk(tmp_path / "disk", 3 * MIB, {0: b"x" * (3 * MIB)})
        with path.open("r+b", buffering=0) as file:
            read = pieces.pieces(BlockFile(file), MIB)
            assert next(read) == b"x" * MIB
            file.truncate(MIB)

            assert b"".join(part for part in read if isinstance(part, bytes)) == b""

    def test_a_hole_that_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        path = disk(tmp_path / "disk", MIB, {})
        with path.open("r+b", buffering=0) as file, pytest.raises(OSError, match="No space"):
            ImageSink(BlockFile(file), MIB).write(Hole(MIB + 1))


def _refused(*_: Any) -> Any:
    raise AssertionError("the holes are copied, too; that takes hours")


def _hashed(data: Iterator[Piece]) -> str:
    found = SparseHash()
    for piece in data:
        found.update(piece)
    return found.hexdigest()


def _cut(disk: bytes, dice: random.Random) -> Iterator[Piece]:
    """Cut a disk anywhere; a part of zeros is a hole, or not."""
    at = 0
    while at < len(disk):
        part = disk[at : at + dice.choice((1, 1000, 65536, 200_000, MIB))]
        is_hole = blockio.is_zero(part) and dice.random() < 0.7
        yield Hole(len(part)) if is_hole else part
        at += len(part)
