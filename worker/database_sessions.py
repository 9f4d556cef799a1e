# SPDX-License-Identifier: Apache-2.0
"""Rules for the connections of an engine, which the database keeps.

A host that loses its power or its network inside a transaction closes no connection. Its server
would keep the locks of that transaction until it misses the host: two hours by the keepalive of
TCP, and eight by MySQL's ``wait_timeout``. Until then no other host could take its slot, or
change the rows that it had changed.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import sqlalchemy as sa

_MARIADB = "idle_write_transaction_timeout"

_MYSQL_AT_LEAST = 60
"""Seconds without a statement after which MySQL, which knows no limit for transactions, ends a
connection; shorter ones would end those that wait in a pool."""


_MYSQL_READS = "SET SESSION TRANSACTION READ ONLY"

_READS = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": _MYSQL_READS,
    "mariadb": _MYSQL_READS,
}


def only_read(engine: sa.Engine) -> None:
    """Have the database refuse changes over each new connection."""

    def apply(connection: Any, _record: Any) -> None:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(_READS[engine.dialect.name])
        connection.commit()

    sa.event.listen(engine, "connect", apply)


def limit_idle(engine: sa.Engine, seconds: float) -> None:
    """Have each new connection ended that leaves a transaction idle for so long."""
    whole = max(1, math.ceil(seconds))

    def apply(connection: Any, _record: Any) -> None:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(_statement(engine.dialect.name, cursor, whole))
        connection.commit()

    if engine.dialect.name in ("postgresql", "mysql", "mariadb"):
        sa.event.listen(engine, "connect", apply)


def _statement(dialect: str, cursor: Any, seconds: int) -> str:
    if dialect == "postgresql":
        return f"SET idle_in_transaction_session_timeout = {seconds * 1000}"
    cursor.execute(f"SHOW VARIABLES LIKE '{_MARIADB}'")
    if cursor.fetchall():
        return f"SET SESSION {_MARIADB} = {seconds}"
    return f"SET SESSION wait_timeout = {max(seconds, _MYSQL_AT_LEAST)}"
