# SPDX-License-Identifier: Apache-2.0
"""The chain of an incremental backup: the backups that it depends on, and their metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from drivers.backup.format import block_hashes, layout
from drivers.backup.format import bounds as bounding
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.bounds import Bounds
from drivers.backup.format.manifest import Manifest
from drivers.backup.format.object_list import ObjectList
from drivers.backup.stores.object_store import ObjectStore
from drivers.backup.transfer import stored_names
from drivers.interface.errors import BackupDamaged


@dataclass(frozen=True)
class ChainLink:
    """One backup of a chain.

    :param prefix: of its objects.
    :param bounds: of its objects, by its row.
    """

    manifest: Manifest
    container: str
    prefix: str
    bounds: Bounds = bounding.ANY

    @property
    def label(self) -> str:
        """Its name in the text of an error."""
        return f"backup {self.manifest.backup_id}"


class Chain:
    """A backup and the backups that it depends on, the oldest first.

    :param directory: for temporary files with block hashes.
    """

    def __init__(self, store: ObjectStore, links: Sequence[ChainLink], directory: Path) -> None:
        self._store = store
        self.links = links
        self._directory = directory

    @property
    def end(self) -> int:
        """The end of the data of the whole chain, in bytes."""
        return max((one.end for link in self.links for one in link.manifest.objects), default=0)

    def check(self) -> None:
        """Compare the metadata with the store's lists, without reading data.

        :raises BackupDamaged: an object is missing, unknown, or has another length.
        """
        layout.require_no_gap(self.links[0].manifest.objects, self.links[0].manifest.backup_id)
        for link in self.links:
            require_stored(self._store, link, self._directory)

    def require_no_strange(self, link: ChainLink) -> None:
        """:raises BackupDamaged: the store lists an object that the metadata does not have."""
        require_stored(self._store, link, self._directory, only_strange=True)

    @contextmanager
    def block_hashes(self, link: ChainLink) -> Iterator[BlockHashes]:
        """Give the hashes of a backup's blocks.

        The object with the hashes names the size of a block, as the option may have changed.
        """
        name = f"{link.prefix}{layout.BLOCK_HASHES}"
        parts = self._read_block_hashes(link, name)
        with BlockHashes.in_temporary_file(self._directory) as hashes:
            facts = block_hashes.parse(parts, hashes, f"{name} of {link.label}", link.bounds)
            if facts.get("backup_id") != link.manifest.backup_id:
                text = f"is that of backup {facts.get('backup_id')!r:.60}"
                raise BackupDamaged(f"{name} of {link.label} {text}")
            yield hashes

    def _read_block_hashes(self, link: ChainLink, name: str) -> Iterator[bytes]:
        size = crc = 0
        described = link.manifest.block_hashes
        limit = block_hashes.max_size(link.bounds) if described is None else described[0]
        stored = self._store.reading(link.container, name)
        for part in bounding.limited(stored, limit, f"{name} of {link.label}"):
            size, crc = size + len(part), isal_zlib.crc32(part, crc)
            yield part
        if described not in (None, (size, crc)):
            raise BackupDamaged(f"{name} of {link.label} is damaged: it is not as it was written")


def require_stored(
    store: ObjectStore,
    link: ChainLink,
    directory: Path | None = None,
    *,
    only_strange: bool = False,
) -> None:
    """Check that the store lists the objects of a backup, with their lengths, and no others.

    :param only_strange: check for others only.
    :raises BackupDamaged: the list differs.
    """
    known, described = link.manifest.objects, link.manifest.block_hashes
    objects = ObjectList.of(link.prefix, known, directory)
    hashes = None if described is None else described[0]
    stored_names.require_listed(
        store,
        link.container,
        link.prefix,
        objects,
        hashes,
        link.label,
        only_strange=only_strange,
    )
