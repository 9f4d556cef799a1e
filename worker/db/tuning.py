# SPDX-License-Identifier: Apache-2.0
"""Additions to oslo.db's engine creation, through SQLAlchemy's engine plugins.

oslo.db asks the server ``SELECT 1`` or a ping before each transaction and rolls
back after each, opens a new SQLite file for each, and lets a late write find that
another one came first. Here a lost connection is noticed by the statement itself
and its transaction repeated; every transaction of ours ends by itself; and SQLite
takes its write lock at the beginning.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import CreateEnginePlugin

from worker import database_sessions
from worker.db.error_kinds import ErrorKind, kind_of

SQLITE_BUSY_TIMEOUT = 30
"""How long one process waits for another one's transaction, in seconds."""

CONNECT_TIMEOUT = 10
ANSWER_TIMEOUT = 90
"""How long a MySQL server may think, in seconds: longer than it waits for a lock (50)."""

IDLE_TIMEOUT = 15
"""Seconds after which a server ends a transaction that is not continued: a host that has lost its
power must not keep rows locked for the one that resumes its operations."""

_ANSWER_OPTIONS = {"pymysql": "read_timeout", "mysqldb": "read_timeout"}


class Writing(CreateEnginePlugin):
    """The engine whose connections carry transactions."""

    def __init__(self, url: sa.URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        # Values may be secrets, and the text of an error reaches logs.
        kwargs.update(pool_pre_ping=False, pool_reset_on_return=None, hide_parameters=True)
        arguments = kwargs.setdefault("connect_args", {})
        if is_sqlite(url):
            arguments["timeout"] = SQLITE_BUSY_TIMEOUT
            if not is_memory(url):
                kwargs.update(poolclass=sa.pool.QueuePool, max_overflow=-1)
                arguments["check_same_thread"] = False
            return
        kwargs.update(self.isolation())
        for name, seconds in _timeouts(url).items():
            if name not in url.query:
                arguments[name] = seconds

    def update_url(self, url: sa.URL) -> sa.URL:
        """Leave the URL as it is."""
        return url

    def isolation(self) -> dict[str, Any]:
        """Return the statements that isolate transactions."""
        # MySQL's default, REPEATABLE READ, locks gaps: more deadlocks for nothing.
        return {"isolation_level": "READ COMMITTED"}

    def engine_created(self, engine: sa.Engine) -> None:
        """Take SQLite's write lock first: a read lock cannot always grow into one."""
        _drop_when_away(engine)
        database_sessions.limit_idle(engine, IDLE_TIMEOUT)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "begin", _begin_immediate)


class Single(Writing):
    """The engine for statements that are a transaction by themselves."""

    def isolation(self) -> dict[str, Any]:
        """Return the options that save the statements around them."""
        return {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}

    def engine_created(self, engine: sa.Engine) -> None:
        """Take no lock: SQLite's readers need none."""
        _drop_when_away(engine)


plugins.register("holdfast_writing", __name__, "Writing")
plugins.register("holdfast_single", __name__, "Single")


def for_writing(url: sa.URL) -> str:
    """Return the URL that makes an engine for transactions, with its password."""
    return _with(url, "holdfast_writing")


def for_single(url: sa.URL) -> str:
    """Return the URL that makes an engine for single statements, with its password."""
    return _with(url, "holdfast_single")


def is_sqlite(url: sa.URL) -> bool:
    """Return whether the database is a SQLite file."""
    return url.get_backend_name() == "sqlite"


def is_memory(url: sa.URL) -> bool:
    """Return whether the database ends with its only connection."""
    return is_sqlite(url) and url.database in (None, "", ":memory:")


def _with(url: sa.URL, plugin: str) -> str:
    pairs = [("plugin", plugin)]
    return url.update_query_pairs(pairs, append=True).render_as_string(hide_password=False)


def _timeouts(url: sa.URL) -> dict[str, int]:
    timeouts = {"connect_timeout": CONNECT_TIMEOUT}
    answer = _ANSWER_OPTIONS.get(url.get_driver_name())
    return timeouts | {answer: ANSWER_TIMEOUT} if answer else timeouts


def _drop_when_away(engine: sa.Engine) -> None:
    """Close connections whose server is away in another sense than that they broke.

    After a failover they lead to a server that only reads, or to a proxy that has lost its
    own, and every attempt through them would fail.
    """

    def judge(context: sa.ExceptionContext) -> None:
        if kind_of(context.original_exception) is ErrorKind.AWAY:
            context.is_disconnect = True

    if not is_memory(engine.url):
        sa.event.listen(engine, "handle_error", judge)


def _begin_immediate(connection: sa.Connection) -> None:
    # oslo.db sends a plain BEGIN unless it finds this mark, which it clears at the end.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    connection.info["in_transaction"] = True
