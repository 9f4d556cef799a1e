# SPDX-License-Identifier: Apache-2.0
"""Delete a backup from a pool, and never the data of another one.

An image is removed only if it has no snapshot of a backup, and

- its name ends in the id of the backup, or
- it is the one that Cinder uses for several backups of a volume, the row of the backup does not
  name another, and this backup had the last snapshot on it, or is the finished copy that it is.

A failed backup of a snapshot is not the latter: its image was never made, since that of another
was there. Cinder would remove that one. An image that is not removed is named in the log.
"""

from __future__ import annotations

import logging

from drivers.backup.ceph import image_names
from drivers.backup.ceph.base_image import BaseImages
from drivers.backup.ceph.write_progress import WriteProgress
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)

_STAYS = "image %s/%s stays: it has no snapshot of a backup, and is not known to be that of %s"

_MARK = "holdfast.deleted-with"
"""Key of an image's metadata: the backup whose snapshot was the last one on it."""


def delete(images: BaseImages, backup: Record) -> None:
    """Delete a backup; absence, of parts too, is a success.

    :raises BackupDriverException: its image has snapshots of others, or is in use.
    """
    pool, own = images.pool, image_names.own_base(backup)
    for name in image_names.bases(backup):
        owner = {"backup": str(backup.id)}
        if images.snapshots(name) is None:
            WriteProgress(pool, image_names.progress_object(name), owner).end()
            continue
        is_ours = name == own or _is_last(images, backup, name)
        images.remove_snapshot(backup, name)
        rest = [one for one in images.snapshots(name) or () if image_names.backup_of(one)]
        if is_ours and not rest:
            images.remove(name)
        elif not rest:
            LOG.warning(_STAYS, pool.name, name, backup.id)
        WriteProgress(pool, image_names.progress_object(name), owner).end()
    pool.remove(image_names.metadata_object(backup))
    pool.remove(image_names.restore_object(backup))


def _is_last(images: BaseImages, backup: Record, name: str) -> bool:
    """Return whether the image of several backups goes with this one; a kill changes nothing."""
    if name != image_names.shared_base(backup) or image_names.recorded_base(backup) not in (
        None,
        name,
    ):
        return False
    found = [one for one in images.snapshots(name) or () if image_names.backup_of(one)]
    if not found:
        alone = images.is_copy(backup, name)
        alone = alone and images.snapshots(image_names.own_base(backup)) is None
        return alone or images.mark(name, _MARK) == str(backup.id)
    if [image_names.backup_of(one) for one in found] != [str(backup.id)]:
        return False
    images.set_mark(name, _MARK, str(backup.id))
    return True
