# SPDX-License-Identifier: Apache-2.0
"""A row in a single value, for the one driver that needs it.

PyMySQL reads the description of each column of a result in Python: with 40
columns that is half of the time that an operation spends on the database (measured:
360 against 180 µs for one volume). Packed as a JSON array by the server, the same
row has one column. Needs MySQL 5.7.8 or MariaDB 10.2.3.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa


class Packed:
    """Queries for single rows of one table."""

    def __init__(self, table: sa.Table) -> None:
        self._names = table.columns.keys()
        self._converted = [
            (column.name, convert)
            for column in table.columns
            if (convert := _conversion(column.type)) is not None
        ]
        self._array: sa.ColumnElement[str] = sa.func.json_array(*table.columns, type_=sa.Text())

    def select(self, *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """Return the query for the rows that match."""
        return sa.select(self._array).where(*where)

    def unpack(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return a row of such a query as a dict by column names."""
        values = dict(zip(self._names, json.loads(row[0]), strict=True))
        for name, convert in self._converted:
            if values[name] is not None:
                values[name] = convert(values[name])
        return values


def is_worth_it(url: sa.URL) -> bool:
    """Return whether the driver is slow with wide rows."""
    return url.get_backend_name() in ("mysql", "mariadb") and url.get_driver_name() == "pymysql"


def _conversion(kind: sa.types.TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, sa.DateTime):
        return datetime.datetime.fromisoformat
    return bool if isinstance(kind, sa.Boolean) else None
