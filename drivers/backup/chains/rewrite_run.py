# SPDX-License-Identifier: Apache-2.0
"""Store the data of a chain anew, without the volume: as one backup.

Objects that are visible as a whole are copied by the store; parts of objects are read, verified,
joined and stored. Durable progress is written to a checkpoint, after which the next try continues.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

from drivers.backup.chains import joined_objects, overlay
from drivers.backup.chains.overlay import NewObject
from drivers.backup.format import compression
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.object_check import VerifyingReader
from drivers.backup.format.object_writer import ObjectTarget, ObjectWriter
from drivers.backup.stores.object_store import StoreError
from drivers.backup.transfer import stored_names
from drivers.backup.transfer.backup_run import REPORT_INTERVAL, BackupProgress, ending
from drivers.backup.transfer.chain import ChainLink
from drivers.backup.transfer.checkpoint import Checkpoint, Interval
from drivers.backup.transfer.limits import TransferLimits
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace


class RewriteRun:
    """One rewrite, from its first object to its last.

    :param links: the backups whose data is stored, the newest first, each with the hashes of its
        blocks where its objects have to be compared with them.
    :param target: the place of the new objects, which is not that of one of the links.
    """

    def __init__(
        self,
        limits: TransferLimits,
        links: Sequence[tuple[ChainLink, BlockHashes | None]],
        target: ObjectTarget,
        checkpoint: Checkpoint,
    ) -> None:
        self._limits = limits
        self._links = [link for link, _hashes in links]
        self._target = target
        self._checkpoint = checkpoint
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._recorded, self._unrecorded = BackupProgress.recorded(checkpoint), BackupProgress()
        self._until_checkpoint = Interval()
        self._readers = [
            VerifyingReader(target.store, link.container, limits, self._stop, hashes)
            for link, hashes in links
        ]
        number = max((_number(one.name) for one in self._recorded.objects), default=0)
        self._writer = ObjectWriter(target, self, limits, number + 1)
        self._total = sum(one.end - one.start for one in self._plan())
        self._processed = sum(end - begin for begin, end in self._recorded.extents)
        self._pace = Pace()

    def run(self, pace: Pace) -> list[StoredObject]:
        """Store the missing objects, and return all of them in the order of their offsets.

        :raises BackupDamaged: an object of the chain is not as it was stored.
        :raises BackupDriverException: the new backup is incomplete.
        """
        self._pace = pace
        self._report_saved()
        self._delete_unrecorded()
        try:
            with ThreadPoolExecutor(self._limits.transfers, "rewrite") as threads:
                self._process_all(threads)
        except BaseException:
            with suppress(StoreError, BackupDriverException):
                self._write_checkpoint()
            raise
        self._write_checkpoint()
        pace.progress(1.0)
        return sorted(self._recorded.objects, key=lambda one: one.offset)

    def is_compressible(self, start: int, end: int) -> bool:
        """Return whether to try: the objects that are joined say so, see :meth:`_store`."""
        return True

    def _plan(self) -> Iterator[NewObject]:
        fragments = overlay.visible([link.manifest.objects for link in self._links])
        return overlay.new_objects(fragments, self._target.max_object_size)

    def _delete_unrecorded(self) -> None:
        """Delete objects of an earlier try that its checkpoint does not have."""
        recorded = {one.name for one in self._recorded.objects}
        store, container = self._target.store, self._target.container
        for names in stored_names.own_names(store, container, self._target.prefix):
            for name in names:
                if name not in recorded:
                    store.delete(container, name)
        store.remove_unfinished(container, self._target.prefix)

    def _process_all(self, threads: ThreadPoolExecutor) -> None:
        known = set(self._recorded.extents)
        running: set[Future[None]] = set()
        with ending(self._stop, lambda: running, self._pace):
            for one in self._plan():
                if (one.start, one.end) in known:
                    continue
                running.add(threads.submit(self._process, one))
                while len(running) > self._limits.transfers:
                    running = self._wait(running)
            while running:
                running = self._wait(running)

    def _wait(self, running: set[Future[None]]) -> set[Future[None]]:
        with self._pace.waiting():
            done, left = wait(running, REPORT_INTERVAL, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()
        if self._until_checkpoint.expired():
            self._write_checkpoint()
        self._pace.progress(self._part(self._processed))
        return left

    def _process(self, wanted: NewObject) -> None:
        with self._limits.slot(self._stop):
            self._limits.admit(0, self._stop)
            objects = list(self._store(wanted))
        with self._lock:
            self._unrecorded.objects += objects
            self._unrecorded.extents.append((wanted.start, wanted.end))
            self._processed += wanted.end - wanted.start

    def _store(self, wanted: NewObject) -> Iterator[StoredObject]:
        store, container = self._target.store, self._target.container
        if (copied := wanted.copied) is not None:
            source, name = copied.source, self._writer.take_name()
            store.copy(self._links[copied.link].container, source.name, container, name)
            yield dataclasses.replace(source, name=name)
            return
        data = joined_objects.segments(wanted, self._readers, self._pace.moved)
        packed = any(
            one.source.compression != compression.NONE and not one.source.zeros
            for one in wanted.fragments
        )
        yield from self._writer.store(wanted.start, wanted.end, data, compress=packed)

    def _write_checkpoint(self) -> None:
        """Make the stored objects durable, and record them in the checkpoint."""
        with self._lock:
            progress, self._unrecorded = self._unrecorded, BackupProgress()
        self._until_checkpoint.restart()
        if not progress.extents:
            return
        self._target.store.sync(self._target.container, self._target.prefix)
        objects = [one.to_json() for one in progress.objects]
        self._checkpoint.append({"parts": progress.extents, "objects": objects})
        self._recorded.objects += progress.objects
        self._recorded.extents += progress.extents
        self._report_saved()

    def _report_saved(self) -> None:
        if saved := sum(end - begin for begin, end in self._recorded.extents):
            self._pace.saved(self._part(saved))

    def _part(self, size: int) -> float:
        return min(1.0, size / max(1, self._total))


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
