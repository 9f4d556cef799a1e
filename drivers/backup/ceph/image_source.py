# SPDX-License-Identifier: Apache-2.0
"""The volume that a backup reads: an image of Ceph, frozen by a snapshot, or any other file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from drivers.backup.ceph import binding, image_names
from drivers.backup.ceph.base_image import BaseImages
from drivers.backup.ceph.ceph_cluster import Cluster
from drivers.backup.ceph.extent_copy import Source
from drivers.blockio import BlockFile
from drivers.interface.backup import Extents
from drivers.interface.records import Record
from drivers.rbd_image import Change, RbdImage

LOG = logging.getLogger(__name__)


class BackupSource(Protocol):
    """The data of one moment, until the backup ends."""

    @property
    def reader(self) -> Source:
        """The data."""

    size: int
    moment: str
    """Name of the snapshot of the backup; of a first attempt only, if the source is not fixed."""
    is_fixed: bool
    """Whether a later attempt finds the same data."""

    def knows(self, snapshot: str) -> bool:
        """Return whether the changes since a snapshot are known."""

    def changes(self, since: str | None, start: int) -> Iterator[Change]:
        """Yield the changes since a snapshot, or all data, from an offset on.

        Where the snapshot is not known, all of it, or what is certain to hold all differences.
        """

    def release(self) -> None:
        """Forget the moment, after a failure."""

    def prune(self, most: int) -> None:
        """Remove all but the newest snapshots of backups; 0 keeps all. Errors are logged."""


class FileSource:
    """A volume that is no image of Ceph.

    :param changed: ranges that may differ from the parent; None where they are unknown.
    """

    is_fixed = False

    def __init__(self, backup: Record, device: BlockFile, changed: Extents | None) -> None:
        self.reader = device
        self.size = device.size
        self.moment = image_names.new_snapshot(str(backup.id))
        self._device = device
        self._changed = changed

    def knows(self, snapshot: str) -> bool:
        """No snapshot is known here."""
        return False

    def changes(self, since: str | None, start: int) -> Iterator[Change]:
        """Yield the extents with data, and the holes between them; or those named as changed."""
        if since is not None and self._changed is not None:
            return _within(self._changed, start, self.size)
        found = (Change(*extent) for extent in self._device.data_extents(start, self.size))
        return with_holes(found, start, self.size)

    def release(self) -> None:
        """Nothing was made."""

    def prune(self, most: int) -> None:
        """There are no snapshots."""


class ImageSource:
    """An image of Ceph, by a connection with the user of the volumes.

    Changes that a caller has asked for are not used: the volume may have been written between
    their question and the snapshot of the moment.

    :param images: of the pool of the volume.
    :param image: its snapshot of the moment, open.
    """

    is_fixed = True

    def __init__(self, images: BaseImages, name: str, moment: str, image: Any) -> None:
        self.moment = moment
        self.reader = RbdImage(image)
        self.size = self.reader.size
        self._images = images
        self._name = name

    def knows(self, snapshot: str) -> bool:
        """Return whether the image has the snapshot."""
        return snapshot in (self._images.snapshots(self._name) or ())

    def changes(self, since: str | None, start: int) -> Iterator[Change]:
        """Yield the extents that the cluster knows."""
        if since is None or self.knows(since):
            return self.reader.changes(since, start, self.size)
        return with_holes(self.reader.changes(None, start, self.size), start, self.size)

    def release(self) -> None:
        """Remove the snapshot. Errors are logged."""
        self._remove([self.moment])

    def prune(self, most: int) -> None:
        """Remove the oldest snapshots of backups."""
        if most:
            found = [
                one
                for one in self._images.snapshots(self._name) or ()
                if image_names.backup_of(one)
            ]
            self._remove(sorted(found, key=image_names.moment_of)[:-most])

    def _remove(self, snapshots: list[str]) -> None:
        pool = self._images.pool
        for one in snapshots:
            try:
                with (
                    binding.explained(pool.binding, f"snapshot {one}"),
                    binding.absent(pool.binding),
                    self._images.opened(self._name, write=True) as image,
                ):
                    image.remove_snap(one)
            except Exception as error:  # noqa: BLE001 - the backup does not depend on it
                text = "snapshot %s of %s/%s is not removed: %s"
                LOG.warning(text, one, pool.name, self._name, error)


@contextmanager
def opened(
    backup: Record, file: Any, device: BlockFile, changed: Extents | None, timeout: int
) -> Iterator[BackupSource]:
    """Give the source of a backup.

    :param changed: ranges that may differ from the parent, of a source that nobody writes.

    The image is opened by a connection of its own: the snapshot of the moment beside the handle
    that was given, with the same configuration, user and pool. A temporary volume, which nobody
    writes, gets no snapshot.
    """
    if not device.is_image or backup.snapshot_id or backup.get("temp_volume_id"):
        yield FileSource(backup, device, changed)
        return
    cluster = Cluster(str(file.rbd_conf), str(file.rbd_user), timeout)
    name = _name(file.rbd_image)
    with ExitStack() as stack:
        pool = stack.enter_context(cluster.pool(str(file.rbd_pool)))
        images = BaseImages(pool)
        with binding.explained(pool.binding, f"image {pool.name}/{name}"):
            moment = _frozen(backup, images, name)
            image = stack.enter_context(images.opened(name, moment))
            source = ImageSource(images, name, moment, image)
        yield source


def _frozen(backup: Record, images: BaseImages, name: str) -> str:
    """Return the snapshot of a backup on its source, which an earlier attempt may have made."""
    label = f"image {images.pool.name}/{name}"
    found = image_names.snapshot_of(str(backup.id), images.snapshots(name) or (), label)
    if found is None:
        found = image_names.new_snapshot(str(backup.id))
        with images.opened(name, write=True) as image:
            image.create_snap(found)
    return found


def _name(image: Any) -> str:
    return str(image.get_name())


def _within(extents: Extents, start: int, end: int) -> Iterator[Change]:
    for begin, stop in extents:
        if max(begin, start) < min(stop, end):
            yield Change(max(begin, start), min(stop, end))


def with_holes(changes: Iterator[Change], start: int, end: int) -> Iterator[Change]:
    """Yield extents, and the holes between them."""
    at = start
    for one in changes:
        if one.start > at:
            yield Change(at, one.start, has_data=False)
        yield one
        at = one.end
    if at < end:
        yield Change(at, end, has_data=False)
