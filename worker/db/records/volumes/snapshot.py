# SPDX-License-Identifier: Apache-2.0
"""Snapshots: implements :class:`flows.protocols.records.SnapshotRecords`."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import SnapshotNotFound
from flows.statuses import SnapshotStatus
from worker.db import models
from worker.db.criteria import BackendRows, on_host
from worker.db.database import Database
from worker.db.records.base import ResourceRows
from worker.db.records.key_value_tables import KeyValueTable
from worker.db.records.quotas import quota
from worker.db.records.volumes.related_rows import SNAPSHOT
from worker.db.records.volumes.volume import (
    IMAGE_METADATA,
    SNAPSHOT_IMAGE_METADATA,
    Volumes,
    copy_image_metadata,
    named_by,
)
from worker.db.records.volumes.volume_lists import BATCH, listed

_T = models.snapshots
_V = models.volumes

METADATA = KeyValueTable(models.snapshot_metadata, "snapshot_id")

_DEFAULTS = {"status": SnapshotStatus.CREATING, "progress": "0%", "use_quota": True}
_OF_VOLUME = (
    sa.select(_T)
    .where(_T.c.volume_id == sa.bindparam("which"), _T.c.deleted == sa.false())
    .order_by(_T.c.created_at, _T.c.id)
)
_NEXT = {
    column: sa.select(_T)
    .join(_V, _V.c.id == _T.c.volume_id)
    .where(_T.c.deleted == sa.false(), on_host(_V.c[column]), _T.c.id > sa.bindparam("after"))
    .order_by(_T.c.id)
    .limit(sa.bindparam("batch"))
    for column in ("host", "cluster_name")
}
"""By the column of the volumes that names the backend."""


class Snapshots:
    """Rows of ``snapshots``.

    :param volumes: for the volume of a snapshot.
    :param name_template: makes a snapshot's name on the backend out of its id.
    """

    def __init__(self, database: Database, volumes: Volumes, *, name_template: str) -> None:
        self._db = database
        self._volumes = volumes
        self._template = name_template
        self._name = named_by(name_template)
        self._rows = ResourceRows(database, _T, "snapshot", SnapshotNotFound, "Snapshot")

    def get(self, snapshot_id: str) -> Record:
        """Return the live row."""
        return self.record(self._rows.get(snapshot_id))

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live snapshots of a volume, oldest first."""
        rows = self._db.rows(_OF_VOLUME, {"which": volume_id})
        return [self.record(row._asdict()) for row in rows]

    def on_host(self, place: BackendRows | str, batch: int = BATCH) -> Iterator[Record]:
        """Yield the live snapshots of the volumes of a backend by id, some at a time."""
        backend = BackendRows.of(place)
        parameters = {**backend.parameters, "after": "", "batch": batch or BATCH}
        while rows := self._db.rows(_NEXT[backend.column], parameters):
            yield from (self.record(row._asdict()) for row in rows)
            parameters["after"] = rows[-1].id

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is.

        Type and size are the volume's where they are not given. Quota is not asked.
        """
        metadata = METADATA.check(columns.pop("metadata", None) or {})
        row = {**_DEFAULTS, "id": str(uuid.uuid4()), **columns}

        def work(connection: sa.Connection) -> dict[str, Any]:
            if "volume_type_id" not in row or "volume_size" not in row:
                volume = self._volumes.get(row["volume_id"])
                row.setdefault("volume_type_id", volume.volume_type_id)
                row.setdefault("volume_size", volume.size)
            if self._rows.insert(connection, row):
                METADATA.set(connection, row["id"], metadata)
            return self._rows.stored(connection, row["id"]) or {}

        return self.record(self._db.write(work))

    def update(self, snapshot_id: str, **columns: Any) -> None:
        """Write columns; ``metadata`` replaces all keys."""
        if "metadata" not in columns:
            return self._rows.change(snapshot_id, columns) if columns else None
        metadata = METADATA.check(columns.pop("metadata") or {})

        def work(connection: sa.Connection) -> None:
            self._rows.set_columns(connection, snapshot_id, columns)
            METADATA.replace(connection, snapshot_id, metadata)

        return self._db.write(work)

    def update_all(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write columns of several snapshots in one transaction; each entry has an ``id``."""
        wanted = [(entry["id"], {k: v for k, v in entry.items() if k != "id"}) for entry in entries]

        def work(connection: sa.Connection) -> None:
            for snapshot_id, columns in wanted:
                self._rows.set_columns(connection, snapshot_id, columns)

        self._db.write(work)

    def transition(
        self,
        snapshot_id: str,
        to: str,
        *,
        when: Collection[str],
        done: bool = False,
        commit: Sequence[str] = (),
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set."""

        def work(connection: sa.Connection) -> None:
            quota.stop_if_settled(connection, commit)
            self._rows.change_status(connection, snapshot_id, to, when, columns, done)
            quota.settle(connection, commit, used=True)

        self._db.write(work)

    def destroy(self, snapshot_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the snapshot with its metadata and give its quota back."""

        def work(connection: sa.Connection) -> bool:
            if not self._rows.soft_delete(connection, snapshot_id, status=SnapshotStatus.DELETED):
                return False
            project_id, type_name = SNAPSHOT.clear(connection, snapshot_id)
            quota.release(connection, project_id, type_name, release or {})
            return True

        return self._db.write(work)

    def copy_image_metadata(self, snapshot_id: str, *, from_volume: str) -> None:
        """Copy image metadata of a volume to the snapshot."""
        to = SNAPSHOT_IMAGE_METADATA
        self._db.write(
            lambda c: copy_image_metadata(c, IMAGE_METADATA, from_volume, to, snapshot_id)
        )

    def named(self, text: str) -> Record | None:
        """Return the live snapshot whose name on the backend is part of a text."""
        for snapshot_id in self._name.findall(text):
            with contextlib.suppress(SnapshotNotFound):
                return self.get(snapshot_id)
        return None

    def list(self, *, limit: int | None = None, **equal: Any) -> Sequence[Record]:
        """Return live snapshots by equal columns, the newest first."""
        return [self.record(row) for row in listed(self._db, _T, equal, limit)]

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        snapshot_id = row["id"]
        volume = functools.cache(functools.partial(self._volumes.get, row["volume_id"]))
        return Record(
            "snapshot",
            {**row, "name": self._template % snapshot_id},
            {
                "volume": volume,
                "volume_name": lambda: volume().name,
                "metadata": METADATA.reader(self._db, snapshot_id),
            },
        )
