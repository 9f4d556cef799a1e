# SPDX-License-Identifier: Apache-2.0
"""Check that a volume or snapshot is the temporary source of a backup.

A backup's row, a message or a driver's answer names the temporary source, which the worker
reads and deletes. The id alone is no proof: the row may have been imported. The display name
is none either, since users choose it. But no user can create an object that counts towards no
quota. So a temporary source is an object with ``use_quota`` false, with the expected display
name, and with the backup's project, volume and host. Cinder creates its own in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from drivers.interface.records import Record
from flows.errors import InvalidInput, NotFound
from flows.protocols.records import VolumeRecords
from flows.statuses import SnapshotStatus, VolumeStatus

_NAMES = {"volume": "backup-vol-", "snapshot": "backup-snap-"}

UNUSED: Mapping[str, Collection[str]] = {
    "volume": (
        *(VolumeStatus.CREATING, VolumeStatus.AVAILABLE, VolumeStatus.BACKING_UP),
        *(VolumeStatus.ERROR, VolumeStatus.DELETING, VolumeStatus.ERROR_DELETING),
    ),
    "snapshot": (
        *(SnapshotStatus.CREATING, SnapshotStatus.AVAILABLE, SnapshotStatus.BACKING_UP),
        *(SnapshotStatus.ERROR, SnapshotStatus.DELETING, SnapshotStatus.ERROR_DELETING),
    ),
}
"""Statuses of temporary objects, by kind; in any other one it is used for something else."""


def display_name(kind: str, volume_id: str) -> str:
    """Return the name of a temporary object that is made of a volume."""
    return f"{_NAMES[kind]}{volume_id}"


def is_made_for(found: Record, backup: Record) -> bool:
    """Return whether an object is temporary and was made for a backup of the same volume."""
    return (
        found.display_name == display_name(found.kind, backup.volume_id)
        and not found.use_quota
        and found.project_id == backup.project_id
        and _is_of_volume(found, backup)
    )


def is_unused(found: Record) -> bool:
    """Return whether a temporary object has the status of one, and no attachment."""
    return found.status in UNUSED[found.kind] and not (
        found.kind == "volume" and found.volume_attachment
    )


def require_source(found: Record, backup: Record, volumes: VolumeRecords) -> None:
    """Refuse to read anything for a backup but its volume, a snapshot of it, or a copy.

    :raises InvalidInput: it is none of these.
    """
    if (found.id if found.kind == "volume" else found.volume_id) == backup.volume_id:
        return
    if not is_made_for(found, backup) or not is_on_same_host(found, backup, volumes):
        text = f"{found.kind} {found.id} is neither its source nor was it made for it"
        raise InvalidInput(f"backup {backup.id} is not read from it: {text}")


def is_on_same_host(found: Record, backup: Record, volumes: VolumeRecords) -> bool:
    """Return whether an object is where the backup's volume is, unless that is gone."""
    if found.kind == "snapshot":
        return True
    try:
        volume = volumes.get(backup.volume_id)
        name = "cluster_name" if volume.get("cluster_name") else "host"
        return bool(found.get(name) == volume[name])
    except NotFound:
        return True


def _is_of_volume(found: Record, backup: Record) -> bool:
    """Return whether it is made of the backup's volume; Cinder stores no source of volumes."""
    if found.kind == "snapshot":
        return bool(found.volume_id == backup.volume_id)
    return found.source_volid in (None, backup.volume_id) and found.snapshot_id in (
        None,
        backup.snapshot_id,
    )
