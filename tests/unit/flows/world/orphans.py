# SPDX-License-Identifier: Apache-2.0
"""A database with rows that a stopped Cinder left, and their expected ends."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.context import VolumeServiceContext
from flows.engine import flow_run
from flows.host import cleanup, orphaned
from tests.unit.db import template
from tests.unit.flows.world.doubles import Watched
from tests.unit.flows.world.world import World
from worker.adapters.record_cache import RecordCache
from worker.db import models
from worker.db.database import Database
from worker.db.records import Records

HOST = "node@backend"
WHO = {
    "host": HOST,
    "binary": "cinder-volume",
    "topic": "cinder-volume",
    "availability_zone": "nova",
    "rpc_version": "3.20",
    "object_version": "1.39",
}
BEFORE = datetime.datetime(2026, 1, 1, 12, 0, 0)
EVERYTHING = {"service_id": None, "resource_type": None, "resource_id": None, "until": None}


class Row:
    """The service's row."""

    def __init__(self, records: Records, service_id: int) -> None:
        self._records, self._id = records, service_id

    def get(self) -> Record:
        row = self._records.services.get(self._id)
        assert row is not None
        return row

    def update(self, **columns: Any) -> None:
        self._records.services.update(self._id, **columns)

    def spread(self, **columns: Any) -> None: ...


class Operations:
    """The service's unfinished operations, and the deletions that flows have submitted."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.deleted: list[str] = []

    def in_progress(self) -> set[str]:
        return self.known

    def delete_volume(self, volume: Record) -> None:
        self.deleted.append(volume.id)
        self.known.add(volume.id)


class Left:
    """The remaining rows, by the step that ended them."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        url = template.copy_to(directory / "left.sqlite")
        self.database = Database(url, sqlite_synchronous=False)
        self.records = Records(self.database)
        row = self.records.services.ensure(**WHO)
        self.ours, self.world.backend.service_uuid = row.id, row.uuid
        self.work_rows = self.records.work_of(row)
        self.row, self.operations = Row(self.records, self.ours), Operations()
        self._ids = (f"{number:08}-aaaa-bbbb-cccc-000000000000" for number in itertools.count())

    def volume(self, status: str, work: int | None = -1, **columns: Any) -> str:
        """Insert a volume; with a work row of a service, unless that is -1."""
        row = {"id": next(self._ids), "host": f"{HOST}#p", "project_id": "p", "size": 1}
        volume = self.records.volumes.create(**{**row, "status": status, **columns})
        return self._old("volumes", volume, "Volume", work)

    def snapshot(self, volume_id: str, status: str, work: int | None = -1, **columns: Any) -> str:
        row = {"id": next(self._ids), "volume_id": volume_id, "project_id": "p"}
        snapshot = self.records.snapshots.create(**{**row, "status": status, **columns})
        return self._old("snapshots", snapshot, "Snapshot", work)

    def group(self, status: str, kind: str = "group", **columns: Any) -> str:
        rows = self.records.by_group_kind[kind]
        given = {"id": next(self._ids), "status": status, "project_id": "p"}
        if kind in ("group", "consistencygroup"):
            given["host"] = f"{HOST}#p"
        return self._old(f"{kind}s", rows.create(**{**given, **columns}), "", -1)

    def _old(self, table: str, row: Record, kind: str, work: int | None) -> str:
        """Make a row appear unchanged since."""
        which = getattr(models, table)
        old = {"created_at": BEFORE, "updated_at": BEFORE}
        self._write(sa.update(which).where(which.c.id == row.id).values(old))
        if work != -1:
            columns = {"resource_type": kind, "resource_id": row.id, "status": row.status}
            columns |= {"service_id": work, "race_preventer": 0, "deleted": False, **old}
            self._write(sa.insert(models.workers).values(columns))
        return str(row.id)

    def _write(self, statement: Any) -> None:
        self.database.write(lambda connection: connection.execute(statement))

    def context(self) -> VolumeServiceContext:
        def watch(target: Any, name: str) -> Any:
            return Watched(target, name, self.world)

        records = self.records
        ctx = dataclasses.replace(
            self.world.context(),
            volumes=watch(records.volumes, "volumes"),
            snapshots=watch(records.snapshots, "snapshots"),
            attachments=records.attachments,
            groups={k: watch(v, k) for k, v in records.by_group_kind.items()},
            workers=watch(self.work_rows, "workers"),
            service=watch(self.row, "service"),
            operations=self.operations,
            host=records.on_host(HOST),
        )
        return RecordCache().around(ctx)

    def clean(self, **wanted: Any) -> flow_run.Outcome:
        """Clean up by the work rows."""
        return flow_run.run_in_memory(cleanup.flow, {**EVERYTHING, **wanted}, self.context())

    def read(self) -> dict[str, str]:
        """Return the rows in transient statuses, as a start reads them."""
        context = self.context()
        return orphaned.read(context.host, context.service)

    def settle(self, as_read: dict[str, str] | None = None) -> flow_run.Outcome:
        """End the rest."""
        args = {"as_read": self.read() if as_read is None else as_read}
        return flow_run.run_in_memory(orphaned.flow, args, self.context())

    def status(self, row_id: str, kind: str = "volume", column: str = "status") -> Any:
        return getattr(self.records, f"{kind}s").get(row_id)[column]

    def work(self) -> dict[str, int | None]:
        """Return who has claimed which work."""
        rows = self.database.rows(sa.select(models.workers))
        return {row.resource_id: row.service_id for row in rows if row.resource_type != "SENTINEL"}
