# SPDX-License-Identifier: Apache-2.0
"""Tables and engines of the journal's database."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from worker import database_url
from worker.compat.pymysql import share_tls_context
from worker.journal.entries.stored_columns import LONGEST
from worker.journal.errors import JournalConflict, JournalError

SQLITE_BUSY_TIMEOUT = 30.0
"""How long a process waits for another one's transaction, in seconds."""

SERVER_CONNECT_TIMEOUT = 5
SERVER_TIMEOUT = 30
"""How long a database server may take to connect, and to reply, in seconds."""

_ALONE = {
    "mysql": (
        "SELECT GET_LOCK('holdfast_journal', 25)",
        "SELECT RELEASE_LOCK('holdfast_journal')",
    ),
    "postgresql": ("SELECT pg_advisory_lock(748193)", "SELECT pg_advisory_unlock(748193)"),
}
_ALONE["mariadb"] = _ALONE["mysql"]

_MYSQL = ("mysql", "mariadb")

_STATEMENT = 1 << 16
"""Bytes of a statement beside its texts."""


def make_engine(
    connection: str, silence: int = SERVER_TIMEOUT, *, causal: bool = True
) -> sa.Engine:
    """Return the engine of a database URL.

    :param silence: how long a server may take to reply, in seconds.
    :param causal: whether a query on Galera waits for the earlier commits of other nodes.

    The pool rolls nothing back: each user of a connection ends its transaction.

    Commits to a server survive a power cut; those to a file in SQLite survive a kill, and wait
    for the disk by themselves (see group_commit.py).
    """
    url = database_url.parse(connection)
    if url.get_backend_name() != "sqlite":
        share_tls_context()
        engine = sa.create_engine(
            url,
            pool_pre_ping=True,
            pool_reset_on_return=None,
            isolation_level="READ COMMITTED",
            connect_args=_limits(url, silence),
        )
        if causal and engine.dialect.name in _MYSQL:
            sa.event.listen(engine, "connect", _read_what_is_certified)
        return engine
    if url.database:
        _to_write_ahead(url.database)
    return _sqlite_engine(url)


def is_file(engine: sa.Engine) -> bool:
    """Return whether a database is SQLite's, which serves one host."""
    return engine.dialect.name == "sqlite"


def file_of(engine: sa.Engine) -> str | None:
    """Return the file of a database in SQLite; None of a server, or of one in memory."""
    return engine.url.database if engine.dialect.name == "sqlite" else None


def _read_what_is_certified(connection: Any, _record: Any) -> None:
    """Have a node of Galera answer a query only when it has applied all earlier commits.

    A process that adopts operations reads the last commits of another node.
    """
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
        if any(str(row[1]).upper() in ("ON", "1") for row in cursor.fetchall()):
            cursor.execute("SET SESSION wsrep_sync_wait = 1")
    connection.commit()


def _limits(url: sa.URL, silence: int) -> dict[str, Any]:
    """Return arguments that bound how long a server may be silent; those in the URL remain."""
    driver = url.get_driver_name()
    wanted: dict[str, Any] = {"connect_timeout": min(SERVER_CONNECT_TIMEOUT, silence)}
    if driver in ("pymysql", "mysqldb"):
        wanted |= {"read_timeout": silence, "write_timeout": silence}
    elif driver in ("psycopg2", "psycopg"):
        # Data that a peer does not confirm, and a silent peer of an idle connection.
        wanted |= {
            "tcp_user_timeout": silence * 1000,
            "keepalives_idle": max(1, silence // 3),
            "keepalives_interval": max(1, silence // 3),
            "keepalives_count": 2,
        }
    else:
        return {}
    return {name: value for name, value in wanted.items() if name not in url.query}


def upgrade(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Make or migrate taskflow's tables.

    taskflow has no migrations for SQLite either; for the others they are its own,
    imported only then, as alembic costs a service 11 MiB and a tenth of a second.
    """
    if engine.dialect.name == "sqlite":
        metadata.create_all(engine)
        return
    from taskflow.persistence.backends.sqlalchemy import migration

    with engine.connect() as connection:
        try:
            migration.db_sync(connection)
        except (
            migration.command.util.CommandError
        ) as error:  # it found a version that another process has changed
            raise JournalConflict(f"journal: its tables are being migrated: {error}") from error
        connection.commit()


@contextmanager
def alone(engine: sa.Engine) -> Iterator[None]:
    """Keep other processes from migrating the same server's journals meanwhile.

    SQLite has no such lock, and each node of Galera has its own; there the second process tries
    again.
    """
    if engine.dialect.name not in _ALONE:
        yield
        return
    take, give = _ALONE[engine.dialect.name]
    with engine.connect() as connection:
        connection.execute(sa.text(take))
        try:
            yield
        finally:
            connection.execute(sa.text(give))


def add_indexes(engine: sa.Engine) -> None:
    """Add the indexes that taskflow's tables lack for look-ups by parent and slot."""
    wanted = {
        "holdfast_logbooks_name": ("logbooks", "name"),
        "holdfast_flowdetails_parent": ("flowdetails", "parent_uuid"),
        "holdfast_flowdetails_ended": ("flowdetails", "state, updated_at"),
        "holdfast_atomdetails_parent": ("atomdetails", "parent_uuid"),
    }
    inspector = sa.inspect(engine)
    with engine.begin() as connection:
        for index, (table, columns) in wanted.items():
            if index not in {found["name"] for found in inspector.get_indexes(table)}:
                connection.execute(sa.text(f"CREATE INDEX {index} ON {table} ({columns})"))


def widen_columns(engine: sa.Engine) -> None:
    """Make room for long arguments and results: MySQL's TEXT has 64 KiB, the others have GiB."""
    if engine.dialect.name not in _MYSQL:
        return
    inspector = sa.inspect(engine)
    for table in ("logbooks", "flowdetails", "atomdetails"):
        short = [c["name"] for c in inspector.get_columns(table) if type(c["type"]) is mysql.TEXT]
        if short:
            changes = ", ".join(f"MODIFY {name} MEDIUMTEXT" for name in short)
            with engine.begin() as connection:
                connection.execute(sa.text(f"ALTER TABLE {table} {changes}"))


def longest_row(engine: sa.Engine) -> int:
    """Return how many bytes the texts of one row may have."""
    if engine.dialect.name not in _MYSQL:
        return LONGEST
    with engine.connect() as connection:
        packet = int(connection.execute(sa.text("SELECT @@max_allowed_packet")).scalar_one())
    return min(LONGEST, packet - _STATEMENT)


def _to_write_ahead(path: str) -> None:
    try:
        opened = sqlite3.connect(path, isolation_level=None, timeout=SQLITE_BUSY_TIMEOUT)
        opened.execute("PRAGMA journal_mode=wal")
        opened.close()
    except sqlite3.Error as error:
        raise JournalError(f"journal {path}: {error}") from error


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=sa.pool.QueuePool,
        pool_reset_on_return=None,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_TIMEOUT},
    )

    @sa.event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=normal")
        connection.execute("PRAGMA foreign_keys=on")

    return engine
