# SPDX-License-Identifier: Apache-2.0
"""Proof that a volume or snapshot is one that a service made to be read for a backup.

Columns of a backup's row, messages and drivers name such objects, and they are read and
deleted. A name alone proves nothing: the row of a backup may have been imported, and anyone may
call a volume as he likes. A temporary object also counts towards no quota, which no user can
choose, and has the backup's project, volume and host. Cinder marks its own in the same way.
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
        return bool(found.host == volumes.get(backup.volume_id).host)
    except NotFound:
        return True


def _is_of_volume(found: Record, backup: Record) -> bool:
    """Cinder's temporary volumes do not say of which snapshot or volume they are."""
    if found.kind == "snapshot":
        return bool(found.volume_id == backup.volume_id)
    return found.source_volid in (None, backup.volume_id) and found.snapshot_id in (
        None,
        backup.snapshot_id,
    )
