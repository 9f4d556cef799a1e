# SPDX-License-Identifier: Apache-2.0
"""A backup driver over any store of objects, in Cinder's chunked format.

Subclasses choose the store and its options. The checkpoint of a running transfer
and the hashes of its blocks lie in ``backup_work_path`` of this host until it ends.
"""

from __future__ import annotations

import abc
import datetime
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from isal import isal_zlib
from oslo_config import cfg
from oslo_utils import units

from drivers import own_directories
from drivers.backup import options
from drivers.backup.chains.chain_changes import REWRITE, ChainChanges
from drivers.backup.chains.scrubbing import Scrubbing
from drivers.backup.format import block_hashes, compression, layout, prefixes
from drivers.backup.format import manifest as manifests
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.object_writer import ObjectTarget
from drivers.backup.stored_list import StoredList
from drivers.backup.stores.object_store import ObjectStore, StoreError
from drivers.backup.transfer import backup_run
from drivers.backup.transfer.backup_run import BackupRun
from drivers.backup.transfer.chain import Chain, ChainLink, require_stored
from drivers.backup.transfer.changed_blocks import Parent
from drivers.backup.transfer.checkpoint import Checkpoint
from drivers.backup.transfer.limits import TransferLimits
from drivers.backup.transfer.recorded_backups import parent_of, require_own
from drivers.backup.transfer.restore_run import RestoreRun
from drivers.backup.transfer.stored_checkpoint import CheckpointPlace, StoredCheckpoint
from drivers.blockio import BlockFile
from drivers.interface.backup import Damage, Extents
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.optional import Update
from drivers.interface.pace import Pace
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)

