# SPDX-License-Identifier: Apache-2.0
"""Private parts of SQLAlchemy: conversions of values, and statements that are text already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa

T = TypeVar("T")


def bind_processors(compiled: sa.Compiled) -> Mapping[str, Callable[[Any], Any]]:
    """Return the functions that convert values for the database, by their parameters."""
    processors: Mapping[str, Callable[[Any], Any]] = compiled._bind_processors  # type: ignore[attr-defined]
    return processors


def run_on_cursor(
    connection: sa.Connection, statement: str, parameters: Any, read: Callable[[Any], T]
) -> T:
    """Run a statement on a cursor of the driver; return the result of reading the cursor.

    ``Connection.exec_driver_sql`` is the public way, and costs as much processor time as the
    driver itself. Here as there, listeners of the engine see the statement and the errors, which
    they may replace, and a connection that is lost leaves the pool.
    """
    cursor: Any = None
    pooled = connection.connection
    try:
        cursor = pooled.cursor()
    except BaseException as error:  # noqa: BLE001 - it is raised again
        connection._handle_dbapi_exception(error, statement, parameters, None, None)
    connection._cursor_execute(cursor, statement, parameters)
    try:
        answer = read(cursor)
        cursor.close()
    except BaseException as error:  # noqa: BLE001 - it is raised again
        connection._handle_dbapi_exception(error, statement, parameters, cursor, None)
    return answer
