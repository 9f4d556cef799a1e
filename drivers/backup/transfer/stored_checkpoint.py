# SPDX-License-Identifier: Apache-2.0
"""Checkpoint whose entries are also objects of the store, where other hosts find them.

The object of an entry is written before the entry: another host never has fewer entries than
this one. It has a line of JSON, with the CRC-32 of all that follows; a line
with the entry; and the hashes of its blocks. The names do not begin as those of the backup's
objects, so a list of these is as it was. Objects are read by their numbers, up to the first one
that is missing, which no list of a busy store hides.
"""

from __future__ import annotations

import itertools
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.backup.format import layout
from drivers.backup.format.block_hashes import SIZE, BlockHashes
from drivers.backup.stores.object_store import Missing, ObjectStore, StoreError
from drivers.backup.transfer import stored_names
from drivers.backup.transfer.checkpoint import Checkpoint

LOG = logging.getLogger(__name__)

_PREFIX = ".checkpoint-"


@dataclass(frozen=True)
class CheckpointPlace:
    """Where the objects of one checkpoint are.

    :param key: of the transfer: the backup, and the volume of a restore.
    """

    store: ObjectStore
    container: str
    key: str

    @property
    def prefix(self) -> str:
        """The beginning of their names."""
        return f"{_PREFIX}{self.key}"

    def remove(self, after: int = 0) -> None:
        """Remove them, and the rest of an interrupted write of them.

        :param after: number of the last one that stays.
        """
        store, container = self.store, self.container
        for names in stored_names.own_names(store, container, self.prefix):
            for name in names:
                if int(name.rpartition("-")[2]) > after:
                    store.delete(container, name)
        store.remove_unfinished(container, self.prefix)

    def remove_all(self) -> None:
        """Remove those of a backup and of all its restores."""
        names = [name for name, _size in self.store.listed(self.container, self.prefix)]
        for name in names:
            self.store.delete(self.container, name)
        for prefix in {self.prefix, *(name.rpartition("-")[0] for name in names)}:
            self.store.remove_unfinished(self.container, prefix)

    def write(self, number: int, content: bytes) -> None:
        """Write one, durably."""
        with self.store.writing(self.container, layout.object_name(self.prefix, number)) as sink:
            sink.write(content)
        self.store.sync(self.container, self.prefix)

    def read(self) -> Iterator[bytes]:
        """Yield their contents in the order in which they were written."""
        for number in itertools.count(1):
            name = layout.object_name(self.prefix, number)
            try:
                yield b"".join(self.store.reading(self.container, name))
            except Missing:
                return


class StoredCheckpoint(Checkpoint):
    """The checkpoint of one transfer, in a file and in the store.

    The file is made anew from the store: another host may have continued since.

    :param hashes: get those of the blocks that an earlier try has read.
    :param required: whether an entry that cannot be stored is an error; otherwise no further
        ones are stored by this attempt.
    """

    def __init__(
        self,
        path: Path,
        transfer: dict[str, Any],
        place: CheckpointPlace,
        hashes: BlockHashes | None = None,
        *,
        required: bool = True,
    ) -> None:
        self._transfer = transfer
        self._place = place
        self._required = required
        self._stores = False
        self._count = 0
        path.unlink(missing_ok=True)
        super().__init__(path, transfer)
        try:
            self._recall(hashes)
        except BaseException:
            self.close()
            raise
        self._stores = True

    def append(self, entry: Any, hashes: Callable[[], Iterable[bytes]] = tuple) -> None:
        """Write an entry to the store and to the disk.

        :raises BackupDriverException: the store, or the disk, did not take it.
        """
        if self._stores:
            lines = (json.dumps(entry, sort_keys=True).encode(), b"\n", *hashes())
            body = b"".join(lines)
            head = {"transfer": self._transfer, "crc32": zlib.crc32(body)}
            content = json.dumps(head, sort_keys=True).encode() + b"\n" + body
            self._count += 1
            self._ask(lambda: self._place.write(self._count, content))
        super().append(entry)

    def _recall(self, hashes: BlockHashes | None) -> None:
        """Take over the entries of earlier tries, and remove all others."""
        for entry, raw in self._stored():
            _spread(entry, raw, hashes)
            super().append(entry)
            self._count += 1
            self.has_entries = True
        # Entries depend on those before them: the rest is of no use.
        self._ask(lambda: self._place.remove(after=self._count))

    def _stored(self) -> Iterator[tuple[Any, bytes]]:
        """Yield the entries of this transfer, with their hashes."""
        try:
            for content in self._place.read():
                head, _, body = content.partition(b"\n")
                facts = json.loads(head)
                if facts != {"transfer": self._transfer, "crc32": zlib.crc32(body)}:
                    return
                entry, _, raw = body.partition(b"\n")
                yield json.loads(entry), raw
        except ValueError as error:
            LOG.warning("a checkpoint of %s is damaged: %s", self._place.key, error)

    def _ask(self, request: Callable[[], None]) -> None:
        try:
            request()
        except StoreError as error:
            if self._required:
                raise
            self._stores = False
            LOG.warning(
                "checkpoints of %s are not stored, another host would begin anew: %s",
                *(self._place.key, error),
            )


def _spread(entry: Any, raw: bytes, hashes: BlockHashes | None) -> None:
    """Write the hashes of an entry's parts of a volume where they belong."""
    if hashes is None:
        return
    at = 0
    for first, count in hashes.places(entry["parts"]):
        hashes.write(first, raw[at : at + count * SIZE])
        at += count * SIZE
