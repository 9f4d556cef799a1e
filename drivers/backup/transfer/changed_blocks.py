# SPDX-License-Identifier: Apache-2.0
"""Which blocks of a volume are not those of the backup that an incremental one builds on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.backup.format import block_hashes, zero_blocks
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.transfer import extents, volume_reader
from drivers.backup.transfer.extents import ObjectExtent
from drivers.backup.transfer.volume_reader import Reader
from drivers.interface.backup import Parts


@dataclass(frozen=True)
class Parent:
    """The parent of an incremental backup.

    :param digests: of its blocks; a copy of them alone is as long as the volume was.
    :param changed: ranges that may differ from it; None where they are unknown.
    """

    block_hashes: BlockHashes
    changed: Parts | None = None


class Changes:
    """Compares a volume with a parent.

    :param own: gets the hashes of the volume's blocks.
    """

    def __init__(self, parent: Parent, own: BlockHashes, reader: Reader) -> None:
        self._parent = parent
        self._own = own
        self._reader = reader
        self._zero = zero_blocks.sha256(own.block)

    def within(self, piece: ObjectExtent) -> list[tuple[int, int]]:
        """Return the runs of blocks of a piece that differ; their hashes are noted."""
        runs = _Runs(self._own.block, piece.end)
        for start, end, known in self._parts(piece):
            if known:
                self._take_over(start, end, runs)
            else:
                self._compare(start, end, piece.hole, runs)
        return runs.ended()

    def _parts(self, piece: ObjectExtent) -> Iterator[tuple[int, int, bool]]:
        """Yield the parts of a piece, and whether each is known to be the parent's."""
        changed = self._parent.changed
        if changed is None:
            yield piece.start, piece.end, False
            return
        grain = volume_reader.grain(self._own.block)
        at = piece.start
        for start, end in extents.rounded(changed, grain, piece.start, piece.end):
            if at < start:
                yield at, start, True
            yield start, end, False
            at = end
        if at < piece.end:
            yield at, piece.end, True

    def _take_over(self, start: int, end: int, runs: _Runs) -> None:
        """Believe the driver: the hashes are those of the parent."""
        step = volume_reader.grain(self._own.block)
        for begin in range(start, end, step):
            first, count = self._place(begin, min(begin + step, end))
            theirs = self._parent.block_hashes.read(first, count)
            self._own.write(first, theirs)
            runs.add(begin, theirs, theirs, count)
        self._reader.pass_by(end - start)

    def _compare(self, start: int, end: int, hole: bool, runs: _Runs) -> None:
        step = volume_reader.grain(self._own.block)

        def note(begin: int, hashes: bytes | None) -> None:
            first, count = self._place(begin, min(begin + step, end))
            if hashes is not None:
                self._own.write(first, hashes)
            mine = self._zero * count if hashes is None else hashes
            runs.add(begin, mine, self._parent.block_hashes.read(first, count), count)

        for _segment in self._reader.hashed(start, end, note, hole=hole):
            pass

    def _place(self, begin: int, end: int) -> tuple[int, int]:
        block = self._own.block
        return begin // block, -(-(end - begin) // block)


class _Runs:
    """Gathers blocks that differ, one after another, into runs."""

    def __init__(self, block: int, end: int) -> None:
        self._block = block
        self._end = end
        self._begin: int | None = None
        self._found: list[tuple[int, int]] = []

    def add(self, begin: int, mine: bytes, theirs: bytes, count: int) -> None:
        """Compare some blocks; one that the parent does not have differs."""
        if mine == theirs:
            self._close(begin)
            return
        for number in range(count):
            at = slice(number * block_hashes.SIZE, (number + 1) * block_hashes.SIZE)
            where = begin + number * self._block
            if mine[at] == theirs[at]:
                self._close(where)
            elif self._begin is None:
                self._begin = where

    def ended(self) -> list[tuple[int, int]]:
        """Return the runs."""
        self._close(self._end)
        return self._found

    def _close(self, where: int) -> None:
        if self._begin is not None:
            self._found.append((self._begin, where))
            self._begin = None
