# SPDX-License-Identifier: Apache-2.0
"""Base images and their snapshots in the pool of the backups."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from drivers.backup.ceph import binding, image_names
from drivers.backup.ceph.ceph_cluster import BackupPool
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record
from drivers.rbd_image import RbdImage

LOG = logging.getLogger(__name__)

BUSY_TIME = 60.0
"""Seconds for which a removal waits: the cluster forgets a killed client after half a minute."""

_BUSY_PAUSE = 1.0
_NAMES = ("layering", "stripingv2")
_FAST_NAMES = ("exclusive-lock", "object-map", "fast-diff")


@dataclass(frozen=True)
class BaseOptions:
    """Options of new base images.

    :param stripe_unit: bytes; 0 for the default of the cluster.
    :param journals: whether each has a journal, for mirroring.
    """

    stripe_unit: int = 0
    stripe_count: int = 0
    journals: bool = False


class BaseImages:
    """The base images of a pool."""

    def __init__(self, pool: BackupPool) -> None:
        self.pool = pool
        self._rbd = pool.binding.rbd

    @contextmanager
    def opened(
        self, name: str, snapshot: str | None = None, *, write: bool = False
    ) -> Iterator[Any]:
        """Open an image of the binding.

        :raises rbd.ImageNotFound: there is no such image or snapshot.
        """
        image = self._rbd.Image(self.pool.context, name, snapshot=snapshot, read_only=not write)
        try:
            yield image
        finally:
            image.close()

    @contextmanager
    def owned(self, name: str) -> Iterator[Any]:
        """Open an image as its only writer.

        A former one may be on a host that was frozen, and write when it wakes. So it is shut out
        of the cluster: its connection, which served one operation, is never answered again. An
        image without the feature ``exclusive-lock``, as old releases of Cinder made them, is only
        opened.

        :raises rbd.ImageNotFound: there is no such image.
        """
        with self.opened(name, write=True) as image:
            RbdImage(image).own(f"image {self.pool.name}/{name}", shut_out=True)
            yield image

    def shut_out_writers(self, name: str) -> None:
        """Shut former writers of an image out; absence is a success."""
        with binding.absent(self.pool.binding), self.owned(name):
            pass

    def snapshots(self, name: str) -> list[str] | None:
        """Return the names of an image's snapshots; None where there is no such image."""
        try:
            with self.opened(name) as image:
                return [one["name"] for one in image.list_snaps()]
        except self._rbd.ImageNotFound:
            return None

    def snapshot_of(self, backup: Record, name: str) -> str | None:
        """Return the snapshot of a backup on an image; None where one of both is absent."""
        return image_names.snapshot_of(str(backup.id), self.snapshots(name) or (), f"image {name}")

    def located(self, backup: Record) -> tuple[str, str | None]:
        """Return the base image of a stored backup, and the snapshot on it that has its data.

        The snapshot is None for backups that Cinder made without one: those that it copied, of
        snapshots and of other volumes than Ceph's. Their rows name no image, no other backup lies
        there, and they are complete if their metadata is there, which Cinder writes last.

        :raises LookupError: neither is there.
        """
        for name in image_names.bases(backup):
            if (found := self.snapshot_of(backup, name)) is not None:
                return name, found
        if image_names.recorded_base(backup) is None:
            for name in image_names.bases(backup):
                if self.is_copy(backup, name):
                    return name, None
        raise LookupError(f"backup {backup.id} is not in pool {self.pool.name}")

    def is_copy(self, backup: Record, name: str) -> bool:
        """Return whether an image without snapshots of backups is all of a finished backup.

        Cinder copies each backup of a snapshot whole into the image of several backups, also one
        that is to be incremental: its row has a parent, whose image is never this backup's.
        """
        is_shared = name == image_names.shared_base(backup)
        if is_shared and not backup.snapshot_id:
            return False
        if backup.parent_id and (not is_shared or image_names.recorded_base(backup)):
            return False
        found = self.snapshots(name)
        if found is None or any(image_names.backup_of(one) for one in found):
            return False
        return self.pool.read(image_names.metadata_object(backup)) is not None

    def create(self, name: str, size: int, options: BaseOptions) -> bool:
        """Make an image of a size, or give that to the one that is there.

        :returns: whether it is new, and so reads as zeros.
        """
        try:
            self._rbd.RBD().create(
                self.pool.context,
                name,
                size,
                old_format=False,
                features=self._features(options),
                stripe_unit=options.stripe_unit,
                stripe_count=options.stripe_count,
            )
            return True
        except self._rbd.ImageExists:
            with self.opened(name, write=True) as image:
                if image.size() != size:
                    image.resize(size)
            return False

    def remove_snapshot(self, backup: Record, name: str) -> bool:
        """Remove the snapshot of a backup from an image; return whether there was one."""
        found = self.snapshot_of(backup, name)
        if found is None:
            return False
        with binding.absent(self.pool.binding), self.opened(name, write=True) as image:
            image.remove_snap(found)
        return True

    def remove(self, name: str) -> None:
        """Remove an image; absence is a success.

        :raises BackupDriverException: it has snapshots of others, or stays in use.
        """
        if others := self.snapshots(name):
            text = f"it has snapshots of others: {', '.join(others[:5])}"
            raise BackupDriverException(f"image {name} is not removed: {text}; remove them first")
        end = time.monotonic() + BUSY_TIME
        with binding.absent(self.pool.binding):
            while True:
                try:
                    self._rbd.RBD().remove(self.pool.context, name)
                    return
                except self._rbd.ImageBusy as error:
                    if time.monotonic() > end:
                        text = f"a client has had it open for {BUSY_TIME:.0f} s"
                        advice = f"see 'rbd status {self.pool.name}/{name}'"
                        text = f"image {name} is not removed: {text}; {advice}"
                        raise BackupDriverException(text) from error
                time.sleep(_BUSY_PAUSE)

    def mark(self, name: str, key: str) -> str | None:
        """Return a value that was attached to an image; None where there is none."""
        with binding.absent(self.pool.binding), self.opened(name) as image:
            try:
                return str(image.metadata_get(key))
            except KeyError:
                return None
        return None

    def set_mark(self, name: str, key: str, value: str) -> None:
        """Attach a value to an image."""
        with self.opened(name, write=True) as image:
            image.metadata_set(key, value)

    def backups(self) -> Iterator[str]:
        """Yield the ids of the backups in the pool.

        :raises NotImplementedError: there is an image that does not name its backup.
        """
        for name in self._rbd.RBD().list(self.pool.context):
            if not image_names.is_base(name):
                continue
            ids = [image_names.backup_of(one) for one in self.snapshots(name) or ()]
            found = {one for one in ids if one is not None}
            if not found and (owner := image_names.owner_of(name)) is None:
                text = f"image {self.pool.name}/{name} does not name its backup"
                raise NotImplementedError(text)
            if not found and self.pool.read(f"backup.{owner}.meta") is not None:
                found = {str(owner)}
            yield from sorted(found)

    def _features(self, options: BaseOptions) -> int:
        wanted = [*_NAMES, *_FAST_NAMES, *(["journaling"] if options.journals else [])]
        numbers = (f"RBD_FEATURE_{name.upper().replace('-', '_')}" for name in wanted)
        return sum(getattr(self._rbd, number, 0) for number in numbers)
