# SPDX-License-Identifier: Apache-2.0
"""Read a volume segment by segment, and hash its blocks on other threads meanwhile."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from oslo_utils import units

from drivers import blockio
from drivers.backup.format import compression
from drivers.backup.transfer.limits import TransferLimits
from drivers.blockio import BlockFile
from drivers.interface.errors import BackupDriverException

SEGMENT = units.Mi
"""Bytes that are read, hashed and compressed together."""

DEPTH = 4
"""Segments of a piece that are on their way at once."""

Segment = tuple[int, int, bytes | None]
"""Begin and end of a part of a volume, and its data; None where all of it is zero."""


def grain(block: int) -> int:
    """Return the bytes of a segment: a whole number of blocks."""
    return block * max(1, SEGMENT // block)


class Reader:
    """Reads one volume.

    :param block: bytes of a block that is hashed.
    :param stop: ends it.
    """

    def __init__(
        self, device: BlockFile, block: int, lanes: TransferLimits, stop: threading.Event
    ) -> None:
        self._device = device
        self._block = block
        self._lanes = lanes
        self._stop = stop
        self._guard = threading.Lock()
        self.passed = 0
        """Bytes whose hashes are known, or on their way."""

    def segments(self, start: int, end: int, *, hole: bool = False) -> Iterator[Segment]:
        """Yield the segments of a part of the volume; holes are not read.

        A segment that does not end with a block has data, even if all of it is zero: the
        hash of a short block is not that of a whole one.

        :raises Stopped: it need not be read any more.
        """
        data = _Ranges(iter(()) if hole else self._device.data_extents(start, end))
        step = grain(self._block)
        for begin in range(start, end, step):
            stop = min(begin + step, end)
            yield begin, stop, self._segment(begin, stop, data.touch(begin, stop))

    def hashed(
        self, start: int, end: int, note: Callable[[int, bytes | None], None], *, hole: bool = False
    ) -> Iterator[Segment]:
        """Yield segments, and report of each its begin, and its hashes in order.

        :param note: called with None for hashes of zeros.
        """
        waiting: deque[tuple[int, Future[bytes] | None]] = deque()
        for begin, stop, data in self.segments(start, end, hole=hole):
            hashed = None if data is None else self._lanes.submit(hashes, data, self._block)
            waiting.append((begin, hashed))
            yield begin, stop, data
            self.pass_by(stop - begin)
            while len(waiting) > DEPTH:
                _tell(note, *waiting.popleft())
        for one in waiting:
            _tell(note, *one)

    def pass_by(self, length: int) -> None:
        """Count bytes whose hashes are known without reading them."""
        with self._guard:
            self.passed += length

    def compressible(self, start: int, end: int) -> bool:
        """Guess whether a part gets smaller when it is compressed.

        One compressible place is enough: an object stored uncompressed loses all of them.
        """
        for at in range(start, end, max(SEGMENT, min(_STRIDE, (end - start) // _SAMPLES))):
            length = min(_SAMPLE, end - at)
            self._lanes.admit(length, self._stop)
            if compression.compressible(self._device.read(at, length)):
                return True
        return False

    def _segment(self, begin: int, end: int, maybe: bool) -> bytes | None:
        whole = (end - begin) % self._block == 0
        self._lanes.admit(end - begin if maybe else 0, self._stop)
        if not maybe:
            return None if whole else bytes(end - begin)
        found = self._device.read(begin, end - begin)
        if len(found) != end - begin:
            text = f"ends at {begin + len(found)} bytes, where it had {end} and more before"
            raise BackupDriverException(f"the volume {text}")
        return None if whole and blockio.is_zero(found) else found


_SAMPLES = 32
"""Places of a piece that are looked at before it is compressed, if it is long enough."""

_STRIDE = 4 * units.Mi
"""Bytes between two of them at most; at least it is a segment."""

_SAMPLE = 64 * 1024
"""Bytes of each: of a large piece one in 64 is read twice."""


def hashes(data: bytes | memoryview, block: int) -> bytes:
    """Return the SHA-256 of each block of data, one after another."""
    view = memoryview(data)
    return b"".join(
        hashlib.sha256(view[at : at + block]).digest() for at in range(0, len(view), block)
    )


def _tell(
    note: Callable[[int, bytes | None], None], begin: int, hashed: Future[bytes] | None
) -> None:
    note(begin, None if hashed is None else hashed.result())


class _Ranges:
    """Parts of a volume, asked about in order."""

    def __init__(self, ranges: Iterator[tuple[int, int]]) -> None:
        self._ranges = ranges
        self._now: tuple[int, int] | None = next(ranges, None)

    def touch(self, start: int, end: int) -> bool:
        """Say whether one of the parts reaches into this one."""
        while self._now is not None and self._now[1] <= start:
            self._now = next(self._ranges, None)
        return self._now is not None and self._now[0] < end
