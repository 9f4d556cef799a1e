# SPDX-License-Identifier: Apache-2.0
"""Common queries of groups and of their snapshots."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import NotFound
from flows.statuses import GroupStatus
from worker.db.database import Database
from worker.db.records.base import ResourceRows
from worker.db.records.volumes.volume_lists import listed


class GroupRows:
    """Rows with a status and members, of one table.

    :param not_found: the exception for a missing row.
    :param work: the resource's name in ``workers``, None when it has none.
    """

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        not_found: type[NotFound],
        work: str | None = None,
    ) -> None:
        self._db = database
        self._table = table
        self._kind = table.name.removesuffix("s")
        self._rows = ResourceRows(database, table, self._kind, not_found, work)

    def get(self, row_id: str) -> Record:
        """Return the live row."""
        return self.record(self._rows.get(row_id))

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is. Quota is not asked."""
        row = {"id": str(uuid.uuid4()), "status": GroupStatus.CREATING, **columns}

        def work(connection: sa.Connection) -> dict[str, Any]:
            self._insert(connection, row)
            return self._rows.stored(connection, row["id"]) or {}

        return self.record(self._db.write(work))

    def update(self, row_id: str, **columns: Any) -> None:
        """Write columns."""
        if columns:
            self._rows.change(row_id, columns)

    def transition(
        self,
        row_id: str,
        to: str,
        *,
        when: Collection[str],
        mark: int | None = None,
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set."""
        done = mark is not None
        self._db.write(lambda c: self._rows.change_status(c, row_id, to, when, columns, done, mark))

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        raise NotImplementedError

    def _insert(self, connection: sa.Connection, row: dict[str, Any]) -> None:
        self._rows.insert(connection, row)

    def list(self, *, limit: int | None = None, **equal: Any) -> Sequence[Record]:
        """Return live rows by equal columns, the newest first."""
        return [self.record(row) for row in listed(self._db, self._table, equal, limit)]
