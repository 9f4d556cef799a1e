# SPDX-License-Identifier: Apache-2.0
"""How many resources of a service are in each transient status, and since when."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from flows.statuses import (
    BackupStatus,
    GroupSnapshotStatus,
    GroupStatus,
    SnapshotStatus,
    VolumeStatus,
)
from worker.db import models
from worker.db.criteria import BackendRows, on_host
from worker.db.database import Database

BACKUPS = "cinder-backup"
"""The service whose resources are backups."""

_VOLUME = (
    *(VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.ATTACHING),
    *(VolumeStatus.DETACHING, VolumeStatus.DOWNLOADING, VolumeStatus.UPLOADING),
    *(VolumeStatus.EXTENDING, VolumeStatus.RETYPING, VolumeStatus.REVERTING),
    *(VolumeStatus.MANAGING, VolumeStatus.UNMANAGING, VolumeStatus.BACKING_UP),
    VolumeStatus.RESTORING_BACKUP,
)
_SNAPSHOT = (
    *(SnapshotStatus.CREATING, SnapshotStatus.DELETING, SnapshotStatus.UPDATING),
    *(SnapshotStatus.BACKING_UP, SnapshotStatus.RESTORING, SnapshotStatus.UNMANAGING),
)
_GROUP = (GroupStatus.CREATING, GroupStatus.DELETING, GroupStatus.UPDATING)
_GROUP_SNAPSHOT = (
    *(GroupSnapshotStatus.CREATING, GroupSnapshotStatus.DELETING),
    GroupSnapshotStatus.UPDATING,
)
_BACKUP = (BackupStatus.CREATING, BackupStatus.DELETING, BackupStatus.RESTORING)


@dataclass(frozen=True)
class TransientRows:
    """The rows of one kind in one status.

    :param oldest: seconds since the last change of the one that was changed first.
    """

    resource: str
    status: str
    count: int
    oldest: float


def of_service(database: Database, binary: str, place: BackendRows) -> Iterator[TransientRows]:
    """Yield the transient statuses that rows of a service have.

    :param binary: of the service.
    """
    now = timeutils.utcnow()
    for resource, statement in _STATEMENTS[binary == BACKUPS, place.column]:
        for status, count, since in database.rows(statement, place.parameters):
            oldest = (now - since).total_seconds() if isinstance(since, datetime.datetime) else 0.0
            yield TransientRows(resource, str(status), int(count), max(0.0, oldest))


def _statement(
    table: sa.Table, statuses: Collection[str], host: sa.Column[Any], source: Any = None
) -> sa.Select[Any]:
    changed = sa.func.min(sa.func.coalesce(table.c.updated_at, table.c.created_at))
    return (
        sa.select(table.c.status, sa.func.count(), sa.type_coerce(changed, sa.DateTime()))
        .select_from(table if source is None else source)
        .where(table.c.deleted == sa.false(), table.c.status.in_(statuses), on_host(host))
        .group_by(table.c.status)
    )


def _of_volumes(column: str) -> Iterator[tuple[str, sa.Select[Any]]]:
    volumes, snapshots, groups = models.volumes, models.snapshots, models.groups
    yield "volume", _statement(volumes, _VOLUME, volumes.c[column])
    joined = snapshots.join(volumes, volumes.c.id == snapshots.c.volume_id)
    yield "snapshot", _statement(snapshots, _SNAPSHOT, volumes.c[column], joined)
    yield "group", _statement(groups, _GROUP, groups.c[column])
    parts = models.group_snapshots
    joined = parts.join(groups, groups.c.id == parts.c.group_id)
    yield "group_snapshot", _statement(parts, _GROUP_SNAPSHOT, groups.c[column], joined)


_STATEMENTS = {
    **{(False, column): tuple(_of_volumes(column)) for column in ("host", "cluster_name")},
    (True, "host"): (("backup", _statement(models.backups, _BACKUP, models.backups.c.host)),),
}
