# SPDX-License-Identifier: Apache-2.0
"""Attachments: implements :class:`flows.context.AttachmentRecords`."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.errors import VolumeAttachmentNotFound, VolumeNotFound
from worker.db import models
from worker.db.engine import Database
from worker.db.records.base import Rows
from worker.db.records.volume import listed

_T = models.volume_attachment
_V = models.volumes

_STATUS_OF = {"attached": "in-use", "detached": "available"}
"""A volume's status by its attach_status; any other word is the status itself."""


class Attachments:
    """Rows of ``volume_attachment``."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._rows = Rows(database, _T, "attachment", VolumeAttachmentNotFound)

    def get(self, attachment_id: str) -> Record:
        """Return the live row."""
        return self._record(self._db.read(lambda c: self._rows.fetch(c, attachment_id)))

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live attachments of a volume."""
        return [self._record(row) for row in listed(self._db, _T, {"volume_id": volume_id})]

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is."""
        attachment_id = columns.setdefault("id", str(uuid.uuid4()))
        checked = self._rows.checked(columns)

        def work(connection: sa.Connection) -> None:
            if not connection.execute(sa.select(_T.c.id).where(_T.c.id == attachment_id)).first():
                self._rows.insert(connection, checked)

        self._db.write(work)
        return self.get(attachment_id)

    def update(self, attachment_id: str, **columns: Any) -> None:
        """Write columns."""
        self._rows.write(attachment_id, columns)

    def destroy(self, attachment_id: str) -> None:
        """Soft-delete: detached as of now; one that is gone already stays as it is."""
        now = timeutils.utcnow()
        self._db.write(
            lambda c: self._rows.soft_delete(
                c, attachment_id, attach_status="detached", detach_time=now
            )
        )

    def settle_volume(self, volume_id: str) -> str:
        """Recompute a volume's statuses from its attachments (spec/volume-rpc §3)."""

        def work(connection: sa.Connection) -> str:
            volume = connection.execute(
                sa.select(_V.c.status, _V.c.migration_status).where(
                    _V.c.id == volume_id, _V.c.deleted == sa.false()
                )
            ).first()
            if volume is None:
                raise VolumeNotFound(f"volume {volume_id} does not exist")
            attach_status = _attach_status(connection, volume_id)
            values: dict[str, Any] = {"attach_status": attach_status}
            if not (attach_status == "detached" and _left_alone(volume)):
                values["status"] = _STATUS_OF.get(attach_status, attach_status)
            connection.execute(
                sa.update(_V)
                .where(_V.c.id == volume_id)
                .values(updated_at=timeutils.utcnow(), **values)
            )
            return str(values.get("status", volume.status))

        return self._db.write(work)

    @staticmethod
    def _record(row: dict[str, Any]) -> Record:
        return Record("attachment", row)


def _attach_status(connection: sa.Connection, volume_id: str) -> str:
    found = connection.scalars(
        sa.select(_T.c.attach_status).where(_T.c.volume_id == volume_id, _T.c.deleted == sa.false())
    )
    counted = [s for s in found if s and not s.startswith("error_") and s != "detached"]
    return min(counted, default="detached")


def _left_alone(volume: Any) -> bool:
    migrating = volume.migration_status not in (None, "success", "error")
    return migrating or volume.status == "uploading"
