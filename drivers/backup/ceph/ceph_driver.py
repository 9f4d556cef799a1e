# SPDX-License-Identifier: Apache-2.0
"""Backups in a pool of a Ceph cluster, as snapshots of images.

Cinder's driver restores, deletes and extends them, and this one those of Cinder.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, ClassVar

from oslo_config import cfg
from oslo_utils import units

from drivers import rbd_image
from drivers.backup import options
from drivers.backup.ceph import binding as bindings
from drivers.backup.ceph import ceph_cluster, deletion, image_names, image_source, write_permit
from drivers.backup.ceph.base_image import BaseImages, BaseOptions
from drivers.backup.ceph.ceph_cluster import Cluster, PoolAbsent
from drivers.backup.ceph.extent_copy import PIECE
from drivers.backup.ceph.image_backup import CopyOptions, ImageBackup
from drivers.backup.ceph.image_restore import ImageRestore
from drivers.backup.transfer.limits import TransferLimits
from drivers.backup.transfer.recorded_backups import parent_of
from drivers.blockio import BlockFile
from drivers.interface.backup import BackupDriver, Extents
from drivers.interface.errors import BackupDriverException
from drivers.interface.optional import Update
from drivers.interface.pace import Pace
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)

CINDERS = "cinder.backup.drivers.ceph.CephBackupDriver"
"""Name of Cinder's driver in rows of backups, which are in the same place; old rows have its
module only."""

_BECOMES_FULL = "backup %s becomes a full one: backup %s cannot be built on, %s"


class CephDriver(BackupDriver):
    """Backups as images of Ceph."""

    OPTS: ClassVar[list[cfg.Opt]] = [*options.TRANSFERS, *options.CEPH]

    support_force_delete = True

    needs_parents = False

    def __init__(self, configuration: Any, *, metadata: Any = None, **_: Any) -> None:
        super().__init__(configuration, metadata=metadata)
        self._timeout = int(configuration.backup_ceph_timeout)
        self._cluster = Cluster(
            str(configuration.backup_ceph_conf or ""),
            str(configuration.backup_ceph_user or ""),
            self._timeout,
        )
        self._options = BaseOptions(
            int(configuration.backup_ceph_stripe_unit),
            int(configuration.backup_ceph_stripe_count),
            bool(configuration.backup_ceph_image_journals),
        )
        limit = configuration.backup_bandwidth_limit * units.Mi
        limits = TransferLimits(1, configuration.backup_transfers, limit)
        piece = min(PIECE, int(configuration.backup_ceph_chunk_size))
        self._copying = CopyOptions(limits, piece)

    @classmethod
    def shared_place(cls, configuration: Any) -> str | None:
        """Return the cluster, by its configuration, and the pool."""
        known = ceph_cluster.identity(str(configuration.backup_ceph_conf or ""))
        return f"{known} {configuration.backup_ceph_pool}" if known else None

    def check_for_setup_error(self) -> None:
        """Check the bindings, the options and the pool."""
        binding = bindings.load()
        for name in ("backup_ceph_conf", "backup_ceph_user", "backup_ceph_pool"):
            if not getattr(self.configuration, name):
                raise BackupDriverException(f"{name} is empty: set it")
        if bool(self._options.stripe_unit) != bool(self._options.stripe_count):
            both = "backup_ceph_stripe_unit and backup_ceph_stripe_count"
            raise BackupDriverException(f"{both}: set both, or none")
        if self._options.journals and not hasattr(binding.rbd, "RBD_FEATURE_JOURNALING"):
            text = "the installed librbd knows no journals"
            raise BackupDriverException(f"backup_ceph_image_journals: {text}; unset it")
        with self._cluster.pool(self._default_pool):
            pass

    def place(self, backup: Record) -> Update:
        """Choose the base image: that of the parent, if it has the parent's snapshot."""
        recorded = image_names.recorded_base(backup)
        image_names.own_base(backup)
        parent = self._usable_parent(backup) if recorded is None else None
        container = str(backup.container or (parent and parent.container) or self._default_pool)
        with self._images(container, f"backup {backup.id}") as images:
            if recorded is not None:
                return {"container": container, "service_metadata": backup.service_metadata}
            base = self._base_of(backup, parent, container, images)
        base = base or image_names.own_base(backup)
        return {"container": container, "service_metadata": image_names.service_metadata(base)}

    def backup(
        self,
        backup: Record,
        volume_file: BinaryIO,
        backup_metadata: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
        changed: Extents | None = None,
    ) -> Update:
        """Give the base image the data of the volume, and snapshot it."""
        base = image_names.recorded_base(backup)
        if base is None:
            raise BackupDriverException(f"backup {backup.id} has no service_metadata: not placed")
        device = _device(volume_file, f"backup {backup.id}")
        if device.size <= 0 or (backup.size or 0) <= 0:
            raise BackupDriverException(f"backup {backup.id}: the volume has no size")
        is_full = base == image_names.own_base(backup)
        parent = None if is_full else parent_of(backup)
        if parent is None and not is_full:
            text = f"image {base} is that of another backup, which is not its parent"
            raise BackupDriverException(f"backup {backup.id}: {text}")
        with (
            write_permit.required_after_errors(pace) as pace,
            self._images(self._pool_of(backup), f"backup {backup.id}") as images,
        ):
            made = getattr(self.metadata, "is_being_made", lambda _backup: True)
            run = ImageBackup(images, backup, base, parent, self._options, self._copying, made)
            with image_source.opened(backup, volume_file, device, changed, self._timeout) as read:
                if not run.is_committed:
                    run.store(read, pace)
                run.end()
                read.prune(int(self.configuration.backup_ceph_max_snapshots))
            if backup_metadata:
                text = self.get_metadata(backup.volume_id)
                images.pool.write(image_names.metadata_object(backup), text.encode())
        update = {"parent_id": None} if is_full and backup.parent_id else {}
        return {**update, "object_count": 0}

    def restore(
        self,
        backup: Record,
        volume_id: str,
        volume_file: BinaryIO,
        volume_is_new: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
    ) -> None:
        """Write the data of the backup's snapshot, then the volume's metadata."""
        device = _device(volume_file, f"volume {volume_id}")
        with (
            write_permit.required_after_errors(pace) as pace,
            self._images(self._pool_of(backup), f"backup {backup.id}") as images,
        ):
            stored = images.pool.read(image_names.metadata_object(backup))
            text = None if stored is None else stored.decode()
            check = getattr(self.metadata, "check", None)
            if text is not None and check is not None:
                check(volume_id, text)
            ImageRestore(images, backup, self._copying).restore(
                volume_id,
                device,
                pace,
                target=rbd_image.of(volume_file),
                is_zero=bool(volume_is_new),
                clears_rest=bool(self.configuration.restore_discard_excess_bytes),
            )
        if text is not None:
            self.put_metadata(volume_id, text)

    def verify(self, backup: Record, *, pace: Pace = Pace()) -> None:  # noqa: B008
        """Read everything; the cluster has checksums, and the backup none of its own."""
        with self._images(self._pool_of(backup), f"backup {backup.id}") as images:
            ImageRestore(images, backup, self._copying).verify(pace)

    def delete_backup(self, backup: Record) -> None:
        """Remove the backup's snapshot, and its image when no other backup is on it."""
        try:
            with self._images(self._pool_of(backup), f"backup {backup.id}") as images:
                deletion.delete(images, backup)
        except PoolAbsent as error:
            LOG.warning("backup %s is gone already: %s", backup.id, error)

    def list_backups(self, containers: Iterable[str]) -> Iterator[str]:
        """Yield the ids of the snapshots of base images, which are made last."""
        for name in sorted({self._default_pool, *containers}):
            with contextlib.suppress(PoolAbsent), self._images(name, f"pool {name}") as images:
                yield from images.backups()

    def import_record(self, backup: Record, driver_info: Mapping[str, Any]) -> None:
        """Refuse a place that is not this backup's; whether it is there, a restore sees."""
        image_names.own_base(backup)
        image_names.recorded_base(backup)
        with self._images(self._pool_of(backup), f"backup {backup.id}"):
            pass

    def _base_of(
        self, backup: Record, parent: Record | None, container: str, images: BaseImages
    ) -> str | None:
        """Return the base image on which an incremental backup can build."""
        if parent is None:
            return None
        reason = f"it is in pool {parent.container}"
        if (parent.container or self._default_pool) == container:
            for name in image_names.bases(parent):
                if images.snapshot_of(parent, name) is not None:
                    return name
            reason = "its image has no snapshot of it"
        LOG.warning(_BECOMES_FULL, backup.id, parent.id, reason)
        return None

    def _usable_parent(self, backup: Record) -> Record | None:
        """Return the parent of a backup, if a driver of Ceph has made it."""
        parent = parent_of(backup)
        own = f"{type(self).__module__}.{type(self).__qualname__}"
        if parent is None or any(name.startswith(parent.service or "") for name in (CINDERS, own)):
            return parent
        LOG.warning(_BECOMES_FULL, backup.id, parent.id, f"it was made by {parent.service}")
        return None

    @property
    def _default_pool(self) -> str:
        return str(self.configuration.backup_ceph_pool)

    def _pool_of(self, backup: Record) -> str:
        return str(backup.container or self._default_pool)

    @contextmanager
    def _images(self, pool: str, label: str) -> Iterator[BaseImages]:
        with self._cluster.pool(pool) as opened, bindings.explained(opened.binding, label):
            yield BaseImages(opened)


def _device(volume_file: Any, label: str) -> BlockFile:
    if isinstance(volume_file, str):
        text = f"{volume_file} is a directory, and this driver reads files and devices"
        raise BackupDriverException(f"{label}: {text}")
    return BlockFile(volume_file)
