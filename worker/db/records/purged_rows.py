# SPDX-License-Identifier: Apache-2.0
"""Remove rows that were deleted softly long ago, tables that refer to others first.

Implements ``holdfast db purge``. Rows to which a row of another table still refers stay. Tables
whose rows are not deleted softly, and those of other programs, are not touched.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

import sqlalchemy as sa
from oslo_db import exception as db_exception

from worker.db.database import Database
from worker.db.tables.base import metadata

BATCH = 1000
"""Rows of one transaction, so that services do not wait for it."""


class PurgedRows:
    """Rows that nothing needs any more."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def count(self, before: datetime.datetime) -> dict[str, int]:
        """Return how many rows of each table :meth:`purge` would remove.

        :param before: the time of their deletion (UTC).
        """
        found = {}
        for table in _tables():
            chosen = sa.select(sa.func.count()).select_from(table).where(_old(table, before))
            for other, reference in _references(table):
                refers = sa.and_(reference, sa.not_(_old(other, before)))
                chosen = chosen.where(~sa.exists().where(refers).correlate(table))
            (row,) = self._db.rows(chosen)
            found[table.name] = int(row[0])
        return found

    def purge(
        self, before: datetime.datetime, progress: Callable[[str, int], None] | None = None
    ) -> dict[str, int]:
        """Remove rows that were deleted before a time (UTC); return how many of each table.

        :param progress: called after each transaction.
        """
        removed = {}
        for table in _tables():
            removed[table.name] = 0
            while some := self._batch(table, before):
                removed[table.name] += some
                if progress is not None:
                    progress(table.name, removed[table.name])
                if some < BATCH:
                    break
        return removed

    def _batch(self, table: sa.Table, before: datetime.datetime) -> int:
        (key,) = table.primary_key
        chosen = sa.select(key).where(_old(table, before)).limit(BATCH)
        for _other, reference in _references(table):
            chosen = chosen.where(~sa.exists().where(reference).correlate(table))

        def work(connection: sa.Connection) -> int:
            ids = list(connection.scalars(chosen))
            if ids:
                connection.execute(sa.delete(table).where(key.in_(ids)))
            return len(ids)

        try:
            return self._db.write(work)
        except db_exception.DBReferenceError as error:
            raise RowsReferred(table.name) from error


class RowsReferred(Exception):
    """Rows of a table that this program does not know refer to rows that are to be removed."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"rows of {table} are referred to by a table that is not known here: "
            "use cinder-manage db purge for them"
        )


def _tables() -> Iterator[sa.Table]:
    """Yield the tables with rows that are deleted softly, those that refer to others first."""
    for table in reversed(metadata.sorted_tables):
        flag = table.c.get("deleted")
        if flag is not None and isinstance(flag.type, sa.Boolean):
            yield table


def _old(table: sa.Table, before: datetime.datetime) -> sa.ColumnElement[bool]:
    if not isinstance(getattr(table.c.get("deleted"), "type", None), sa.Boolean):
        return sa.false()
    return sa.and_(table.c.deleted == sa.true(), table.c.deleted_at < before)


def _references(table: sa.Table) -> Iterator[tuple[sa.Table, sa.ColumnElement[bool]]]:
    """Yield the tables with a foreign key to a table, with the condition of that key."""
    for other in metadata.sorted_tables:
        for key in other.foreign_keys:
            if key.column.table is table and other is not table:
                yield other, key.parent == key.column
