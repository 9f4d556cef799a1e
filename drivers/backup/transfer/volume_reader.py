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
from drivers.blockio import BlockFile, Extent
from drivers.interface.errors import BackupDriverException

SEGMENT = units.Mi
"""Bytes that are read, hashed and compressed together."""

QUEUE_LENGTH = 4
"""Segments of an extent that are in memory at once."""

Segment = tuple[int, int, bytes | None]
"""Start and end of a range of a volume, and its data; None where all of it is zero."""

HashesCallback = Callable[[int, bytes | None], None]
"""Called with the start of a segment and the hashes of its blocks; None if they are zeros'."""


def segment_size(block_size: int) -> int:
    """Return the bytes of a segment: a whole number of blocks."""
    return block_size * max(1, SEGMENT // block_size)


class VolumeReader:
    """Reads one volume.

    :param block_size: bytes of a block that is hashed.
    :param stop: set to end the transfer.
    """

    def __init__(
        self, volume: BlockFile, block_size: int, limits: TransferLimits, stop: threading.Event
    ) -> None:
        self._volume = volume
        self._block_size = block_size
        self._limits = limits
        self._stop = stop
        self._lock = threading.Lock()
        self.processed = 0
        """Bytes whose hashes are known, or being computed."""
        self.moved: Callable[[int], None] = lambda _size: None
        """Called with the bytes that were read; it waits for bandwidth."""

    def segments(self, start: int, end: int, *, hole: bool = False) -> Iterator[Segment]:
        """Yield the segments of a range of the volume; holes are not read.

        A segment that does not end with a block has data, even if all of it is zero: the
        hash of a short block is not that of a whole one.

        :raises TransferEnded: the transfer has ended.
        """
        data = _DataExtents(iter(()) if hole else self._volume.data_extents(start, end))
        step = segment_size(self._block_size)
        for begin in range(start, end, step):
            stop = min(begin + step, end)
            yield begin, stop, self._segment(begin, stop, data.overlap(begin, stop))

    def hashed_segments(
        self, start: int, end: int, callback: HashesCallback, *, hole: bool = False
    ) -> Iterator[Segment]:
        """Yield segments, and report the hashes of each to a callback, in order."""
        waiting: deque[tuple[int, Future[bytes] | None]] = deque()
        for begin, stop, data in self.segments(start, end, hole=hole):
            hashed = None if data is None else self._limits.submit(hashes, data, self._block_size)
            waiting.append((begin, hashed))
            yield begin, stop, data
            self.skip(stop - begin)
            while len(waiting) > QUEUE_LENGTH:
                _report(callback, *waiting.popleft())
        for one in waiting:
            _report(callback, *one)

    def skip(self, length: int) -> None:
        """Count bytes as processed."""
        with self._lock:
            self.processed += length

    def is_compressible(self, start: int, end: int) -> bool:
        """Guess from samples whether a range gets smaller when it is compressed.

        One compressible sample is enough: an object that is stored uncompressed gains nothing
        from any of them.
        """
        for at in range(start, end, max(SEGMENT, min(_STRIDE, (end - start) // _SAMPLES))):
            length = min(_SAMPLE, end - at)
            self._limits.admit(length, self._stop)
            if compression.compressible(self._volume.read(at, length)):
                return True
        return False

    def _segment(self, begin: int, end: int, has_data: bool) -> bytes | None:
        is_whole = (end - begin) % self._block_size == 0
        self._limits.admit(end - begin if has_data else 0, self._stop)
        if not has_data:
            return None if is_whole else bytes(end - begin)
        found = self._volume.read(begin, end - begin)
        self.moved(len(found))
        if len(found) != end - begin:
            text = f"ends at {begin + len(found)} bytes, where it had {end} and more before"
            raise BackupDriverException(f"the volume {text}")
        return None if is_whole and blockio.is_zero(found) else found


_SAMPLES = 32
"""Samples of an extent that is to be compressed, if it is long enough."""

_STRIDE = 4 * units.Mi
"""Largest distance of two samples in bytes; the smallest one is a segment."""

_SAMPLE = 64 * units.Ki
"""Bytes of a sample: of a large extent one in 64 is read twice."""


def hashes(data: bytes | memoryview, block_size: int) -> bytes:
    """Return the SHA-256 of each block of data, one after another."""
    view = memoryview(data)
    return b"".join(
        hashlib.sha256(view[at : at + block_size]).digest()
        for at in range(0, len(view), block_size)
    )


def _report(callback: HashesCallback, begin: int, hashed: Future[bytes] | None) -> None:
    callback(begin, None if hashed is None else hashed.result())


class _DataExtents:
    """The data extents of a volume, compared with ranges in order."""

    def __init__(self, extents: Iterator[Extent]) -> None:
        self._extents = extents
        self._current: Extent | None = next(extents, None)

    def overlap(self, start: int, end: int) -> bool:
        """Return whether an extent overlaps a range."""
        while self._current is not None and self._current[1] <= start:
            self._current = next(self._extents, None)
        return self._current is not None and self._current[0] < end