_CHECKPOINT, _HASHES, _RESTORE = "notes", "digests", "restore"
"""Suffixes of work files. An upgrade finds those of interrupted transfers by these names."""

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Ids of backups and volumes, which are parts of the names of work files."""


class ChunkedDriver(ChainChanges, Scrubbing, StoredList):
    """Backups as objects in a store."""

    OPTS: ClassVar[list[cfg.Opt]] = options.CHUNKED

    support_force_delete = True

    object_size: ClassVar[str]
    """Name of the option that says how much of a volume is in an object, in bytes."""

    block_size: ClassVar[str]
    """Name of the option that says of how many bytes a hash is."""

    def __init__(
        self, configuration: Any, *, metadata: Any = None, shared: bool = False, **_: Any
    ) -> None:
        super().__init__(configuration, metadata=metadata)
        self._shared = shared
        self._store = self.make_store()
        self._store.creates_containers = bool(configuration.backup_create_containers)
        self._work = Path(configuration.backup_work_path)
        self._max_object_size = int(getattr(configuration, self.object_size))
        self._block_size = int(getattr(configuration, self.block_size))
        self._compression = compression.canonical(configuration.backup_compression_algorithm)
        threads = configuration.backup_threads or len(os.sched_getaffinity(0))
        limit = configuration.backup_bandwidth_limit * units.Mi
        self._limits = TransferLimits(threads, configuration.backup_transfers, limit)

    @abc.abstractmethod
    def make_store(self) -> ObjectStore:
        """Return where objects are kept; nothing is asked of it yet."""

    def check_for_setup_error(self) -> None:
        """Check the sizes, the store, and the directory for work files."""
        if self._max_object_size % self._block_size:
            largest = f"{self.object_size} = {self._max_object_size}"
            sizes = f"{largest}, {self.block_size} = {self._block_size}"
            raise BackupDriverException(f"{sizes}: the first must be a multiple of the second")
        try:
            own_directories.make(self._work, strict=True)
        except OSError as error:
            text = f"backup_work_path = {self._work} cannot be used: {error.strerror}"
            raise BackupDriverException(text) from error
        self._store.check()

    def place(self, backup: Record) -> Update:
        """Name the container and the objects; names in the row are kept."""
        container = self._store.container(backup)
        return {
            "container": container,
            "service_metadata": backup.service_metadata or self._store.prefix(backup),
        }

    def backup(
        self,
        backup: Record,
        volume_file: BinaryIO,
        backup_metadata: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
        changed: Extents | None = None,
    ) -> Update:
        """Store the objects that are not stored yet; the metadata is written last."""
        container, prefix = self._recorded.location(backup)
        device = _device(volume_file, f"backup {backup.id}")
        if device.size <= 0 or (backup.size or 0) <= 0:
            raise BackupDriverException(f"backup {backup.id}: the volume has no size")
        require_own(backup, prefix)
        parent = parent_of(backup)
        update = {"parent_id": None} if backup.parent_id and parent is None else {}
        if (found := self._recorded.finished(backup, container, prefix)) is not None:
            pace.show(lambda: backup_run.notification_payload(prefix, found))
            return {**update, "object_count": len(found)}
        volume_meta = self.get_metadata(backup.volume_id) if backup_metadata else None
        self._store.prepare(container)
        transfer = {
            "prefix": prefix,
            "parent": str(parent.id) if parent else None,
            "block": self._block_size,
            "size": device.size,
        }
        target = ObjectTarget(
            self._store, container, prefix, self._compression, self._max_object_size
        )
        with ExitStack() as stack:
            checkpoint, own = self._begun(stack, backup, container, transfer)
            base = stack.enter_context(self._parent_hashes(backup, parent, changed))
            objects = BackupRun(self._limits, device, target, own, checkpoint, base).run(pace)
            facts = _facts(backup)
            hashes = self._write_block_hashes(own, container, prefix, facts)
        manifest = manifests.Manifest(
            backup_id=str(backup.id),
            volume_id=facts["volume_id"],
            parent_id=str(parent.id) if parent else None,
            objects=objects,
            backup_name=facts["backup_name"],
            backup_description=facts["backup_description"],
            created_at=facts["created_at"],
            volume_meta=volume_meta,
            block_hashes=hashes,
        )
        if self._store.lists_at_once:
            require_stored(self._store, ChainLink(manifest, container, prefix), self._work)
        with self._store.writing(container, f"{prefix}{layout.METADATA}") as sink:
            manifest.write(sink)
        self._store.sync(container, prefix)
        if self._shared:
            CheckpointPlace(self._store, container, str(backup.id)).remove()
        self._remove_work_files(backup.id)
        return {**update, "object_count": len(objects)}

    def restore(
        self,
        backup: Record,
        volume_id: str,
        volume_file: BinaryIO,
        volume_is_new: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
        damage: list[Damage] | None = None,
    ) -> None:
        """Bring data back, then the volume's metadata."""
        device = _device(volume_file, f"volume {volume_id}")
        chain = self._recorded.chain(backup)
        volume_meta = chain.links[-1].manifest.volume_meta
        if volume_meta is not None and (check := getattr(self.metadata, "check", None)) is not None:
            check(volume_id, volume_meta)
        path = self._work_file(volume_id, _RESTORE)
        transfer = {
            "key": pace.key,
            "backup": str(backup.id),
            "links": [link.prefix for link in chain.links],  # the chain may change meanwhile
            "past_damage": damage is not None,
        }
        if not pace.key:
            path.unlink(missing_ok=True)
        place = None
        if self._shared and pace.key:
            container = self._store.container(backup)
            place = CheckpointPlace(self._store, container, f"{backup.id}-{volume_id}")
        with _restore_checkpoint(path, transfer, place) as checkpoint:
            restoring = RestoreRun(
                self._limits,
                self._store,
                chain,
                device,
                checkpoint,
                target_is_zero=bool(volume_is_new),
                damage=damage,
            )
            restoring.run(pace)
        if place is not None:
            with suppress(StoreError):
                place.remove()
        path.unlink(missing_ok=True)
        if volume_meta is not None:
            self.put_metadata(volume_id, volume_meta)

    def verify(self, backup: Record, *, pace: Pace = Pace()) -> None:  # noqa: B008
        """Read everything, and compare it with the metadata and the hashes."""
        RestoreRun(self._limits, self._store, self._recorded.chain(backup)).run(pace)

    def delete_backup(self, backup: Record) -> None:
        """Remove the objects, the metadata first: without it the rest is not a backup."""
        self._remove_work_files(backup.id)
        if not backup.container or not backup.service_metadata:
            return
        container, prefix = self._recorded.location(backup)
        if not layout.is_own_prefix(prefix, str(backup.id)):
            text = "the objects %s* in %s are not deleted with backup %s: they do not name it"
            LOG.warning(text, prefix, container, backup.id)
            return
        self._remove_objects(container, prefix)
        self._remove_copies(backup, prefixes.all_moments(prefix), None)  # that an outage has left
        CheckpointPlace(self._store, container, str(backup.id)).remove_all()
        self._store.sync(container, prefix)
        self._store.forget(backup)

    def import_record(self, backup: Record, driver_info: Mapping[str, Any]) -> None:
        """Refuse a place that is not this backup's; whether it is there, a restore sees."""
        _container, prefix = self._recorded.location(backup)
        require_own(backup, prefix)

    def _begun(
        self, stack: ExitStack, backup: Record, container: str, transfer: dict[str, Any]
    ) -> tuple[Checkpoint, BlockHashes]:
        """Open the checkpoint of a backup, and the hashes of the blocks before it."""
        path, file = (self._work_file(backup.id, kind) for kind in (_CHECKPOINT, _HASHES))
        if self._shared:
            file.unlink(missing_ok=True)
            own = stack.enter_context(BlockHashes.in_file(file, self._block_size))
            place = CheckpointPlace(self._store, container, str(backup.id))
            stored = StoredCheckpoint(path, transfer, place, own)
            return stack.enter_context(stored), own
        checkpoint = stack.enter_context(Checkpoint(path, transfer))
        if not checkpoint.has_entries:
            file.unlink(missing_ok=True)
        return checkpoint, stack.enter_context(BlockHashes.in_file(file, self._block_size))

    def _work_file(self, key: str, kind: str) -> Path:
        """:raises BackupDriverException: the key is no part of a file's name."""
        if not _KEY.fullmatch(key):
            raise BackupDriverException(f"{key!r:.80} is no id: it is part of a file's name")
        return self._work / f"{key}.{kind}"

    def _remove_work_files(self, backup_id: str) -> None:
        for kind in (_CHECKPOINT, _HASHES, REWRITE):
            self._work_file(str(backup_id), kind).unlink(missing_ok=True)

    @contextmanager
    def _parent_hashes(
        self, backup: Record, parent: Record | None, changed: Extents | None
    ) -> Iterator[Parent | None]:
        """Give the hashes of the parent's blocks."""
        if parent is None:
            yield None
            return
        link = self._recorded.link(parent)
        chain = Chain(self._store, [link], self._work)
        try:
            with chain.block_hashes(link) as hashes:
                if hashes.block_size != self._block_size:
                    sizes = f"{hashes.block_size} bytes, not {self._block_size} ({self.block_size})"
                    raise BackupDamaged(f"{link.label} has other hashes: its blocks are {sizes}")
                yield Parent(hashes, changed)
        except BackupDamaged as error:
            raise BackupDriverException(
                f"backup {backup.id} cannot be incremental: {error}"
            ) from error

    def _write_block_hashes(
        self, own: BlockHashes, container: str, prefix: str, facts: dict[str, Any]
    ) -> tuple[int, int]:
        size = crc = 0
        with self._store.writing(container, f"{prefix}{layout.BLOCK_HASHES}") as sink:
            for part in block_hashes.rendered(own, {**facts, "version": layout.VERSION}):
                sink.write(part)
                size, crc = size + len(part), isal_zlib.crc32(part, crc)
        return size, crc


def _facts(backup: Record) -> dict[str, Any]:
    created = backup.get("created_at")
    if isinstance(created, datetime.datetime) and created.tzinfo is None:
        created = created.replace(tzinfo=datetime.UTC)
    return {
        "backup_id": str(backup.id),
        "volume_id": str(backup.volume_id),
        "backup_name": backup.display_name,
        "backup_description": backup.display_description,
        "created_at": str(created),
    }


def _restore_checkpoint(
    path: Path, transfer: dict[str, Any], place: CheckpointPlace | None
) -> Checkpoint:
    """Open the checkpoint of a restore; one that cannot be stored is no reason to fail."""
    if place is None:
        return Checkpoint(path, transfer)
    return StoredCheckpoint(path, transfer, place, required=False)


def _device(volume_file: Any, label: str) -> BlockFile:
    if isinstance(volume_file, str):
        text = f"{volume_file} is a directory, and this driver reads files and devices"
        raise BackupDriverException(f"{label}: {text}")
    return BlockFile(volume_file)
