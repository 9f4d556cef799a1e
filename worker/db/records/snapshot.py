# SPDX-License-Identifier: Apache-2.0
"""Snapshots: implements :class:`flows.context.SnapshotRecords`."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.errors import SnapshotNotFound
from worker.db import models
from worker.db.engine import Database
from worker.db.records import base, quota
from worker.db.records.base import Rows
from worker.db.records.volume import Volumes, listed, on_host

_T = models.snapshots


class Snapshots:
    """Rows of ``snapshots``.

    :param volumes: for the volume of a snapshot.
    :param name_template: makes a snapshot's name on the backend out of its id.
    """

    def __init__(self, database: Database, volumes: Volumes, *, name_template: str) -> None:
        self._db = database
        self._volumes = volumes
        self._template = name_template
        self._rows = Rows(database, _T, "snapshot", SnapshotNotFound, "Snapshot")

    def get(self, snapshot_id: str) -> Record:
        """Return the live row."""
        return self.record(self._db.read(lambda c: self._rows.fetch(c, snapshot_id)))

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live snapshots of a volume, oldest first."""
        return [self.record(r) for r in reversed(listed(self._db, _T, {"volume_id": volume_id}))]

    def list(self, **where: Any) -> list[Record]:
        """Return live snapshots by equal columns, the newest first."""
        return [self.record(row) for row in listed(self._db, _T, where)]

    def on_host(self, host: str) -> Iterator[Record]:
        """Yield the live snapshots of the volumes of ``host@backend``."""
        volumes = models.volumes
        wanted = (
            sa.select(_T)
            .join(volumes, volumes.c.id == _T.c.volume_id)
            .where(_T.c.deleted == sa.false(), on_host(volumes, host))
        )
        rows = self._db.read(lambda c: [dict(row) for row in c.execute(wanted).mappings()])
        return (self.record(row) for row in rows)

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is."""
        snapshot_id = columns.setdefault("id", str(uuid.uuid4()))
        metadata = columns.pop("metadata", None)
        checked = self._rows.checked(columns)

        def work(connection: sa.Connection) -> None:
            if connection.execute(sa.select(_T.c.id).where(_T.c.id == snapshot_id)).first():
                return
            self._rows.insert(connection, {"use_quota": True, "progress": "0%", **checked})
            if metadata:
                base.set_pairs(
                    connection,
                    models.snapshot_metadata,
                    "snapshot_id",
                    snapshot_id,
                    metadata,
                    keep_others=False,
                )

        self._db.write(work)
        return self.get(snapshot_id)

    def update(self, snapshot_id: str, **columns: Any) -> None:
        """Write columns; ``metadata`` replaces all keys."""
        metadata = columns.pop("metadata", None)
        checked = self._rows.checked(columns)

        def work(connection: sa.Connection) -> None:
            self._rows.set_columns(connection, snapshot_id, checked)
            if metadata is not None:
                base.set_pairs(
                    connection,
                    models.snapshot_metadata,
                    "snapshot_id",
                    snapshot_id,
                    metadata,
                    keep_others=False,
                )

        self._db.write(work)

    def transition(
        self,
        snapshot_id: str,
        to: str,
        *,
        when: Collection[str],
        done: bool = False,
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set."""
        checked = self._rows.checked(columns)
        self._db.write(lambda c: self._rows.change_status(c, snapshot_id, to, when, checked, done))

    def destroy(self, snapshot_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the snapshot with its metadata and give its quota back."""

        def work(connection: sa.Connection) -> bool:
            base.drop_work(connection, "Snapshot", snapshot_id)
            if not self._rows.soft_delete(connection, snapshot_id, status="deleted"):
                return False
            for table in (models.snapshot_metadata, models.volume_glance_metadata):
                _delete_pairs(connection, table, snapshot_id)
            if release:
                project, kind = _quota_owner(connection, snapshot_id)
                quota.release(connection, project, kind, release)
            return True

        return self._db.write(work)

    def copy_image_metadata(self, snapshot_id: str, *, from_volume: str) -> None:
        """Copy image metadata rows of a volume to the snapshot."""
        table = models.volume_glance_metadata

        def work(connection: sa.Connection) -> None:
            found = base.pairs(connection, table, "volume_id", from_volume)
            base.set_pairs(connection, table, "snapshot_id", snapshot_id, found, keep_others=True)

        self._db.write(work)

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        snapshot_id, volume_id = row["id"], row["volume_id"]
        fields = {**row, "name": self._template % snapshot_id}
        table = models.snapshot_metadata
        return Record(
            "snapshot",
            fields,
            {
                "volume": lambda: self._volumes.get(volume_id),
                "volume_name": lambda: self._volumes.get(volume_id).name,
                "metadata": lambda: self._db.read(
                    lambda c: base.pairs(c, table, "snapshot_id", snapshot_id)
                ),
            },
        )


def _delete_pairs(connection: sa.Connection, table: sa.Table, snapshot_id: str) -> None:
    live = (table.c.snapshot_id == snapshot_id, table.c.deleted == sa.false())
    gone = {"deleted": True, "deleted_at": timeutils.utcnow()}
    connection.execute(sa.update(table).where(*live).values(gone))


def _quota_owner(connection: sa.Connection, snapshot_id: str) -> tuple[str | None, str | None]:
    volumes = models.volumes
    wanted = (
        sa.select(_T.c.project_id, volumes.c.volume_type_id)
        .join(volumes, volumes.c.id == _T.c.volume_id)
        .where(_T.c.id == snapshot_id)
    )
    row = connection.execute(wanted).one()
    return row.project_id, row.volume_type_id
