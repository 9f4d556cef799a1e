# SPDX-License-Identifier: Apache-2.0
"""Bring the data of a backup back, with that of the backups that it builds on.

The oldest goes first, the others over it. Everything that can be known without reading
data is compared before the first byte is written: the metadata of each, the names and
sizes of the objects, the place on the volume. The rest is compared on the way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib
from oslo_utils import timeutils

from drivers import blockio
from drivers.backup.format import block_hashes as hashes
from drivers.backup.format import layout
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.layout import Stored
from drivers.backup.format.manifest import Manifest
from drivers.backup.format.object_check import Checked
from drivers.backup.stores.object_store import ObjectStore
from drivers.backup.transfer.backup_run import SETTLE, TELL
from drivers.backup.transfer.checkpoint import Checkpoint
from drivers.backup.transfer.limits import TransferLimits
from drivers.blockio import BlockFile
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace


@dataclass(frozen=True)
class Link:
    """One backup of a chain.

    :param prefix: of its objects.
    """

    manifest: Manifest
    container: str
    prefix: str

    @property
    def what(self) -> str:
        """It, in the text of an error."""
        return f"backup {self.manifest.backup_id}"


class Chain:
    """A backup and all that it builds on, the oldest first.

    :param directory: for hashes that are compared with.
    """

    def __init__(self, store: ObjectStore, links: Sequence[Link], directory: Path) -> None:
        self._store = store
        self.links = links
        self._directory = directory

    @property
    def end(self) -> int:
        """Where the data of the whole chain ends, in bytes."""
        return max((one.end for link in self.links for one in link.manifest.objects), default=0)

    def check(self) -> None:
        """Compare the metadata, without reading data.

        :raises BackupDamaged: an object is missing, too many, or not as long as it was.
        """
        layout.require_whole(self.links[0].manifest.objects, self.links[0].manifest.backup_id)
        for link in self.links:
            require_kept(self._store, link)

    @contextmanager
    def noted(self, link: Link, *, always: bool = False) -> Iterator[BlockHashes | None]:
        """Give the hashes of a backup's blocks, where objects are to be compared with them.

        How large a block is they say themselves: the option may have been another then.
        Where the metadata is sealed it says enough of each object; then only the hashes
        themselves are compared with it.
        """
        name = f"{link.prefix}{layout.DIGESTS}"
        parts = self._noted_parts(link, name)
        if link.manifest.sealed and not always:
            for _part in parts:
                pass
            yield None
            return
        with BlockHashes.aside(self._directory) as noted:
            facts = hashes.parse(parts, noted, f"{name} of {link.what}")
            if facts.get("backup_id") != link.manifest.backup_id:
                text = f"is that of backup {facts.get('backup_id')!r:.60}"
                raise BackupDamaged(f"{name} of {link.what} {text}")
            yield noted

    def _noted_parts(self, link: Link, name: str) -> Iterator[bytes]:
        size = crc = 0
        for part in self._store.reading(link.container, name):
            size, crc = size + len(part), isal_zlib.crc32(part, crc)
            yield part
        if link.manifest.digests is not None and link.manifest.digests != (size, crc):
            raise BackupDamaged(f"{name} of {link.what} is damaged: it is not as it was written")


def require_kept(store: ObjectStore, link: Link) -> None:
    """See that the store lists the objects of a backup, each as long as it was, and no other.

    :raises BackupDamaged: it does not.
    """
    found = dict(store.names(link.container, link.prefix))
    digests, noted = f"{link.prefix}{layout.DIGESTS}", link.manifest.digests
    kept = [(one.name, one.size, found.pop(one.name, None)) for one in link.manifest.objects]
    if noted is not None:
        kept.append((digests, noted[0], found.pop(digests, None)))
    if missing := sorted(name for name, _size, size in kept if size is None):
        raise BackupDamaged(f"{missing[0]} of {link.what} is missing{_more(missing)}")
    if strange := sorted(found.keys() - {f"{link.prefix}{layout.METADATA}", digests}):
        text = f"is no object of {link.what}, yet it has such a name"
        raise BackupDamaged(f"{strange[0]} {text}{_more(strange)}")
    for name, wanted, size in kept:
        if wanted not in (None, size):
            raise BackupDamaged(f"{name} is damaged: it has {size} bytes, not {wanted}")


class RestoreRun:
    """A chain's way back, to a volume or, to see whether it could be, to nowhere.

    :param target: None to read and compare only.
    :param clear: whether unwritten parts of the target read as zeros.
    :param notes: the checkpoint; None where nothing is written.
    """

    def __init__(
        self,
        lanes: TransferLimits,
        store: ObjectStore,
        chain: Chain,
        target: BlockFile | None = None,
        notes: Checkpoint | None = None,
        *,
        clear: bool = False,
    ) -> None:
        self._lanes = lanes
        self._store = store
        self._chain = chain
        self._target = target
        self._notes = notes
        self._clear = clear
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._until_settling = timeutils.StopWatch(SETTLE).start()
        self._fresh: list[str] = []
        self._done = {name for note in (notes.found() if notes else ()) for name in note}
        self._passed = 0
        self._all = max(1, sum(link.manifest.size for link in chain.links))

    def run(self, pace: Pace) -> None:
        """Restore, or compare, everything.

        :raises BackupDamaged: an object is not as it was stored; the text names it.
        :raises BackupDriverException: the target is too small, or cannot be written.
        """
        self._chain.check()
        if self._target is not None and self._target.size < self._chain.end:
            sizes = f"{self._target.size} bytes, the backup needs {self._chain.end}"
            raise BackupDriverException(f"the volume is too small: it has {sizes}")
        for number, link in enumerate(self._chain.links):
            always = self._target is None
            with self._chain.noted(link, always=always) as noted:
                if noted is not None:
                    self._check_extent(link, noted)
                self._bring(link, noted, pace, clear=self._clear and number == 0)
        pace.tell(1.0)

    def _check_extent(self, link: Link, noted: BlockHashes) -> None:
        end = max((one.end for one in link.manifest.objects), default=0)
        blocks = -(-end // noted.block)
        full = link.manifest.parent_id is None
        if blocks > noted.count or (full and blocks != noted.count):
            text = f"has the hashes of {noted.count} blocks, its objects have {blocks}"
            raise BackupDamaged(f"{link.what} is damaged: it {text}")

    def _bring(self, link: Link, noted: BlockHashes | None, pace: Pace, *, clear: bool) -> None:
        checked = Checked(self._store, link.container, self._lanes, self._stop, noted)
        with ThreadPoolExecutor(self._lanes.transfers, "bring") as threads:
            try:
                running: set[Future[None]] = set()
                for one in link.manifest.objects:
                    if one.name in self._done:
                        self._pass_by(one.length)
                        continue
                    running.add(threads.submit(self._object, checked, one, clear))
                    while len(running) > self._lanes.transfers:
                        running = self._look(running, pace)
                while running:
                    running = self._look(running, pace)
            except BaseException:
                self._stop.set()
                raise
        self._settle()  # later data over it comes after it

    def _look(self, running: set[Future[None]], pace: Pace) -> set[Future[None]]:
        with pace.waiting():
            done, left = wait(running, TELL, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()
        if self._until_settling.expired():
            self._settle()
        pace.tell(min(1.0, self._passed / self._all))
        return left

    def _object(self, checked: Checked, one: Stored, clear: bool) -> None:
        with self._lanes.place(self._stop):
            for offset, data, length in checked.data(one):
                if self._target is not None:
                    _write(self._target, offset, data, length, clear)
                self._pass_by(length)
        with self._guard:
            self._fresh.append(one.name)

    def _pass_by(self, length: int) -> None:
        with self._guard:
            self._passed += length

    def _settle(self) -> None:
        """Make the written data durable, and write a checkpoint."""
        with self._guard:
            fresh, self._fresh = self._fresh, []
        self._until_settling.restart()
        if fresh and self._target is not None and self._notes is not None:
            self._target.flush()
            self._notes.take(fresh)


def _write(target: BlockFile, offset: int, data: bytes | None, length: int, clear: bool) -> None:
    """Write a part; zeros take no space, and no time where there are zeros already."""
    if data is None or blockio.is_zero(data):
        if not clear:
            target.zero(offset, length)
    elif clear:
        target.write_data(offset, data)
    else:
        target.write(offset, data)


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
