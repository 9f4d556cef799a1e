# SPDX-License-Identifier: Apache-2.0
"""Write a volume's data into a store: read, hash, compress, store.

Each piece of the volume has a thread that reads it, hashes it as a whole and writes it;
the blocks' hashes and the compression are done on threads that all transfers share. A
few segments of a piece are on their way at once, so memory has a bound. Durable progress
is written to a checkpoint, after which a second try continues.

An incremental backup stores, of each piece, the runs of blocks whose hashes are not
those of its parent. A run is read a second time to be stored: its length is known then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from oslo_utils import timeutils

from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.layout import Stored
from drivers.backup.format.object_writer import Objects, ObjectTarget
from drivers.backup.stores.object_store import StoreError
from drivers.backup.transfer import extents, volume_reader
from drivers.backup.transfer.changed_blocks import Changes, Parent
from drivers.backup.transfer.checkpoint import Checkpoint
from drivers.backup.transfer.extents import ObjectExtent
from drivers.backup.transfer.limits import TransferLimits
from drivers.blockio import BlockFile
from drivers.interface.pace import Pace

SETTLE = 5.0
"""Longest time between two checkpoints, in seconds."""

MOST_TOLD = 10_000
"""Objects in a notification."""

TELL = 0.5
"""Seconds between two reports of progress."""


@dataclass
class Kept:
    """The objects that a running backup has stored.

    :param parts: of the volume that were looked at.
    """

    objects: list[Stored] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def noted(cls, notes: Checkpoint) -> Kept:
        """Return the objects of an earlier try's checkpoint."""
        kept = cls()
        for note in notes.found():
            kept.parts += [(begin, end) for begin, end in note["parts"]]
            kept.objects += [Stored.from_json(entry) for entry in note["objects"]]
        return kept


class BackupRun:
    """One backup, from its first object to its last.

    :param own: gets the hashes of the volume's blocks.
    :param parent: None for a full backup.
    """

    def __init__(
        self,
        lanes: TransferLimits,
        source: BlockFile,
        target: ObjectTarget,
        own: BlockHashes,
        notes: Checkpoint,
        parent: Parent | None = None,
    ) -> None:
        self._lanes = lanes
        self._source = source
        self._target = target
        self._own = own
        self._notes = notes
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._kept, self._fresh = Kept.noted(notes), Kept()
        self._before = sum(end - begin for begin, end in self._kept.parts)
        self._until_settling = timeutils.StopWatch(SETTLE).start()
        self._reader = volume_reader.Reader(source, own.block, lanes, self._stop)
        number = max((_number(one.name) for one in self._kept.objects), default=0)
        self._objects = Objects(target, self._reader, lanes, number + 1)
        self._changes = Changes(parent, own, self._reader) if parent is not None else None

    def run(self, pace: Pace) -> list[Stored]:
        """Store the missing objects, and return all of them in the order of their offsets.

        :raises BackupDriverException: it is incomplete.
        :raises Exception: that ``pace`` raised; the backup is incomplete.
        """
        pace.show(self._facts)
        self._own.resize(-(-self._source.size // self._own.block))
        self._clear_away()
        try:
            with ThreadPoolExecutor(self._lanes.transfers, "keep") as threads:
                try:
                    self._drive(threads, pace)
                except BaseException:
                    self._stop.set()
                    raise
        except BaseException:
            with suppress(StoreError):  # their results are not needed any more
                self._target.store.settle(self._target.container, self._target.prefix)
            raise
        self._settle()
        return sorted(self._kept.objects, key=lambda one: one.offset)

    def _facts(self) -> dict[str, Any]:
        with self._guard:
            objects = [*self._kept.objects, *self._fresh.objects]
        return facts(self._target.prefix, objects, self._objects.following)

    def _clear_away(self) -> None:
        """Delete objects that an earlier try stored after its checkpoint."""
        noted = {one.name for one in self._kept.objects}
        store, container = self._target.store, self._target.container
        for name in store.names(container, self._target.prefix).keys() - noted:
            store.delete(container, name)

    def _drive(self, threads: ThreadPoolExecutor, pace: Pace) -> None:
        """Give extents to threads as they become free, and report the progress."""
        running: set[Future[None]] = set()
        for piece in self._pieces():
            running.add(threads.submit(self._keep, piece))
            while len(running) > self._lanes.transfers:
                running = self._look(running, pace)
        while running:
            running = self._look(running, pace)

    def _look(self, running: set[Future[None]], pace: Pace) -> set[Future[None]]:
        with pace.waiting():
            done, left = wait(running, TELL, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()
        if self._until_settling.expired():
            self._settle()
        pace.tell(self._fraction())
        return left

    def _fraction(self) -> float:
        return min(1.0, (self._before + self._reader.passed) / max(1, self._source.size))

    def _pieces(self) -> Iterator[ObjectExtent]:
        grain = volume_reader.grain(self._own.block)
        for begin, end in extents.missing(self._kept.parts, self._source.size):
            data = self._source.data_extents(begin, end)
            yield from extents.cut(data, begin, end, most=self._target.most, grain=grain)

    def _keep(self, piece: ObjectExtent) -> None:
        with self._lanes.place(self._stop):
            objects = list(self._objects_of(piece))
        with self._guard:
            self._fresh.objects += objects
            self._fresh.parts.append((piece.start, piece.end))

    def _objects_of(self, piece: ObjectExtent) -> Iterator[Stored]:
        if self._changes is None:
            segments = self._reader.hashed(piece.start, piece.end, self._note, hole=piece.hole)
            yield from self._objects.store(piece.start, piece.end, segments)
            return
        for start, end in self._changes.within(piece):
            segments = self._reader.segments(start, end, hole=piece.hole)
            yield from self._objects.store(start, end, segments)

    def _note(self, begin: int, hashes: bytes | None) -> None:
        if hashes is not None:
            self._own.write(begin // self._own.block, hashes)

    def _settle(self) -> None:
        """Make the stored objects durable, and write a checkpoint."""
        with self._guard:
            fresh, self._fresh = self._fresh, Kept()
        self._until_settling.restart()
        if not fresh.parts:
            return
        self._target.store.settle(self._target.container, self._target.prefix)
        self._own.flush()
        objects = [one.to_json() for one in fresh.objects]
        self._notes.take({"parts": fresh.parts, "objects": objects})
        self._kept.objects += fresh.objects
        self._kept.parts += fresh.parts


def facts(prefix: str, objects: Iterable[Stored], following: int = 0) -> dict[str, Any]:
    """Return the payload of notifications about a backup's objects, as Cinder's.

    Of very many the last ones, in the order of their offsets: a message has to stay one.

    :param following: the number of the next one, unless that follows from the objects.
    """
    found = sorted(objects, key=lambda one: one.offset)
    return {
        "id": following or 1 + max((_number(one.name) for one in found), default=0),
        "list": [one.to_json() for one in found[-MOST_TOLD:]],
        "prefix": prefix,
        "volume_meta": None,  # Cinder reads it after the last notification
    }


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
