# SPDX-License-Identifier: Apache-2.0
"""Volumes that change their backend: two rows at once (spec/volume-rpc, migrate_volume)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from flows.errors import InvalidVolume
from flows.statuses import AttachStatus, MigrationStatus, VolumeStatus, target_of
from worker.db import models
from worker.db.column_values import now
from worker.db.commit import stop_if_committed
from worker.db.criteria import same
from worker.db.database import Database
from worker.db.records.base import ResourceRows
from worker.db.records.quotas import quota

_T = models.volumes
_A = models.volume_attachment
_LIVE = sa.and_(same(_T.c.id, "which"), _T.c.deleted == sa.false())
_STATUS = sa.func.coalesce(_T.c.migration_status, "")

_COMPLETING = (MigrationStatus.COMPLETING,)
_SWAPPED_TO = MigrationStatus.SUCCESS
_DELETING = MigrationStatus.DELETING

_MIGRATE = (
    sa.update(_T)
    .where(_LIVE, _STATUS.in_(sa.bindparam("before", expanding=True)))
    .values(migration_status=sa.bindparam("after"), updated_at=sa.bindparam("at"))
)
_MOVE_ATTACHMENTS = (
    sa.update(_A)
    .where(_A.c.volume_id == sa.bindparam("of"), _A.c.deleted == sa.false())
    .values(volume_id=sa.bindparam("to"), updated_at=sa.bindparam("at"))
)

_KEPT = frozenset(
    {"id", "provider_location", "use_quota", "updated_at", "deleted", "deleted_at"}
    # The owner may have changed these while the data was copied.
    | {"user_id", "project_id", "display_name", "display_description", "ec2_id"}
    | {"group_id", "consistencygroup_id"}
)
_SPECIAL = frozenset({"_name_id", "status", "previous_status", "migration_status"})
_SWAPPED = tuple(c.name for c in _T.columns if c.name not in _KEPT | _SPECIAL | {"volume_type_id"})


class VolumeMoves:
    """The writes of a migration."""

    _db: Database
    _rows: ResourceRows

    def migrate(
        self, volume_id: str, to: str, *, when: Collection[str | None], mark: int | None = None
    ) -> None:
        """Change the migration status by compare-and-set."""

        def work(connection: sa.Connection) -> None:
            _migrate(connection, self._rows, volume_id, to, when, again=True)
            if mark is not None:
                self._rows.require_mark(connection, volume_id, mark, done=False)

        self._db.write(work)

    def swap(
        self,
        volume_id: str,
        copy_id: str,
        to: str,
        *,
        commit: Sequence[str] = (),
        mark: int | None = None,
    ) -> None:
        """Swap the rows of a volume and of its copy."""

        def work(connection: sa.Connection) -> None:
            old, new = (self._rows.fetch(connection, one) for one in (volume_id, copy_id))
            if (old["migration_status"], new["migration_status"]) != (_SWAPPED_TO, _DELETING):
                # First of all, as these lock the rows; only we write the swapped columns.
                _migrate(connection, self._rows, copy_id, _DELETING, (target_of(volume_id),))
                _migrate(connection, self._rows, volume_id, _SWAPPED_TO, _COMPLETING)
                self._rows.set_columns(connection, copy_id, _to_be_deleted(old, new))
                self._rows.set_columns(connection, volume_id, _moved(new, to))
                moving = {"of": copy_id, "to": volume_id, "at": now()}
                connection.execute(_MOVE_ATTACHMENTS, moving)
                if mark is not None:
                    self._rows.require_mark(connection, volume_id, mark)
            quota.settle(connection, commit, used=True)

        self._db.write(work)


def _migrate(
    connection: sa.Connection,
    rows: ResourceRows,
    volume_id: str,
    to: str,
    when: Collection[str | None],
    *,
    again: bool = False,
) -> None:
    """:param again: whether a row that is so already is as good."""
    before = [status or "" for status in when]
    parameters = {"which": volume_id, "before": before, "after": to, "at": now()}
    if connection.execute(_MIGRATE, parameters).rowcount:
        return
    stop_if_committed(connection)
    found = rows.fetch(connection, volume_id)["migration_status"]
    if not again or found != to:
        wanted = " or ".join(str(status) for status in when)
        text = f"its migration status is {found}, not {wanted}"
        raise InvalidVolume(f"volume {volume_id}: {text}")


def _to_be_deleted(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the copy's row, which describe the former volume's object."""
    return {name: old[name] for name in _SWAPPED} | {
        "_name_id": new["_name_id"] or old["id"],
        "status": VolumeStatus.DELETING,
        "attach_status": AttachStatus.DETACHED,  # who is attached, is attached to the volume
        "display_description": f"migration src for {old['id']}",
        "previous_status": old["previous_status"],
    }


def _moved(new: Mapping[str, Any], to: str) -> dict[str, Any]:
    """Return the columns of the volume's row, which describe the former copy's object."""
    return {name: new[name] for name in _SWAPPED} | {
        "volume_type_id": new["volume_type_id"],
        "status": to,
        "previous_status": new["status"],
    }
