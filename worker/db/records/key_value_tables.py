# SPDX-License-Identifier: Apache-2.0
"""Tables of keys and values that belong to another row (spec/schema §2)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from worker.db.column_values import checked, now
from worker.db.database import Database


class KeyValueTable:
    """The keys and values of one kind of owner.

    :param owner: the column that names the owner.
    """

    def __init__(self, table: sa.Table, owner: str) -> None:
        self._table, self._owner = table, owner
        columns = table.c
        of_owner = sa.and_(columns[owner] == sa.bindparam("which"), columns.deleted == sa.false())
        of_key = columns.key == sa.bindparam("which_key")
        self._select = sa.select(columns.key, columns.value).where(of_owner)
        self._update = sa.update(table).where(of_owner, of_key)
        self._delete = sa.update(table).where(of_owner)
        self._insert = sa.insert(table)

    def read(self, connection: sa.Connection, owner_id: str) -> dict[str, Any]:
        """Return the live pairs, in the caller's transaction."""
        found: Sequence[Any] = connection.execute(self._select, {"which": owner_id}).all()
        return {key: value for key, value in found}

    def reader(self, database: Database, owner_id: str) -> functools.partial[dict[str, Any]]:
        """Return a call that fetches the live pairs."""
        return functools.partial(self._fetch, database, owner_id)

    def replace(self, connection: sa.Connection, owner_id: str, wanted: Mapping[str, Any]) -> None:
        """Replace the whole set of keys."""
        found = self.read(connection, owner_id)
        for key in found.keys() - wanted.keys():
            self.remove(connection, owner_id, key)
        self._put(connection, owner_id, wanted, found)

    def set(self, connection: sa.Connection, owner_id: str, wanted: Mapping[str, Any]) -> None:
        """Set some keys and leave the others."""
        self._put(connection, owner_id, wanted, self.read(connection, owner_id))

    def remove(self, connection: sa.Connection, owner_id: str, key: str) -> None:
        """Soft-delete one key, if it is there."""
        deletion = {"deleted": True, "deleted_at": now()}
        connection.execute(self._update, {**deletion, "which": owner_id, "which_key": key})

    def clear(self, connection: sa.Connection, owner_id: str) -> None:
        """Soft-delete all keys."""
        deletion = {"deleted": True, "deleted_at": now()}
        connection.execute(self._delete, {**deletion, "which": owner_id})

    def check(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return pairs as the table takes them. :raises ValueError: one does not fit."""
        pairs = (checked(self._table, {"key": k, "value": _text(v)}) for k, v in wanted.items())
        return {pair["key"]: pair["value"] for pair in pairs}

    def _put(
        self,
        connection: sa.Connection,
        owner_id: str,
        wanted: Mapping[str, Any],
        found: Mapping[str, Any],
    ) -> None:
        fresh = []
        for key, value in wanted.items():
            if key not in found:
                fresh.append({self._owner: owner_id, "key": key, "value": value})
            elif found[key] != value:
                which = {"which": owner_id, "which_key": key}
                connection.execute(self._update, {"value": value, "updated_at": now(), **which})
        if fresh:
            times = {"created_at": now(), "deleted": False}
            connection.execute(self._insert, [{**row, **times} for row in fresh])

    def _fetch(self, database: Database, owner_id: str) -> dict[str, Any]:
        return {key: value for key, value in database.rows(self._select, {"which": owner_id})}


def _text(value: Any) -> Any:
    # Cinder keeps True as the text "True".
    return str(value) if isinstance(value, bool) else value
