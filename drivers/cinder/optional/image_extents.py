# SPDX-License-Identifier: Apache-2.0
"""Changed extents of volumes of Cinder's driver for Ceph, which has no method for them.

Backups to any store read nothing else, where the parent was made from a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oslo_utils import units

from drivers.cinder.adapter import CinderDriver
from drivers.cinder.error_translation import translated
from drivers.compat.cinder import rados_pool
from drivers.interface.records import Record
from drivers.rbd_image import RbdImage

_CEPH = "cinder.volume.drivers.rbd.RBDDriver"


def changed_extents(
    self: CinderDriver, source: Record, since: Record
) -> Sequence[tuple[int, int]] | None:
    """Ask the cluster which extents changed since a snapshot; None where it cannot know."""
    driver = self._made
    found = _end(source, since)
    if found is None:
        return None
    end, limit = found
    with translated(), rados_pool(driver) as pool:
        try:
            image = driver.rbd.Image(pool, since.volume_name, snapshot=end, read_only=True)
        except driver.rbd.ImageNotFound:
            return None
        try:
            if since.name not in {one["name"] for one in image.list_snaps()}:
                return None
            changes = RbdImage(image).changes(since.name, 0, image.size())
            extents = [(one.start, one.end) for one in changes]
            size = image.size()
        finally:
            image.close()
    return [*extents, (size, limit)] if limit > size else extents


def _end(source: Record, since: Record) -> tuple[str | None, int] | None:
    """Return the snapshot of the image that has the data of a source, None for its head.

    A temporary volume is a clone of one of its snapshots. Its size in bytes comes with it.

    :returns: None where the source is of another volume.
    """
    if source.kind == "snapshot":
        size = source.volume_size * units.Gi
        return (source.name, size) if source.volume_id == since.volume_id else None
    size = source.size * units.Gi
    if source.id == since.volume_id:
        return None, size
    if source.snapshot_id:
        return since.name.replace(since.id, source.snapshot_id), size
    if source.source_volid == since.volume_id:
        return f"{source.name}.clone_snap", size
    return None


def methods(wrapped: type) -> Mapping[str, Any]:
    """Return the method for a class of Cinder's; nothing where it is not of Ceph."""
    names = {f"{kind.__module__}.{kind.__name__}" for kind in wrapped.__mro__}
    return {"changed_extents": changed_extents} if _CEPH in names else {}
