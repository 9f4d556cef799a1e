# SPDX-License-Identifier: Apache-2.0
"""Find the blocks of a volume that differ from the parent of an incremental backup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.backup.format import block_hashes, zero_blocks
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.transfer import extents, volume_reader
from drivers.backup.transfer.extents import ObjectExtent
from drivers.backup.transfer.volume_reader import VolumeReader
from drivers.blockio import Extent
from drivers.interface.backup import Extents


@dataclass(frozen=True)
class Parent:
    """The parent of an incremental backup.

    :param block_hashes: of the volume as the parent has it.
    :param changed: extents that may differ from the parent; None where they are unknown.
    """

    block_hashes: BlockHashes
    changed: Extents | None = None


class ChangedBlocks:
    """Compares a volume with a parent.

    :param own: gets the hashes of the volume's blocks.
    """

    def __init__(self, parent: Parent, own: BlockHashes, reader: VolumeReader) -> None:
        self._parent = parent
        self._own = own
        self._reader = reader
        self._zero = zero_blocks.sha256(own.block_size)
        self._step = volume_reader.segment_size(own.block_size)

    def within(self, extent: ObjectExtent) -> list[Extent]:
        """Return the runs of different blocks in an extent, and write the hashes of all blocks."""
        runs = _Runs(self._own.block_size, extent.end)
        for start, end, is_known in self._parts(extent):
            if is_known:
                self._copy_hashes(start, end, runs)
            else:
                self._compare(start, end, extent.hole, runs)
        return runs.finish()

    def _parts(self, extent: ObjectExtent) -> Iterator[tuple[int, int, bool]]:
        """Yield the parts of an extent, and whether each is known to be as in the parent."""
        changed = self._parent.changed
        if changed is None:
            yield extent.start, extent.end, False
            return
        at = extent.start
        for start, end in extents.aligned(changed, self._step, extent.start, extent.end):
            if at < start:
                yield at, start, True
            yield start, end, False
            at = end
        if at < extent.end:
            yield at, extent.end, True

    def _copy_hashes(self, start: int, end: int, runs: _Runs) -> None:
        """Take the parent's hashes, as the driver reported no changes."""
        for begin in range(start, end, self._step):
            first, count = self._blocks(begin, min(begin + self._step, end))
            theirs = self._parent.block_hashes.read(first, count)
            self._own.write(first, theirs)
            runs.add(begin, theirs, theirs, count)
        self._reader.skip(end - start)

    def _compare(self, start: int, end: int, hole: bool, runs: _Runs) -> None:
        def compare(begin: int, hashes: bytes | None) -> None:
            first, count = self._blocks(begin, min(begin + self._step, end))
            if hashes is not None:
                self._own.write(first, hashes)
            ours = self._zero * count if hashes is None else hashes
            runs.add(begin, ours, self._parent.block_hashes.read(first, count), count)

        for _segment in self._reader.hashed_segments(start, end, compare, hole=hole):
            pass

    def _blocks(self, begin: int, end: int) -> tuple[int, int]:
        """Return the first block of a range, and the number of its blocks."""
        size = self._own.block_size
        return begin // size, -(-(end - begin) // size)


class _Runs:
    """Joins different blocks that follow each other."""

    def __init__(self, block_size: int, end: int) -> None:
        self._block_size = block_size
        self._end = end
        self._begin: int | None = None
        self._found: list[Extent] = []

    def add(self, begin: int, ours: bytes, theirs: bytes, count: int) -> None:
        """Compare the hashes of some blocks; a block that the parent lacks is different."""
        if ours == theirs:
            self._close(begin)
            return
        for number in range(count):
            at = slice(number * block_hashes.SIZE, (number + 1) * block_hashes.SIZE)
            offset = begin + number * self._block_size
            if ours[at] == theirs[at]:
                self._close(offset)
            elif self._begin is None:
                self._begin = offset

    def finish(self) -> list[Extent]:
        """Return the runs."""
        self._close(self._end)
        return self._found

    def _close(self, offset: int) -> None:
        if self._begin is not None:
            self._found.append((self._begin, offset))
            self._begin = None
