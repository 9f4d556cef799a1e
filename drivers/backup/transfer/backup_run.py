# SPDX-License-Identifier: Apache-2.0
"""Write a volume's data into a store: read, hash, compress, store.

Each extent of the volume has a thread that reads it and writes its object; the hashes and
the compression run on threads that all transfers share. A few segments of an extent are in
memory at once, so memory has a bound. Durable progress is written to a checkpoint, after
which the next try continues.

An incremental backup stores, of each extent, the runs of blocks whose hashes differ from
the parent's. A run is read a second time to be stored, when its length is known.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.object_writer import ObjectTarget, ObjectWriter
from drivers.backup.stores.object_store import StoreError
from drivers.backup.transfer import extents, stored_names, volume_reader
from drivers.backup.transfer.changed_blocks import ChangedBlocks, Parent
from drivers.backup.transfer.checkpoint import Checkpoint, Interval
from drivers.backup.transfer.extents import ObjectExtent
from drivers.backup.transfer.limits import TransferLimits
from drivers.blockio import BlockFile, Extent
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace

MAX_NOTIFIED = 10_000
"""Number of objects in a notification."""

REPORT_INTERVAL = 0.5
"""Seconds between two reports of progress."""

FINISH_TIME = 10.0
"""Longest time that a stopping process gives to extents that have begun, in seconds."""


@dataclass
class BackupProgress:
    """The objects that a backup has stored.

    :param extents: the ranges of the volume that were processed.
    """

    objects: list[StoredObject] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)

    @classmethod
    def recorded(cls, checkpoint: Checkpoint) -> BackupProgress:
        """Return the progress of an earlier try."""
        progress = cls()
        for entry in checkpoint.entries():
            progress.extents += [(begin, end) for begin, end in entry["parts"]]
            progress.objects += [StoredObject.from_json(one) for one in entry["objects"]]
        return progress


class BackupRun:
    """One backup, from its first object to its last.

    :param own: gets the hashes of the volume's blocks.
    :param parent: None for a full backup.
    """

    def __init__(
        self,
        limits: TransferLimits,
        source: BlockFile,
        target: ObjectTarget,
        own: BlockHashes,
        checkpoint: Checkpoint,
        parent: Parent | None = None,
    ) -> None:
        self._limits = limits
        self._source = source
        self._target = target
        self._own = own
        self._checkpoint = checkpoint
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._recorded, self._unrecorded = BackupProgress.recorded(checkpoint), BackupProgress()
        self._processed_before = sum(end - begin for begin, end in self._recorded.extents)
        self._recorded_bytes = self._processed_before
        self._until_checkpoint = Interval()
        self._reader = volume_reader.VolumeReader(source, own.block_size, limits, self._stop)
        number = max((_number(one.name) for one in self._recorded.objects), default=0)
        self._writer = ObjectWriter(target, self._reader, limits, number + 1)
        self._changes = ChangedBlocks(parent, own, self._reader) if parent is not None else None

    def run(self, pace: Pace) -> list[StoredObject]:
        """Store the missing objects, and return all of them in the order of their offsets.

        :raises BackupDriverException: the backup is incomplete.
        :raises Exception: that ``pace`` raised; the backup is incomplete.
        """
        self._reader.moved = pace.moved
        pace.show(self._payload)
        self._report_saved(pace)
        self._own.resize(-(-self._source.size // self._own.block_size))
        self._delete_unrecorded()
        try:
            with ThreadPoolExecutor(self._limits.transfers, "backup") as threads:
                self._process_all(threads, pace)
        except BaseException:
            with suppress(StoreError, BackupDriverException):
                self._write_checkpoint(pace)
                self._target.store.sync(self._target.container, self._target.prefix)
            raise
        self._write_checkpoint(pace)
        return sorted(self._recorded.objects, key=lambda one: one.offset)

    def _payload(self) -> dict[str, Any]:
        with self._lock:
            objects = [*self._recorded.objects, *self._unrecorded.objects]
        return notification_payload(self._target.prefix, objects, self._writer.next_number)

    def _delete_unrecorded(self) -> None:
        """Delete what an earlier try stored, or began to, after its last checkpoint."""
        recorded = {one.name for one in self._recorded.objects}
        store, container = self._target.store, self._target.container
        prefix = self._target.prefix
        for names in stored_names.own_names(store, container, prefix):
            for name in names:
                if name not in recorded:
                    store.delete(container, name)
        store.remove_unfinished(container, prefix)

    def _process_all(self, threads: ThreadPoolExecutor, pace: Pace) -> None:
        """Give extents to threads as they become free, and report the progress."""
        running: set[Future[None]] = set()
        with ending(self._stop, lambda: running, pace):
            for extent in self._extents():
                running.add(threads.submit(self._process, extent))
                while len(running) > self._limits.transfers:
                    running = self._wait(running, pace)
            while running:
                running = self._wait(running, pace)

    def _wait(self, running: set[Future[None]], pace: Pace) -> set[Future[None]]:
        with pace.waiting():
            done, left = wait(running, REPORT_INTERVAL, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()
        if self._until_checkpoint.expired():
            self._write_checkpoint(pace)
        pace.progress(self._fraction())
        return left

    def _fraction(self) -> float:
        processed = self._processed_before + self._reader.processed
        return min(1.0, processed / max(1, self._source.size))

    def _extents(self) -> Iterator[ObjectExtent]:
        alignment = volume_reader.segment_size(self._own.block_size)
        max_size = self._target.max_object_size
        for begin, end in extents.missing(self._recorded.extents, self._source.size):
            data = self._source.data_extents(begin, end)
            yield from extents.divide(data, begin, end, max_size=max_size, alignment=alignment)

    def _process(self, extent: ObjectExtent) -> None:
        with self._limits.slot(self._stop):
            objects = list(self._objects(extent))
        with self._lock:
            self._unrecorded.objects += objects
            self._unrecorded.extents.append((extent.start, extent.end))

    def _objects(self, extent: ObjectExtent) -> Iterator[StoredObject]:
        if self._changes is None:
            segments = self._reader.hashed_segments(
                extent.start, extent.end, self._write_hashes, hole=extent.hole
            )
            yield from self._writer.store(extent.start, extent.end, segments)
            return
        for start, end in self._changes.within(extent):
            segments = self._reader.segments(start, end, hole=extent.hole)
            yield from self._writer.store(start, end, segments)

    def _write_hashes(self, begin: int, hashes: bytes | None) -> None:
        if hashes is not None:
            self._own.write(begin // self._own.block_size, hashes)

    def _write_checkpoint(self, pace: Pace) -> None:
        """Make the stored objects durable, and record them in the checkpoint."""
        with self._lock:
            progress, self._unrecorded = self._unrecorded, BackupProgress()
        self._until_checkpoint.restart()
        if not progress.extents:
            return
        self._target.store.sync(self._target.container, self._target.prefix)
        self._own.flush()
        objects = [one.to_json() for one in progress.objects]
        own = self._own
        self._checkpoint.append(
            {"parts": progress.extents, "objects": objects},
            lambda: (own.read(*place) for place in own.places(progress.extents)),
        )
        self._recorded.objects += progress.objects
        self._recorded.extents += progress.extents
        self._recorded_bytes += sum(end - begin for begin, end in progress.extents)
        self._report_saved(pace)

    def _report_saved(self, pace: Pace) -> None:
        """Report the checkpoint; at the begin the one of an attempt that did not get to that."""
        if self._recorded_bytes:
            pace.saved(min(1.0, self._recorded_bytes / max(1, self._source.size)))


@contextmanager
def ending(
    stop: threading.Event, running: Callable[[], set[Future[None]]], pace: Pace
) -> Iterator[None]:
    """End a transfer that is interrupted: parts that have begun end as well.

    Where the process stops they are finished, if that does not take long, since the next
    attempt would begin them anew; after an error they are given up.

    :param running: returns the parts that have begun.
    """
    try:
        yield
    except Exception:
        stop.set()
        raise
    except BaseException:  # the process stops, which no error of a driver says
        try:
            with pace.waiting():
                wait(running(), FINISH_TIME)
        finally:
            stop.set()
        raise


def notification_payload(
    prefix: str, objects: Collection[StoredObject], next_number: int = 0
) -> dict[str, Any]:
    """Return the payload of notifications about a backup's objects, as Cinder's.

    It has the objects with the highest offsets, up to the size of one message.

    :param next_number: of the next object, unless it follows from the objects.
    """
    found = heapq.nlargest(MAX_NOTIFIED, objects, key=lambda one: one.offset)
    return {
        "id": next_number or 1 + max((_number(one.name) for one in objects), default=0),
        "list": [one.to_json() for one in reversed(found)],
        "prefix": prefix,
        "volume_meta": None,  # Cinder reads it after the last notification
    }


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
