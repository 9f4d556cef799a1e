# SPDX-License-Identifier: Apache-2.0
"""Restore a backup to a volume, with the backups that it depends on; or verify them.

The oldest backup is written first, the others over it, and zeros behind them. Everything that
needs no data is compared before the first byte is written: the metadata of each backup, the
names and sizes of the objects, the size of the volume. The data is compared while it is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from typing import Any

from drivers import block_copy, blockio
from drivers.backup.format import compression, layout
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.layout import BLOCK_HASHES, METADATA, StoredObject
from drivers.backup.format.object_check import VerifyingReader
from drivers.backup.stores.object_store import ObjectStore
from drivers.backup.transfer.backup_run import REPORT_INTERVAL, ending
from drivers.backup.transfer.chain import Chain, ChainLink
from drivers.backup.transfer.checkpoint import Checkpoint, Interval
from drivers.backup.transfer.limits import TransferLimits
from drivers.blockio import BlockFile
from drivers.interface.backup import Damage
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace


class RestoreRun:
    """The restore of a chain to a volume, or its verification without one.

    :param target: None to read and compare only.
    :param target_is_zero: whether unwritten parts of the target read as zeros.
    :param checkpoint: None where nothing is written.
    :param damage: gets the damaged objects; None to end at the first one.
    """

    def __init__(
        self,
        limits: TransferLimits,
        store: ObjectStore,
        chain: Chain,
        target: BlockFile | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        target_is_zero: bool = False,
        damage: list[Damage] | None = None,
    ) -> None:
        self._damage = damage
        self._limits = limits
        self._store = store
        self._chain = chain
        self._target = target
        self._checkpoint = checkpoint
        self._target_is_zero = target_is_zero
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._until_checkpoint = Interval()
        self._unrecorded: list[StoredObject] = []
        self._unrecorded_damage: list[Damage] = []
        self._recorded: set[str] = set()
        for entry in checkpoint.entries() if checkpoint else ():
            self._recall(entry)
        self._processed = 0
        self._moved: Callable[[int], None] = lambda _size: None
        self._total = max(1, sum(link.manifest.size for link in chain.links))
        objects = (one for link in chain.links for one in link.manifest.objects)
        self._recorded_bytes = sum(one.length for one in objects if one.name in self._recorded)

    def _recall(self, entry: Any) -> None:
        """Take over an entry of the checkpoint: the names of objects, and the damage of some."""
        found = {"objects": entry} if isinstance(entry, list) else entry
        self._recorded.update(found["objects"])
        if self._damage is not None:
            self._damage += [Damage(*one) for one in found.get("damage", ())]

    def run(self, pace: Pace) -> None:
        """Restore, or compare, everything.

        :raises BackupDamaged: an object is not as it was stored; the text names it. Not where
            damaged objects are noted.
        :raises BackupDriverException: the target is too small, or cannot be written.
        """
        self._moved = pace.moved
        self._report_saved(pace)
        if self._damage is None:
            self._chain.check()
        if self._target is not None and self._target.size < self._chain.end:
            sizes = f"{self._target.size} bytes, the backup needs {self._chain.end}"
            raise BackupDriverException(f"the volume is too small: it has {sizes}")
        self._note_strange_names()
        self._fill_gaps(pace)
        for number, link in enumerate(self._chain.links):
            target_is_zero = self._target_is_zero and number == 0
            with ExitStack() as stack:
                expected = self._expected(stack, link)
                self._restore(link, expected, pace, target_is_zero)
        if self._target is not None and not self._target_is_zero:
            block_copy.clear_from(self._chain.end, self._target, pace)
            self._target.flush()
        pace.progress(1.0)

    def _note_strange_names(self) -> None:
        """Note objects of which the metadata does not know; missing ones are noted when read."""
        if self._damage is None:
            return
        for link in self._chain.links:
            try:
                self._chain.require_no_strange(link)
            except BackupDamaged as error:
                self._note(f"{link.prefix}{METADATA}", 0, 0, error)

    def _fill_gaps(self, pace: Pace) -> None:
        """Note the gaps of a full backup, and write zeros there, below newer data.

        A gap counts as an object: an attempt that finds it in the checkpoint leaves it alone.
        """
        link = self._chain.links[0]
        if self._damage is None or link.manifest.parent_id is not None:
            return
        name = f"{link.prefix}{METADATA}"
        for start, end in layout.gaps(link.manifest.objects):
            error = layout.gap(link.manifest.backup_id, start, end)
            self._fill(name, start, end, error, pace)
        last = max((one.end for one in link.manifest.objects), default=0)
        if last < self._chain.end:  # the hashes say whether that is a gap
            self._fill(name, last, self._chain.end, None, pace)
        self._write_checkpoint(pace)

    def _fill(
        self, name: str, start: int, end: int, error: BackupDamaged | None, pace: Pace
    ) -> None:
        one = StoredObject(f"{name} {start}", start, end - start, compression.NONE, "")
        if one.name in self._recorded:
            return
        if self._target is not None and not self._target_is_zero:
            block_copy.clear(start, end, self._target, pace)
        self._unrecorded.append(one)
        if error is not None:
            self._unrecorded_damage.append(self._note(name, start, end, error))

    def _expected(self, stack: ExitStack, link: ChainLink) -> BlockHashes | None:
        """Return the hashes of blocks with which the objects of a backup are compared."""
        try:
            expected = stack.enter_context(self._chain.block_hashes(link))
            self._check_count(link, expected)
            return expected
        except BackupDamaged as error:
            self._note(f"{link.prefix}{BLOCK_HASHES}", 0, 0, error)
            return None

    def _note(self, name: str, start: int, end: int, error: BackupDamaged) -> Damage:
        """Note a damaged object. :raises BackupDamaged: damage is not to be noted."""
        if self._damage is None:
            raise error
        found = Damage(name, start, end, str(error))
        with self._lock:
            self._damage.append(found)
        return found

    def _check_count(self, link: ChainLink, expected: BlockHashes) -> None:
        end = max((one.end for one in link.manifest.objects), default=0)
        blocks = -(-end // expected.block_size)
        full = link.manifest.parent_id is None
        if blocks > expected.count or (full and blocks != expected.count):
            text = f"has the hashes of {expected.count} blocks, its objects have {blocks}"
            raise BackupDamaged(f"{link.label} is damaged: it {text}")

    def _restore(
        self, link: ChainLink, expected: BlockHashes | None, pace: Pace, target_is_zero: bool
    ) -> None:
        reader = self._reader(link, expected)
        try:
            with ThreadPoolExecutor(self._limits.transfers, "restore") as threads:
                self._restore_all(threads, link, reader, pace, target_is_zero)
        except BaseException:
            with suppress(BackupDriverException, OSError):
                self._write_checkpoint(pace)
            raise
        self._write_checkpoint(pace)  # the next link overwrites this one

    def _reader(self, link: ChainLink, expected: BlockHashes | None) -> VerifyingReader:
        """Return a reader that computes one hash of sealed data, and both of any other.

        The SHA-256 of its blocks takes half the time of an MD5 where processors have instructions
        for it. Past damage it is the MD5: it is known at the end of an object, so that everything
        behind a wrong block is written, too.
        """
        has_both = self._target is None or not link.manifest.sealed
        if not has_both and self._damage is not None:
            expected = None
        reading = (self._store, link.container, self._limits, self._stop, expected)
        return VerifyingReader(*reading, compares_md5=has_both)

    def _restore_all(
        self,
        threads: ThreadPoolExecutor,
        link: ChainLink,
        reader: VerifyingReader,
        pace: Pace,
        target_is_zero: bool,
    ) -> None:
        """Give objects to threads as they become free, and report the progress."""
        running: set[Future[None]] = set()
        with ending(self._stop, lambda: running, pace):
            for one in link.manifest.objects:
                if one.name in self._recorded:
                    self._count(one.length)
                    continue
                running.add(threads.submit(self._restore_object, reader, one, target_is_zero))
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
        pace.progress(min(1.0, self._processed / self._total))
        return left

    def _restore_object(
        self, reader: VerifyingReader, one: StoredObject, target_is_zero: bool
    ) -> None:
        end = [one.offset]
        noted: list[Damage] = []
        with self._limits.slot(self._stop):
            try:
                self._restore_data(reader, one, target_is_zero, end)
            except BackupDamaged as error:
                noted.append(self._note(one.name, one.offset, one.end, error))
                if self._target is not None and self._is_of_first(one) and not target_is_zero:
                    self._target.zero(end[0], one.end - end[0])
        with self._lock:
            self._unrecorded.append(one)
            # Once newer objects are written over it, it must not be read again.
            self._unrecorded_damage += noted

    def _restore_data(
        self, reader: VerifyingReader, one: StoredObject, target_is_zero: bool, end: list[int]
    ) -> None:
        """Write the data of an object.

        :param end: of the data so far.
        """
        for offset, data, length in reader.data(one):
            is_again = offset < end[0]  # over data that proved wrong
            if self._target is not None:
                _write(self._target, offset, data, length, target_is_zero and not is_again)
            if data is not None:
                self._moved(length)
            if not is_again:
                self._count(length)
                end[0] = offset + length

    def _is_of_first(self, one: StoredObject) -> bool:
        """Return whether no older data is below that of an object."""
        return one.name.startswith(self._chain.links[0].prefix)

    def _count(self, length: int) -> None:
        with self._lock:
            self._processed += length

    def _write_checkpoint(self, pace: Pace) -> None:
        """Make the written data durable, and write a checkpoint."""
        with self._lock:
            objects, self._unrecorded = self._unrecorded, []
            damage, self._unrecorded_damage = self._unrecorded_damage, []
        self._until_checkpoint.restart()
        if objects and self._target is not None and self._checkpoint is not None:
            self._target.flush()
            names = [one.name for one in objects]
            entry = {"objects": names, "damage": damage} if damage else names
            self._checkpoint.append(entry)
            self._recorded_bytes += sum(one.length for one in objects)
            self._report_saved(pace)

    def _report_saved(self, pace: Pace) -> None:
        """Report the checkpoint; at the begin the one of an attempt that did not get to that."""
        if self._recorded_bytes:
            pace.saved(min(1.0, self._recorded_bytes / self._total))


def _write(
    target: BlockFile, offset: int, data: bytes | None, length: int, target_is_zero: bool
) -> None:
    """Write a range; zeros use no space, and are left out of a target that reads as zeros."""
    if data is None or blockio.is_zero(data):
        if not target_is_zero:
            target.zero(offset, length)
    elif target_is_zero:
        target.write_data(offset, data)
    else:
        target.write(offset, data)
