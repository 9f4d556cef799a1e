# SPDX-License-Identifier: Apache-2.0
"""Repairs of rows that an audit found: implements the flows' protocol ``RowRepairs``.

Each is one transaction that changes rows only where they still are as the audit saw them.
"""

from __future__ import annotations

import sqlalchemy as sa
from oslo_utils import timeutils

from flows.statuses import AttachStatus, BackupStatus, VolumeStatus
from worker.db import models
from worker.db.column_values import now
from worker.db.database import Database
from worker.db.records.quotas.usage_check import UsageChecks

_V, _A, _B, _W = models.volumes, models.volume_attachment, models.backups, models.workers
_Q, _R, _E = models.quota_usages, models.reservations, models.image_volume_cache_entries
_C = _B.alias("children")

_AT_REST = _V.c.status.in_((VolumeStatus.AVAILABLE, VolumeStatus.IN_USE))
_STATUSES = sa.select(_A.c.attach_status).where(
    _A.c.volume_id == sa.bindparam("which"), _A.c.deleted == sa.false()
)
_HELD = (AttachStatus.ATTACHED, AttachStatus.ATTACHING, AttachStatus.DETACHING)
_WHOLE = (BackupStatus.AVAILABLE, BackupStatus.RESTORING)


class DriftRepairs:
    """Repairs by name; each returns whether it changed a row.

    :param count_snapshots: whether snapshots count as gigabytes.
    """

    def __init__(self, database: Database, *, count_snapshots: bool) -> None:
        self._db = database
        self._usages = UsageChecks(database, count_snapshots=count_snapshots)

    def settle_attachments(self, volume_id: str) -> bool:
        """Set the statuses of a volume at rest by its attachments."""

        def work(connection: sa.Connection) -> bool:
            locked = sa.select(_V.c.id).where(_V.c.id == volume_id, _AT_REST).with_for_update()
            if connection.execute(locked).first() is None:
                return False
            found = connection.scalars(_STATUSES, {"which": volume_id}).all()
            if AttachStatus.ATTACHED in found:
                status, attached = VolumeStatus.IN_USE, AttachStatus.ATTACHED
            elif set(found) & {*_HELD, AttachStatus.RESERVED}:
                return False  # an attachment is under way
            else:
                status, attached = VolumeStatus.AVAILABLE, AttachStatus.DETACHED
            values = {"status": status, "attach_status": attached, "updated_at": now()}
            differs = sa.or_(_V.c.status != status, _V.c.attach_status != attached)
            change = sa.update(_V).where(_V.c.id == volume_id, _AT_REST, differs).values(values)
            return connection.execute(change).rowcount > 0

        return self._db.write(work)

    def end_attachment(self, attachment_id: str) -> bool:
        """Delete the attachment of a deleted volume."""
        gone = sa.exists().where(_V.c.id == _A.c.volume_id, _V.c.deleted == sa.true())
        values = {"deleted": True, "deleted_at": now(), "detach_time": now()}
        return self._change(
            sa.update(_A)
            .where(_A.c.id == attachment_id, _A.c.deleted == sa.false(), gone)
            .values(attach_status=AttachStatus.DETACHED, **values)
        )

    def sync_quota(self, project_id: str, resource: str) -> bool:
        """Correct the usage of a project; while it has open reservations, the reserved amount."""
        return bool(self._usages.sync(project_id, resource))

    def drop_work_row(self, work_id: int, race_preventer: int) -> bool:
        """Remove a work row that no service has claimed since."""
        same = sa.and_(_W.c.id == work_id, _W.c.race_preventer == race_preventer)
        return self._change(sa.delete(_W).where(same))

    def count_dependants(self, backup_id: str) -> bool:
        """Set the number of backups that build on one."""
        number = (
            sa.select(sa.func.count())
            .select_from(_C)
            .where(_C.c.parent_id == backup_id, _C.c.deleted == sa.false())
            .where(_C.c.status.in_(_WHOLE))
            .scalar_subquery()
        )
        live = sa.and_(_B.c.id == backup_id, _B.c.deleted == sa.false())
        differs = sa.func.coalesce(_B.c.num_dependent_backups, 0) != number
        change = sa.update(_B).where(live, differs)
        return self._change(change.values(num_dependent_backups=number))

    def remove_cache_entry(self, entry_id: int) -> bool:
        """Remove an entry of the cache of images whose volume is deleted."""
        there = sa.exists().where(_V.c.id == _E.c.volume_id, _V.c.deleted == sa.false())
        return self._change(sa.delete(_E).where(_E.c.id == entry_id, ~there))

    def expire_reservation(self, reservation_id: str) -> bool:
        """Give the room of an expired reservation back."""

        def work(connection: sa.Connection) -> bool:
            found = sa.select(_R).where(
                _R.c.uuid == reservation_id,
                _R.c.deleted == sa.false(),
                _R.c.expire < timeutils.utcnow(),
            )
            rows = connection.execute(found.with_for_update()).all()
            for row in rows:
                held = sa.case((_Q.c.reserved > row.delta, _Q.c.reserved - row.delta), else_=0)
                usage = sa.update(_Q).where(_Q.c.id == row.usage_id, row.delta > 0)
                connection.execute(usage.values(reserved=held, updated_at=now()))
                closed = sa.update(_R).where(_R.c.id == row.id)
                connection.execute(closed.values(deleted=True, deleted_at=now()))
            return bool(rows)

        return self._db.write(work)

    def _change(self, statement: sa.UpdateBase) -> bool:
        return self._db.write(lambda connection: connection.execute(statement).rowcount > 0)
