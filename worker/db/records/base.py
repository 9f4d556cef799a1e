# SPDX-License-Identifier: Apache-2.0
"""Common queries of tables with a text id, a status and soft deletion."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_utils import timeutils

from flows.errors import NotFound, StatusChanged
from worker.db import models
from worker.db.column_values import checked, is_key, now
from worker.db.commit import stop_if_committed
from worker.db.criteria import same
from worker.db.database import Database
from worker.db.row_statements.packed_row import Packed
from worker.db.row_statements.prepared_statement import PreparedStatement, Row

_WHICH = "which"
_WHEN = "when_status"


class ResourceRows:
    """One table, with statements that are built once.

    :param kind: the resource in the singular, for messages.
    :param not_found: the exception for a missing row.
    :param work: the resource's name in ``workers``, None when it has none.
    """

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        kind: str,
        not_found: type[NotFound],
        work: str | None = None,
    ) -> None:
        self._db = database
        self._table = table
        self._names = table.columns.keys()
        self._kind = kind
        self._not_found = not_found
        self._work = work
        columns = table.c
        by_id = same(columns.id, _WHICH)
        live = sa.and_(by_id, columns.deleted == sa.false())
        self._any = sa.select(table).where(by_id)
        self._live, self._unpack = PreparedStatement(sa.select(table).where(live)), self.named
        if database.packs_rows:
            packed = Packed(table)
            self._live, self._unpack = PreparedStatement(packed.select(live)), packed.unpack
        update = sa.update(table).where(live)
        self._update = PreparedStatement(update)
        self._insert = sa.insert(table)
        if "status" in columns:
            when = columns.status.in_(sa.bindparam(_WHEN, expanding=True))
            self._compare_and_set = PreparedStatement(update.where(when))

    def get(self, row_id: str) -> dict[str, Any]:
        """Return the live row. :raises NotFound: none, or a deleted one."""
        for row in self._db.rows(self._live, {_WHICH: self._key(row_id)}):
            return self._unpack(row)
        raise self.missing(row_id)

    def fetch(self, connection: sa.Connection, row_id: str) -> dict[str, Any]:
        """Return the live row, in the caller's transaction."""
        for row in self._live.rows(connection, {_WHICH: self._key(row_id)}):
            return self._unpack(row)
        stop_if_committed(connection)
        raise self.missing(row_id)

    def stored(self, connection: sa.Connection, row_id: str) -> dict[str, Any] | None:
        """Return a row, even a deleted one, in the caller's transaction."""
        row = connection.execute(self._any, {_WHICH: row_id}).first()
        return None if row is None else self.named(row)

    def named(self, row: Row) -> dict[str, Any]:
        """Return a row of the whole table as a dict."""
        return dict(zip(self._names, row, strict=True))

    def change(self, row_id: str, columns: Mapping[str, Any]) -> None:
        """Update columns of the live row. :raises NotFound: there is none."""
        if self._db.change(self._update, self._values(row_id, columns)) == 0:
            raise self.missing(row_id)

    def set_columns(
        self, connection: sa.Connection, row_id: str, columns: Mapping[str, Any]
    ) -> None:
        """Update columns in the caller's transaction."""
        if self._update.count(connection, self._values(row_id, columns)) == 0:
            stop_if_committed(connection)
            raise self.missing(row_id)

    def change_status(
        self,
        connection: sa.Connection,
        row_id: str,
        to: str,
        when: Collection[str],
        columns: Mapping[str, Any],
        done: bool,
        mark: int | None = None,
    ) -> bool:
        """Compare and set in the caller's transaction (see the flows' protocol).

        Says whether this changed it, and not an earlier try.

        Times are not compared when a row is found changed already: they are those
        of the first try.
        """
        values = self._values(row_id, {**columns, "status": to})
        values[_WHEN] = list(when)
        changed = self._compare_and_set.count(connection, values) > 0
        if not changed:
            stop_if_committed(connection)
            found = self.fetch(connection, row_id)
            if not all(_agrees(found[n], v) for n, v in values.items() if n in self._table.c):
                raise StatusChanged(f"{self._kind} {row_id}", found["status"], when)
        if mark is not None:
            if changed:
                self.require_mark(connection, row_id, mark, done)
        elif done and self._work:
            drop_work(connection, self._work, row_id)
        return changed

    def require_mark(
        self, connection: sa.Connection, row_id: str, mark: int, done: bool = True
    ) -> None:
        """Compare the mark of the work row in the caller's transaction.

        :param done: whether that row goes.
        :raises StatusChanged: it is not there, so that nothing of the transaction may stay.
        """
        assert self._work is not None
        values = {"kind": self._work, _WHICH: row_id, "mark": mark}
        if (_DROP_MARK if done else _KEEP_MARK).count(connection, values) == 0:
            stop_if_committed(connection)
            raise StatusChanged(f"{self._kind} {row_id}", "claimed by another operation", ())

    def soft_delete(self, connection: sa.Connection, row_id: str, **columns: Any) -> bool:
        """Mark the row as deleted, keeping ``updated_at``; False when it was already."""
        values = {"deleted": True, "deleted_at": now(), **columns, _WHICH: row_id}
        deleted = self._update.count(connection, values) > 0
        if not deleted:
            stop_if_committed(connection)
        if self._work:
            drop_work(connection, self._work, row_id)
        return deleted

    def insert(self, connection: sa.Connection, columns: Mapping[str, Any]) -> bool:
        """Insert a row; False where one of that id is there already, even a deleted one."""
        if self.stored(connection, columns["id"]) is not None:
            return False
        values = {"created_at": now(), "deleted": False, **checked(self._table, columns)}
        try:
            connection.execute(self._insert, values)
        except db_exception.DBDuplicateEntry as error:
            # Another transaction came first: this one begins anew and finds that row.
            raise db_exception.DBDeadlock(error) from error
        return True

    def missing(self, row_id: object) -> NotFound:
        """Return the exception for a missing row."""
        return self._not_found(f"{self._kind} {str(row_id)[:40]} does not exist")

    def _values(self, row_id: str, columns: Mapping[str, Any]) -> dict[str, Any]:
        if "id" in columns:
            raise ValueError(f"{self._table.name}.id: stays as it is")
        values = {"updated_at": now(), **checked(self._table, columns)}
        values[_WHICH] = self._key(row_id)
        return values

    def _key(self, row_id: str) -> str:
        if not is_key(row_id):
            raise self.missing(row_id)
        return row_id


_DROP_WORK = PreparedStatement(
    sa.delete(models.workers).where(
        models.workers.c.resource_type == sa.bindparam("kind"),
        models.workers.c.resource_id == sa.bindparam(_WHICH),
    )
)
_MARKED = (
    models.workers.c.resource_type == sa.bindparam("kind"),
    models.workers.c.resource_id == sa.bindparam(_WHICH),
    models.workers.c.race_preventer == sa.bindparam("mark"),
)
_DROP_MARK = PreparedStatement(sa.delete(models.workers).where(*_MARKED))
_KEEP_MARK = PreparedStatement(sa.update(models.workers).where(*_MARKED).values(deleted=False))


def drop_work(connection: sa.Connection, kind: str, resource_id: str) -> None:
    """Remove the work row of a resource (spec/volume-rpc §8)."""
    _DROP_WORK.count(connection, {"kind": kind, _WHICH: resource_id})


def precise_now() -> datetime.datetime:
    """Return the time for a compare-and-set by time: naive UTC, microseconds."""
    return timeutils.utcnow()


def _agrees(found: Any, wanted: Any) -> bool:
    return isinstance(wanted, datetime.datetime) or found == wanted
