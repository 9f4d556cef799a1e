# SPDX-License-Identifier: Apache-2.0
"""What all records share: checked columns, compare-and-set, soft deletion."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from flows.errors import NotFound, StatusChanged
from worker.db import models
from worker.db.engine import Database

_WHICH = "which"
_WHEN = "when_status"


class Rows:
    """One table with a text id, a status and soft deletion.

    :param kind: the resource in the singular, for messages.
    :param gone: what a missing row raises.
    :param work: the resource's name in ``workers``, None when it has none.
    """

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        kind: str,
        gone: type[NotFound],
        work: str | None = None,
    ) -> None:
        self._db = database
        self._table = table
        self._kind = kind
        self._gone = gone
        self._work = work
        columns = table.c
        alive = columns.deleted == sa.false()
        by_id = columns.id == sa.bindparam(_WHICH)
        self._select = sa.select(table).where(by_id, alive)
        self._select_any = sa.select(table).where(by_id)
        self._update = sa.update(table).where(by_id, alive)
        if "status" in columns:
            when = columns.status.in_(sa.bindparam(_WHEN, expanding=True))
            self._compare_and_set = self._update.where(when)
            self._status = sa.select(columns.status).where(by_id, alive)

    def fetch(self, connection: sa.Connection, row_id: str) -> dict[str, Any]:
        """Return the live row as a dict. :raises NotFound: none, or a deleted one."""
        row = connection.execute(self._select, {_WHICH: row_id}).mappings().first()
        if row is None:
            raise self._gone(f"{self._kind} {row_id} does not exist")
        return dict(row)

    def write(self, row_id: str, columns: Mapping[str, Any]) -> None:
        """Update columns of the live row. :raises NotFound: there is none."""
        checked = self.checked(columns)

        def work(connection: sa.Connection) -> None:
            self.set_columns(connection, row_id, checked)

        self._db.write(work)

    def set_columns(
        self, connection: sa.Connection, row_id: str, checked: Mapping[str, Any]
    ) -> None:
        """Update columns in the caller's transaction."""
        values = {_WHICH: row_id, "updated_at": timeutils.utcnow(), **checked}
        if connection.execute(self._update, values).rowcount == 0:
            raise self._gone(f"{self._kind} {row_id} does not exist")

    def change_status(
        self,
        connection: sa.Connection,
        row_id: str,
        to: str,
        when: Collection[str],
        checked: Mapping[str, Any],
        done: bool,
    ) -> None:
        """Compare and set in the caller's transaction (see the flows' protocol)."""
        values = {
            _WHICH: row_id,
            _WHEN: list(when),
            "updated_at": timeutils.utcnow(),
            **checked,
            "status": to,
        }
        if connection.execute(self._compare_and_set, values).rowcount == 0:
            found = connection.execute(self._status, {_WHICH: row_id}).first()
            if found is None:
                raise self._gone(f"{self._kind} {row_id} does not exist")
            if found.status != to:
                raise StatusChanged(f"{self._kind} {row_id}", found.status, when)
        if done and self._work:
            drop_work(connection, self._work, row_id)

    def soft_delete(self, connection: sa.Connection, row_id: str, **columns: Any) -> bool:
        """Mark the row as deleted, keeping ``updated_at``; False when it was already."""
        values = {
            _WHICH: row_id,
            "deleted": True,
            "deleted_at": timeutils.utcnow(),
            **columns,
        }
        return connection.execute(self._update, values).rowcount > 0

    def insert(self, connection: sa.Connection, columns: Mapping[str, Any]) -> None:
        """Insert a row with the columns that every row has."""
        values = {"created_at": timeutils.utcnow(), "deleted": False, **columns}
        connection.execute(sa.insert(self._table), values)

    def checked(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return columns that the table takes.

        :raises ValueError: an unknown column, or a text too long for it.
        """
        for name, value in columns.items():
            if name not in self._table.c:
                raise ValueError(f"{self._table.name} has no column {name}")
            length = getattr(self._table.c[name].type, "length", None)
            if length and isinstance(value, str) and len(value) > length:
                where = f"{self._table.name}.{name}"
                raise ValueError(f"{where} takes {length} characters, not {len(value)}")
            if isinstance(value, dict | list | tuple | set):
                kind = type(value).__name__
                raise ValueError(f"{self._table.name}.{name} takes no {kind}")
        return dict(columns)


_DROP_WORK = sa.delete(models.workers).where(
    models.workers.c.resource_type == sa.bindparam("kind"),
    models.workers.c.resource_id == sa.bindparam(_WHICH),
)


def drop_work(connection: sa.Connection, kind: str, resource_id: str) -> None:
    """Remove the work row of a resource (spec/volume-rpc §8)."""
    connection.execute(_DROP_WORK, {"kind": kind, _WHICH: resource_id})


def pairs(connection: sa.Connection, table: sa.Table, owner: str, owner_id: str) -> dict[str, str]:
    """Return the live keys and values of one owner."""
    wanted = sa.select(table.c.key, table.c.value).where(
        table.c[owner] == owner_id, table.c.deleted == sa.false()
    )
    return {row.key: row.value for row in connection.execute(wanted)}


def set_pairs(
    connection: sa.Connection,
    table: sa.Table,
    owner: str,
    owner_id: str,
    wanted: Mapping[str, Any],
    *,
    keep_others: bool,
) -> None:
    """Bring the keys and values of one owner to what is wanted."""
    now = timeutils.utcnow()
    found = pairs(connection, table, owner, owner_id)
    text = {key: None if value is None else str(value) for key, value in wanted.items()}
    changed = [key for key in text if key in found and found[key] != text[key]]
    stale = [] if keep_others else [key for key in found if key not in text]
    of_owner = (table.c[owner] == owner_id, table.c.deleted == sa.false())
    for key in changed:
        update = sa.update(table).where(*of_owner, table.c.key == key)
        connection.execute(update.values(value=text[key], updated_at=now))
    if stale:
        update = sa.update(table).where(*of_owner, table.c.key.in_(stale))
        connection.execute(update.values(deleted=True, deleted_at=now))
    fresh = [
        {owner: owner_id, "key": key, "value": value, "created_at": now, "deleted": False}
        for key, value in text.items()
        if key not in found
    ]
    if fresh:
        connection.execute(sa.insert(table), fresh)
