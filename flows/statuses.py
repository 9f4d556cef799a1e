# SPDX-License-Identifier: Apache-2.0
"""Statuses of every resource, in Cinder's words (spec/volume-rpc §1.1, spec/backup-rpc §1).

A member is a string and equal to its value, so rows, messages and the journal hold plain
text. Only this module spells a status. The other modules name its members, and an operation
writes the status that its table gives (see :class:`flows.lifecycle.Statuses`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class VolumeStatus(StrEnum):
    """``volumes.status``, and ``previous_status`` likewise."""

    CREATING = "creating"
    AVAILABLE = "available"
    ATTACHING = "attaching"
    IN_USE = "in-use"
    DETACHING = "detaching"
    RESERVED = "reserved"
    MAINTENANCE = "maintenance"
    DOWNLOADING = "downloading"
    UPLOADING = "uploading"
    EXTENDING = "extending"
    RETYPING = "retyping"
    REVERTING = "reverting"
    MANAGING = "managing"
    UNMANAGING = "unmanaging"
    BACKING_UP = "backing-up"
    RESTORING_BACKUP = "restoring-backup"
    AWAITING_TRANSFER = "awaiting-transfer"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    ERROR_EXTENDING = "error_extending"
    ERROR_MANAGING = "error_managing"
    ERROR_MANAGING_DELETING = "error_managing_deleting"
    ERROR_UNMANAGING = "error_unmanaging"
    ERROR_RESTORING = "error_restoring"
    ERROR_BACKING_UP = "error_backing-up"
    """Only in ``previous_status``."""


class AttachStatus(StrEnum):
    """``attach_status`` of a volume and of an attachment; a volume has none of the errors."""

    ATTACHED = "attached"
    ATTACHING = "attaching"
    DETACHED = "detached"
    DETACHING = "detaching"
    RESERVED = "reserved"
    ERROR_ATTACHING = "error_attaching"
    ERROR_DETACHING = "error_detaching"


class MigrationStatus(StrEnum):
    """``volumes.migration_status`` of a volume that migrates.

    The row of a target has :func:`target_of` its volume instead, and ``deleting`` once the
    rows are swapped.
    """

    STARTING = "starting"
    MIGRATING = "migrating"
    COMPLETING = "completing"
    SUCCESS = "success"
    ERROR = "error"
    DELETING = "deleting"


class ReplicationStatus(StrEnum):
    """``replication_status`` of a volume, a group or a service."""

    ENABLING = "enabling"
    ENABLED = "enabled"
    DISABLING = "disabling"
    DISABLED = "disabled"
    NOT_CAPABLE = "not-capable"
    FAILING_OVER = "failing-over"
    FAILED_OVER = "failed-over"
    FAILOVER_ERROR = "failover-error"
    ERROR = "error"


class SnapshotStatus(StrEnum):
    """``snapshots.status``. Cinder cannot read a row with any other value."""

    CREATING = "creating"
    AVAILABLE = "available"
    UPDATING = "updating"
    BACKING_UP = "backing-up"
    RESTORING = "restoring"
    UNMANAGING = "unmanaging"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class GroupStatus(StrEnum):
    """``status`` of a generic or consistency group. Cinder cannot read any other value."""

    CREATING = "creating"
    AVAILABLE = "available"
    IN_USE = "in-use"
    UPDATING = "updating"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class GroupSnapshotStatus(StrEnum):
    """``status`` of a snapshot of a group. Cinder cannot read any other value."""

    CREATING = "creating"
    AVAILABLE = "available"
    UPDATING = "updating"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class BackupStatus(StrEnum):
    """``backups.status``."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESTORING = "restoring"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


OF_KIND: Mapping[str, type[StrEnum]] = {
    "volume": VolumeStatus,
    "snapshot": SnapshotStatus,
    "backup": BackupStatus,
    "group": GroupStatus,
    "consistencygroup": GroupStatus,
    "group_snapshot": GroupSnapshotStatus,
    "cgsnapshot": GroupSnapshotStatus,
}
"""Statuses by the kind of a resource."""

_GROUPS = frozenset({GroupStatus.CREATING, GroupStatus.UPDATING, GroupStatus.DELETING})
_GROUP_SNAPSHOTS = frozenset(
    {GroupSnapshotStatus.CREATING, GroupSnapshotStatus.UPDATING, GroupSnapshotStatus.DELETING}
)

TRANSIENT: Mapping[str, frozenset[str]] = {
    "volume": frozenset(
        {
            *(VolumeStatus.CREATING, VolumeStatus.DOWNLOADING, VolumeStatus.UPLOADING),
            *(VolumeStatus.EXTENDING, VolumeStatus.RETYPING, VolumeStatus.REVERTING),
            *(VolumeStatus.MANAGING, VolumeStatus.UNMANAGING, VolumeStatus.BACKING_UP),
            *(VolumeStatus.RESTORING_BACKUP, VolumeStatus.DELETING),
            VolumeStatus.ERROR_MANAGING_DELETING,
        }
    ),
    "snapshot": frozenset(
        {
            *(SnapshotStatus.CREATING, SnapshotStatus.UPDATING, SnapshotStatus.BACKING_UP),
            *(SnapshotStatus.RESTORING, SnapshotStatus.UNMANAGING, SnapshotStatus.DELETING),
        }
    ),
    "backup": frozenset({BackupStatus.CREATING, BackupStatus.RESTORING, BackupStatus.DELETING}),
    "group": _GROUPS,
    "consistencygroup": _GROUPS,
    "group_snapshot": _GROUP_SNAPSHOTS,
    "cgsnapshot": _GROUP_SNAPSHOTS,
}
"""Statuses in which an operation works on a resource."""


_TARGET = "target:"


def target_of(volume_id: str) -> str:
    """Return the migration status of the target volume to which a volume migrates."""
    return f"{_TARGET}{volume_id}"


def migrating_volume(migration_status: object) -> str | None:
    """Return the id of the volume that migrates to a row; None if the row is no target."""
    status = str(migration_status or "")
    return status.removeprefix(_TARGET) if status.startswith(_TARGET) else None
