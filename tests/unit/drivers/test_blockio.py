# SPDX-License-Identifier: Apache-2.0
"""Open volumes: files, block devices, and file objects without a descriptor."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from drivers import block_copy, blockio
from drivers.blockio import BlockFile
from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.pace import Pace
from tests.handles import Handle, loop_device

MIB = 1024**2
SIZE = 8 * MIB


@pytest.fixture
def device(tmp_path: Path) -> Iterator[BinaryIO]:
    """A block device that is full of data."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"old!" * (SIZE // 4))
    with loop_device(backing) as path, path.open("r+b", buffering=0) as file:
        yield file  # type: ignore[misc]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    path = tmp_path / "volume"
    path.write_bytes(b"old!" * (SIZE // 4))
    with path.open("r+b", buffering=0) as opened:
        yield opened  # type: ignore[misc]


@pytest.fixture(params=["file", "device", "handle"])
def volume(request: pytest.FixtureRequest) -> BlockFile:
    """A volume of each kind, full of data."""
    if request.param == "handle":
        return BlockFile(Handle(b"old!" * (SIZE // 4)))
    return BlockFile(request.getfixturevalue(request.param))


class TestEveryKind:
    def test_its_size(self, volume: BlockFile) -> None:
        assert volume.size == SIZE

    def test_data_is_read_where_it_was_written(self, volume: BlockFile) -> None:
        volume.write(MIB + 1, b"new data")
        volume.flush()

        assert volume.read(MIB - 4, 16) == b"old!onew datald!"
        assert volume.read(SIZE - 4, 100) == b"old!"

    @pytest.mark.parametrize(("offset", "length"), [(MIB, 2 * MIB), (513, 70_001)])
    def test_a_range_is_zeroed_and_nothing_else(
        self, volume: BlockFile, offset: int, length: int
    ) -> None:
        wanted = bytearray(b"old!" * (SIZE // 4))
        wanted[offset : offset + length] = bytes(length)
        volume.zero(offset, length)

        assert volume.read(0, SIZE) == wanted

    def test_blocks_of_zeros_are_left_out(self, volume: BlockFile) -> None:
        volume.write_data(0, b"x" + bytes(MIB) + b"y" * 200_000 + bytes(MIB))

        assert volume.read(0, 1) == b"x"
        assert volume.read(MIB + 1, 200_000) == b"y" * 200_000
        assert volume.read(512 * 1024, 4) == b"old!"

    def test_data_is_not_copied_to_be_compared_with_zeros(self, volume: BlockFile) -> None:
        class Data(bytes):
            def __getitem__(self, key: Any) -> Any:
                assert not isinstance(key, slice), "a part of the data is copied"
                return super().__getitem__(key)

        volume.write_data(0, Data(b"x" * MIB))
        assert volume.read(0, MIB) == b"x" * MIB

    def test_data_extents_cover_everything_that_is_not_a_hole(self, volume: BlockFile) -> None:
        assert list(volume.data_extents(5, SIZE - 5)) == [(5, SIZE - 5)]
        assert list(volume.data_extents(5, 5)) == []


class TestDiscard:
    def test_a_file_gives_its_space_back(self, file: BinaryIO) -> None:
        assert BlockFile(file).discard()
        assert os.fstat(file.fileno()).st_blocks == 0
        assert os.fstat(file.fileno()).st_size == SIZE

    def test_a_device_reads_as_zeros(self, device: BinaryIO, tmp_path: Path) -> None:
        volume = BlockFile(device)

        assert volume.discard()
        assert blockio.is_zero(volume.read(0, SIZE))
        assert (tmp_path / "backing").stat().st_blocks * 512 < MIB

    def test_a_handle_keeps_its_data(self) -> None:
        volume = BlockFile(Handle(b"old!"))

        assert not volume.discard()
        assert volume.read(0, 4) == b"old!"

    def test_a_file_system_without_holes_keeps_the_data(
        self, file: BinaryIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blockio, "punch_hole", lambda *_: False)
        volume = BlockFile(file)

        assert not volume.discard()
        volume.zero(0, MIB)
        assert volume.read(0, MIB + 4) == bytes(MIB) + b"old!"

    def test_a_disk_that_fails_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "volume"
        path.write_bytes(b"data")
        with path.open("rb") as read_only, pytest.raises(OSError) as caught:
            BlockFile(read_only).discard()
        assert caught.value.errno == errno.EBADF


class TestPath:
    def test_a_file_and_a_device_have_one(self, file: BinaryIO, device: BinaryIO) -> None:
        for one in (file, device):
            assert BlockFile(one).path(write=True) == one.name

    def test_a_handle_has_none(self) -> None:
        assert BlockFile(Handle(b"")).path(write=False) is None

    def test_a_file_that_was_replaced_has_none(self, file: BinaryIO) -> None:
        os.rename(file.name, f"{file.name}.old")
        assert BlockFile(file).path(write=False) is None
        Path(file.name).write_bytes(b"another")
        assert BlockFile(file).path(write=False) is None

    def test_a_file_that_the_user_may_not_open_has_none(
        self, file: BinaryIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda _name, mode, **_: not mode & os.W_OK)

        assert BlockFile(file).path(write=True) is None
        assert BlockFile(file).path(write=False) == file.name


class TestExtents:
    def test_a_hole_at_the_end_ends_the_walk(self, file: BinaryIO) -> None:
        os.ftruncate(file.fileno(), 0)
        os.ftruncate(file.fileno(), SIZE)
        os.pwrite(file.fileno(), b"x" * 4096, MIB)

        assert list(blockio.data_extents(file.fileno(), 0, SIZE)) == [(MIB, MIB + 4096)]
        assert list(blockio.data_extents(file.fileno(), 0, MIB)) == []
        assert list(blockio.data_extents(file.fileno(), MIB + 8192, SIZE)) == []


class TestCopy:
    def holes(self, path: Path, *data: tuple[int, bytes]) -> Path:
        with path.open("wb") as file:
            file.truncate(SIZE)
            for at, chunk in data:
                file.seek(at)
                file.write(chunk)
        return path

    @pytest.mark.parametrize("skip_equal", [False, True])
    def test_the_data_replaces_what_was_there(
        self, volume: BlockFile, tmp_path: Path, skip_equal: bool
    ) -> None:
        path = self.holes(tmp_path / "source", (0, b"a" * 5000), (6 * MIB, os.urandom(MIB)))
        done: list[float] = []
        with path.open("rb") as source:
            block_copy.copy(
                BlockFile(source), volume, SIZE, Pace(done.append), skip_equal=skip_equal
            )

        assert volume.read(0, SIZE) == path.read_bytes()
        assert done == sorted(done) and done[-1] == 1

    def test_holes_on_both_sides_are_not_read(self, tmp_path: Path) -> None:
        source = self.holes(tmp_path / "source", (2 * MIB, b"a" * 4096))
        target = self.holes(tmp_path / "target", (6 * MIB, b"b" * 4096))
        with source.open("rb", buffering=0) as reader, target.open("r+b", buffering=0) as writer:
            read: list[int] = []
            volume = BlockFile(reader)
            before = volume.read
            volume.read = lambda at, n: (read.append(at), before(at, n))[1]  # type: ignore
            moved: list[int] = []
            block_copy.copy(volume, BlockFile(writer), SIZE, Pace(moved=moved.append))

        assert sum(moved) <= 64 * 1024  # holes need no bandwidth
        assert read == [2 * MIB, 6 * MIB]
        assert target.read_bytes() == source.read_bytes()
        assert target.stat().st_blocks * 512 <= 64 * 1024

    def test_zeros_are_left_out_where_the_target_is_known_to_have_them(
        self, tmp_path: Path
    ) -> None:
        source = self.holes(tmp_path / "source", (0, b"a" + bytes(MIB) + b"b"))
        handle = Handle(bytes(SIZE))
        with source.open("rb") as reader:
            block_copy.copy(BlockFile(reader), BlockFile(handle), SIZE, Pace(), target_is_zero=True)

        assert handle.getvalue() == source.read_bytes()
        assert sum(handle.written) < 256 * 1024

    def test_equal_data_is_not_written_again(self, tmp_path: Path) -> None:
        data = os.urandom(SIZE)
        path = tmp_path / "source"
        path.write_bytes(data)
        handle = Handle(data)
        with path.open("rb") as reader:
            block_copy.copy(BlockFile(reader), BlockFile(handle), SIZE, Pace(), skip_equal=True)

        assert handle.written == []

    def test_a_source_that_becomes_shorter_is_an_error(self) -> None:
        source = BlockFile(Handle(b"x" * 100))
        source._file.truncate(50)
        with pytest.raises(VolumeBackendAPIException, match="ends at 50 bytes"):
            block_copy.copy(source, BlockFile(Handle(bytes(100))), 100, Pace())

    def test_it_ends_when_the_operation_is_to_end(self, tmp_path: Path) -> None:
        def stop(fraction: float) -> None:
            raise InterruptedError("enough")

        with pytest.raises(InterruptedError):
            block_copy.copy(BlockFile(Handle(b"xy")), BlockFile(Handle(b"ab")), 2, Pace(stop))


class TestPartialWrites:
    def test_they_are_continued(self, file: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
        real: Any = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:3], at))
        blockio.write_at(file.fileno(), b"0123456789", 1)
        monkeypatch.undo()

        assert os.pread(file.fileno(), 12, 0) == b"o0123456789!"

    def test_a_handle_that_takes_a_part(self) -> None:
        class Slow(io.BytesIO):
            def fileno(self) -> int:
                raise OSError("no descriptor")

            def write(self, data: Any) -> int:
                return super().write(data[:3])

            def read(self, size: int | None = -1) -> bytes:
                return super().read(min(size or 0, 3))

        volume = BlockFile(Slow(bytes(12)))
        volume.write(1, b"0123456789")

        assert volume.read(0, 100) == b"\x000123456789\0"
