# SPDX-License-Identifier: Apache-2.0
"""Copy changed extents from one volume or image to another, several pieces at once.

The extents are in order, and so are the checkpoints: everything before one is durable in the
target. Writing an extent again changes nothing, so a transfer continues after its last checkpoint.
Nothing is written unless the operation was known to be this host's shortly before.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from oslo_utils import units

from drivers import blockio
from drivers.backup.ceph.write_permit import WritePermit
from drivers.backup.transfer.checkpoint import Interval
from drivers.backup.transfer.limits import TransferLimits
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import OwnershipLost, Pace
from drivers.rbd_image import Change

PIECE = 2 * units.Mi
"""Bytes of an extent that are in memory together; the client of the cluster has copies of them."""

BLOCK = 64 * units.Ki
"""Bytes that are compared together, with zeros or with the target."""

_REPORT_INTERVAL = 0.5
_FINISH_TIME = 10.0


class Source(Protocol):
    """The side that is read."""

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes; fewer only behind the end."""


class Target(Source, Protocol):
    """The side that is written."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all data."""

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros."""

    def flush(self) -> None:
        """Make everything durable."""


class ExtentCopy:
    """One transfer.

    :param piece: bytes that are read at once.
    :param total: bytes of the volume, for the progress.
    :param target_is_zero: zeros need not be written.
    :param compare: write only blocks that differ from those of the target.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        limits: TransferLimits,
        *,
        total: int,
        piece: int = PIECE,
        target_is_zero: bool = False,
        compare: bool = False,
    ) -> None:
        self._source = source
        self._target = target
        self._limits = limits
        self._total = max(1, total)
        self._piece = piece
        self._target_is_zero = target_is_zero
        self._compare = compare
        self._stop = threading.Event()
        self._permit = WritePermit(self._stop)
        self._done = 0
        self._moved: Callable[[int], None] = lambda _length: None

    def run(self, changes: Iterable[Change], pace: Pace, save: Callable[[int], None]) -> None:
        """Copy extents.

        :param save: called with the offset of each checkpoint.
        :raises BackupDriverException: the source became shorter meanwhile.
        :raises Exception: that ``pace`` raised, or a side.
        """
        self._moved = pace.moved
        until_checkpoint, saved = Interval(), self._done
        waiting: deque[tuple[int, Future[None]]] = deque()
        with ThreadPoolExecutor(self._limits.transfers, "rbd") as threads:
            try:
                for change in _pieces(changes, self._piece):
                    self._report_in_time(pace)
                    waiting.append((change.end, threads.submit(self._copy, change)))
                    while len(waiting) > self._limits.transfers:
                        self._wait(waiting, pace)
                    if until_checkpoint.expired() and self._done > saved:
                        saved = self._checkpoint(save, pace)
                        until_checkpoint.restart()
                while waiting:
                    self._wait(waiting, pace)
            except (Exception, OwnershipLost):
                self._stop.set()
                raise
            except BaseException:  # the process stops, and pieces that have begun are kept
                self._permit.give_no_more()
                with suppress(Exception):
                    self._finish(waiting)
                with suppress(Exception):
                    self._checkpoint(save, pace)
                self._stop.set()
                raise
        self._checkpoint(save, pace)

    def _wait(self, waiting: deque[tuple[int, Future[None]]], pace: Pace) -> None:
        """Wait for the oldest piece, and report the progress."""
        end, oldest = waiting[0]
        while True:
            self._report_in_time(pace)
            with suppress(TimeoutError), pace.waiting():
                oldest.result(_REPORT_INTERVAL)
            self._report(pace)
            if oldest.done():
                break
        oldest.result()
        waiting.popleft()
        self._done = end

    def _report_in_time(self, pace: Pace) -> None:
        if not self._permit.is_fresh:
            self._report(pace)

    def _report(self, pace: Pace) -> None:
        """Report the progress, which also checks that the operation is still this host's."""
        pace.progress(min(1.0, self._done / self._total))
        self._permit.give()

    def _finish(self, waiting: deque[tuple[int, Future[None]]]) -> None:
        for end, one in waiting:
            one.result(_FINISH_TIME)
            self._done = end

    def _checkpoint(self, save: Callable[[int], None], pace: Pace) -> int:
        if self._done:
            with pace.waiting():
                self._target.flush()
                save(self._done)
            pace.saved(min(1.0, self._done / self._total))
        return self._done

    def _copy(self, change: Change) -> None:
        with self._limits.slot(self._stop):
            length = change.end - change.start
            if not change.has_data:
                self._zero(change.start, length)
                return
            self._limits.admit(length, self._stop)
            data = self._source.read(change.start, length)
            self._moved(len(data))
            if len(data) != length:
                text = f"ends at {change.start + len(data)} bytes, where it had more before"
                raise BackupDriverException(f"the volume {text}")
            if self._compare:
                self._write_differences(change.start, data)
            else:
                self._write(change.start, data)

    def _write_differences(self, offset: int, data: bytes) -> None:
        view, there = memoryview(data), self._target.read(offset, len(data))
        if there == data:
            return
        for start, end, differs in _runs(len(data), lambda a, b: data[a:b] != there[a:b]):
            if differs:
                self._write(offset + start, bytes(view[start:end]))

    def _write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        for start, end, is_zero in _runs(len(data), lambda a, b: blockio.is_zero(data[a:b])):
            if is_zero:
                self._zero(offset + start, end - start)
            else:
                part = data if end - start == len(data) else view[start:end]
                self._permit.require()
                self._target.write(offset + start, part)

    def _zero(self, offset: int, length: int) -> None:
        if not self._target_is_zero:
            self._permit.require()
            self._target.zero(offset, length)


def _runs(length: int, kind: Callable[[int, int], bool]) -> Iterator[tuple[int, int, bool]]:
    """Yield runs of blocks of the same kind: start, end and the kind."""
    begin, current = 0, None
    for at in range(0, length, BLOCK):
        found = kind(at, min(at + BLOCK, length))
        if current is not None and found != current:
            yield begin, at, current
            begin = at
        current = found
    if current is not None:
        yield begin, length, current


def _pieces(changes: Iterable[Change], size: int) -> Iterator[Change]:
    """Divide extents at multiples of a size; ranges without data stay whole."""
    for one in changes:
        if not one.has_data:
            yield one
            continue
        at = one.start
        while at < one.end:
            stop = min(one.end, at - at % size + size)
            yield Change(at, stop)
            at = stop
