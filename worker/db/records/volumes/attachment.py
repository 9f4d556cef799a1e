# SPDX-License-Identifier: Apache-2.0
"""Attachments: implements :class:`flows.protocols.records.AttachmentRecords`."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import VolumeAttachmentNotFound, VolumeNotFound
from flows.statuses import AttachStatus, MigrationStatus, VolumeStatus
from worker.db import models
from worker.db.column_values import is_key, now
from worker.db.commit import stop_if_committed
from worker.db.criteria import same
from worker.db.database import Database
from worker.db.records.base import ResourceRows
from worker.db.records.volumes.volume import attachments

_T = models.volume_attachment
_V = models.volumes

_LOCKED = (
    sa.select(_V.c.status, _V.c.attach_status, _V.c.migration_status)
    .where(same(_V.c.id, "which"), _V.c.deleted == sa.false())
    .with_for_update()
)
_SET = sa.update(_V).where(_V.c.id == sa.bindparam("which"))
_STATUSES = sa.select(_T.c.attach_status).where(
    _T.c.volume_id == sa.bindparam("which"), _T.c.deleted == sa.false()
)
_COUNT = sa.select(sa.func.count()).where(_T.c.volume_id == sa.bindparam("which"))

_STATUS_OF: dict[str, str] = {
    AttachStatus.ATTACHED: VolumeStatus.IN_USE,
    AttachStatus.DETACHED: VolumeStatus.AVAILABLE,
}
"""A volume's status by its attach_status; any other word is the status itself."""
_AT_REST = (None, MigrationStatus.SUCCESS, MigrationStatus.ERROR)
"""Migration statuses of a volume that does not migrate."""


class Attachments:
    """Rows of ``volume_attachment``."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._rows = ResourceRows(database, _T, "attachment", VolumeAttachmentNotFound)

    def get(self, attachment_id: str) -> Record:
        """Return the live row."""
        return Record("attachment", self._rows.get(attachment_id))

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live attachments of a volume, oldest first."""
        return attachments(self._db, volume_id)

    def count(self, volume_id: str) -> int:
        """Return how many attachments a volume has had, those that ended included."""
        return int(self._db.rows(_COUNT, {"which": volume_id})[0][0])

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is."""
        row = {"id": str(uuid.uuid4()), **columns}

        def work(connection: sa.Connection) -> dict[str, Any]:
            self._rows.insert(connection, row)
            return self._rows.stored(connection, row["id"]) or {}

        return Record("attachment", self._db.write(work))

    def update(self, attachment_id: str, **columns: Any) -> None:
        """Write columns."""
        if columns:
            self._rows.change(attachment_id, columns)

    def destroy(self, attachment_id: str) -> None:
        """Soft-delete: detached as of now; one that is gone already stays as it is."""
        if is_key(attachment_id):
            deletion = {"attach_status": AttachStatus.DETACHED, "detach_time": now()}
            self._db.write(lambda c: self._rows.soft_delete(c, attachment_id, **deletion))

    def settle_volume(self, volume_id: str) -> str:
        """Recompute a volume's statuses from its attachments (spec/volume-rpc §3)."""

        def work(connection: sa.Connection) -> str:
            # Locked, so that of two detaches the last one sees both.
            volume = connection.execute(_LOCKED, {"which": volume_id}).first()
            if volume is None:
                stop_if_committed(connection)
                raise VolumeNotFound(f"volume {volume_id} does not exist")
            found = connection.scalars(_STATUSES, {"which": volume_id}).all()
            attach_status = _attach_status(found)
            status = _STATUS_OF.get(attach_status, attach_status)
            if attach_status == AttachStatus.DETACHED and _left_alone(volume):
                status = volume.status
            if (status, attach_status) != (volume.status, volume.attach_status):
                values = {"status": status, "attach_status": attach_status, "updated_at": now()}
                connection.execute(_SET, {**values, "which": volume_id})
            return str(status)

        return self._db.write(work)


def _attach_status(found: Any) -> str:
    counted = [s for s in found if s and not s.startswith("error_") and s != AttachStatus.DETACHED]
    return min(counted, default=AttachStatus.DETACHED)


def _left_alone(volume: Any) -> bool:
    migrating = volume.migration_status not in _AT_REST
    return migrating or volume.status == VolumeStatus.UPLOADING
