# SPDX-License-Identifier: Apache-2.0
"""Where the data of two files differs, as far as the file system knows without reading it.

Copies by reference share their blocks until one of them is written to. So where both
files lie at the same place of the disk, they are the same; extents elsewhere may have
changed, even if it has not.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_FIEMAP = 0xC020660B
_SYNC = 0x1
_HEAD = struct.Struct("=QQLLLL")
_EXTENT = struct.Struct("=QQQQQLLLL")
_AT_ONCE = 512

_LAST = 0x1
_NO_PLACE = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400
"""Flags of extents without a place of their own: unknown, not written yet, encoded, in line."""


@dataclass(frozen=True)
class PlacedExtent:
    """A part of a file and where it lies, in bytes.

    :param place: on the disk; None where that is unknown.
    """

    start: int
    end: int
    place: int | None


def changed(path: str, before: str) -> list[tuple[int, int]]:
    """Return which parts of a file may differ from another one.

    Neither may be written to meanwhile. Holes in both are the same.

    :raises OSError: the file system does not report where its files lie.
    """
    with open(path, "rb") as one, open(before, "rb") as other:
        ours, theirs = list(_extents(one.fileno())), list(_extents(other.fileno()))
        end = max(os.fstat(file.fileno()).st_size for file in (one, other))
    cuts = sorted(
        {0, end, *(min(cut, end) for one in (*ours, *theirs) for cut in (one.start, one.end))}
    )
    mine, its = _Walk(ours), _Walk(theirs)
    found: list[tuple[int, int]] = []
    for start, stop in zip(cuts, cuts[1:], strict=False):
        if mine.place(start) == its.place(start) != _UNKNOWN:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


_HOLE, _UNKNOWN = -1, -2


class _Walk:
    """Extents of a file, asked about in order."""

    def __init__(self, extents: list[PlacedExtent]) -> None:
        self._extents = extents
        self._at = 0

    def place(self, offset: int) -> int:
        """Return where an offset lies."""
        while self._at < len(self._extents) and self._extents[self._at].end <= offset:
            self._at += 1
        if self._at == len(self._extents) or self._extents[self._at].start > offset:
            return _HOLE
        one = self._extents[self._at]
        return _UNKNOWN if one.place is None else one.place + offset - one.start


def _extents(fd: int) -> Iterator[PlacedExtent]:
    start = 0
    while True:
        room = bytearray(_HEAD.size + _AT_ONCE * _EXTENT.size)
        _HEAD.pack_into(room, 0, start, 2**64 - 1 - start, _SYNC, 0, _AT_ONCE, 0)
        fcntl.ioctl(fd, _FIEMAP, room)
        count = _HEAD.unpack_from(room)[3]
        for number in range(count):
            at = _HEAD.size + number * _EXTENT.size
            logical, place, length, _, _, flags, *_rest = _EXTENT.unpack_from(room, at)
            known = not flags & _NO_PLACE
            yield PlacedExtent(logical, logical + length, place if known else None)
            start = logical + length
            if flags & _LAST:
                return
        if not count:
            return
