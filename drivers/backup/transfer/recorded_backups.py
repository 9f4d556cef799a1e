# SPDX-License-Identifier: Apache-2.0
"""Stored backups as their rows record them: the place, the metadata, the parents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.backup.format import layout, prefixes
from drivers.backup.format import manifest as manifests
from drivers.backup.format.bounds import Bounds
from drivers.backup.format.layout import StoredObject
from drivers.backup.stores.object_store import Missing, ObjectStore
from drivers.backup.transfer import stored_names
from drivers.backup.transfer.chain import Chain, ChainLink
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordedBackups:
    """The backups of a store.

    :param directory: for temporary files.
    """

    store: ObjectStore
    directory: Path

    def location(self, backup: Record) -> tuple[str, str]:
        """Return the container and the prefix of a backup, which its row names."""
        container, prefix = self.store.container(backup), backup.service_metadata
        if not prefix:
            raise BackupDriverException(f"backup {backup.id} has no service_metadata: not placed")
        if ".." in prefix or prefix.startswith("/"):
            raise BackupDriverException(f"backup {backup.id}: {prefix!r:.120} is no prefix")
        return container, str(prefix)

    def finished(
        self, backup: Record, container: str, prefix: str
    ) -> Sequence[StoredObject] | None:
        """Return the objects of a backup that an earlier try has finished."""
        found = self.finished_manifest(backup, container, prefix)
        return None if found is None else found.objects

    def finished_manifest(
        self, backup: Record, container: str, prefix: str
    ) -> manifests.Manifest | None:
        """Return the metadata of a backup that an earlier try has finished."""
        try:
            return self._manifest(backup, container, prefix)
        except Missing:
            return None
        except BackupDriverException as error:
            LOG.warning("backup %s is made anew: %s", backup.id, error)
            return None

    def chain(self, backup: Record) -> Chain:
        """Return a backup and all that it builds on.

        :raises BackupDamaged: one of them is missing, or the two disagree.
        """
        return Chain(self.store, self.links(backup), self.directory)

    def links(self, backup: Record, base_id: str | None = None) -> list[ChainLink]:
        """Return a backup and those that it builds on, the oldest first.

        :param base_id: the backup at which to stop, which is not among them; None for all.
        :raises BackupDamaged: one of them is missing, or the two disagree.
        :raises BackupDriverException: it does not build on ``base_id``.
        """
        links = [self.link(backup)]
        one = backup
        while (wanted := links[0].manifest.parent_id) != base_id:
            if wanted is None:
                raise BackupDriverException(f"backup {backup.id} does not build on {base_id}")
            parent = required_parent(one, wanted)
            if any(link.manifest.backup_id == parent.id for link in links):
                raise BackupDamaged(f"backup {backup.id} builds on itself")
            links.insert(0, self.link(parent))
            one = parent
        return links

    def link(self, backup: Record) -> ChainLink:
        """Return a backup without those that it builds on.

        A record that was exported before its chain was changed names a copy that has gone.
        """
        container, prefix = self.location(backup)
        try:
            return self._link(backup, container, prefix)
        except Missing:
            if (other := self._other_copy(backup, container, prefix)) is None:
                raise
            text = "backup %s is read from %s: its row names %s, which is not there"
            LOG.warning(text, backup.id, other, prefix)
            return self._link(backup.replace(object_count=None), container, other)

    def _other_copy(self, backup: Record, container: str, prefix: str) -> str | None:
        """Return the prefix of the newest copy of a backup whose metadata is there."""
        begin, key = prefixes.all_moments(prefix), str(backup.id)
        copies = stored_names.own_prefixes(self.store, container, begin, key, layout.METADATA)
        return max(copies, default=None)

    def _link(self, backup: Record, container: str, prefix: str) -> ChainLink:
        manifest = self._manifest(backup, container, prefix)
        count = backup.object_count
        if count is not None and backup.status != "creating" and count != len(manifest.objects):
            text = f"its metadata lists {len(manifest.objects)} objects, its row {count}"
            raise BackupDamaged(f"backup {backup.id} is damaged: {text}")
        return ChainLink(manifest, container, prefix, _bounds(backup))

    def _manifest(self, backup: Record, container: str, prefix: str) -> manifests.Manifest:
        parts = self.store.reading(container, f"{prefix}{layout.METADATA}")
        return manifests.read(parts, prefix, str(backup.id), _bounds(backup), self.directory)


def required_parent(backup: Record, wanted: str) -> Record:
    """Return the parent of a backup, whose metadata names it.

    :raises BackupDamaged: its row names another one, or none, or that is gone.
    """
    parent: Record | None = backup.parent if backup.parent_id else None
    if parent is None or parent.id != wanted:
        text = f"builds on backup {wanted}, which its row does not name"
        if backup.parent_id == wanted:
            text = f"builds on backup {wanted}, which does not exist any more"
        raise BackupDamaged(f"backup {backup.id} {text}")
    return parent


def parent_of(backup: Record) -> Record | None:
    """Return the parent of an incremental backup; None where all data has to be stored."""
    if not backup.parent_id:
        return None
    parent: Record | None = backup.parent
    if parent is None:
        text = f"its parent {backup.parent_id} does not exist any more"
        raise BackupDriverException(f"backup {backup.id} cannot be incremental: {text}")
    if parent.volume_id != backup.volume_id:
        text = f"its parent {parent.id} is of volume {parent.volume_id}"
        raise BackupDriverException(f"backup {backup.id} cannot be incremental: {text}")
    if parent.size != backup.size:
        sizes = f"{parent.size} GiB, not {backup.size}"
        LOG.warning(
            "backup %s becomes a full one: its parent %s has %s", backup.id, parent.id, sizes
        )
        return None
    return parent


def require_own(backup: Record, prefix: str) -> None:
    """:raises BackupDriverException: the objects of that prefix are not this backup's."""
    if not layout.is_own_prefix(prefix, str(backup.id)):
        text = f"the objects {prefix!r:.120} do not name it"
        raise BackupDriverException(f"backup {backup.id}: {text}")


def _bounds(backup: Record) -> Bounds:
    return Bounds.of(backup, is_made=backup.status != "creating")
