# SPDX-License-Identifier: Apache-2.0
"""Lose the answer of one commit of an operation, though it was done, inside the victim.

The commits of each operation are numbered in the order in which they begin: ``database#0``
is its first transaction in Cinder's database, ``statement#0`` its first statement there that
is a transaction by itself, ``journal#0`` its acceptance in the journal. The error is the one
that the driver of the database raises when its connection breaks.
"""

from __future__ import annotations

import collections
import contextvars
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa

from worker.db.database import Database
from worker.journal import transaction as journal

_CHANGES = ("UPDATE", "INSERT", "DELETE")
_LOST_CONNECTION = 2013


@dataclass
class _Commit:
    """A commit that is under way, and whose answer is to be lost."""

    resource: str
    kind: str
    lost: bool = False


class LostCommits:
    """The commits of the operations of one process.

    :param folder: has ``commits/ID`` with the names of the commits of an operation, and
        ``lost/ID`` when the answer of one was lost.
    :param current: returns the resource whose operation this thread carries out.
    :param planned: returns the name of the commit that is to be lost; None where the campaign
        has no plan for the operation.
    """

    def __init__(
        self, folder: Path, current: Callable[[], str], planned: Callable[[], str | None]
    ) -> None:
        self._folder = folder
        self._current = current
        self._planned = planned
        self._guard = threading.Lock()
        self._numbers: collections.Counter[tuple[str, str]] = collections.Counter()
        self._commit: contextvars.ContextVar[_Commit | None] = contextvars.ContextVar(
            "commit", default=None
        )

    @contextmanager
    def numbered(self, kind: str) -> Iterator[None]:
        """Count a transaction of this thread's operation while the block makes it."""
        token = self._commit.set(self._next(kind))
        try:
            yield
        finally:
            self._commit.reset(token)

    def install(self) -> None:
        """Watch the database and the journal of this process."""
        wrap(Database, "write", self._in("database"))
        wrap(Database, "change", self._in("statement"))
        wrap(pymysql.connections.Connection, "commit", self._commit_of_mysql)
        wrap(pymysql.cursors.Cursor, "execute", self._statement_of_mysql)
        journal.transaction = functools.partial(self._transaction, journal.transaction)

    def _next(self, kind: str) -> _Commit | None:
        resource, planned = self._current(), self._planned()
        if not resource or planned is None:
            return None
        with self._guard:  # members of a group are worked on beside one another
            name = f"{kind}#{self._numbers[resource, kind]}"
            self._numbers[resource, kind] += 1
            with (self._folder / "commits" / resource).open("a") as commits:
                commits.write(f"{name}\n")
        return _Commit(resource, kind) if name == planned else None

    def _is_due(self, *kinds: str) -> bool:
        """Say whether the answer of the commit that was just done is to be lost."""
        commit = self._commit.get()
        if commit is None or commit.lost or commit.kind not in kinds:
            return False
        commit.lost = True
        (self._folder / "lost" / commit.resource).touch()
        return True

    def _in(self, kind: str) -> Callable[..., Any]:
        def work(original: Any, *args: Any, **more: Any) -> Any:
            with self.numbered(kind):
                return original(*args, **more)

        return work

    def _commit_of_mysql(self, original: Any, connection: Any) -> None:
        original(connection)
        if self._is_due("database", "journal"):
            _break(connection)

    def _statement_of_mysql(self, original: Any, cursor: Any, query: Any, args: Any = None) -> Any:
        answer = original(cursor, query, args)
        if str(query).lstrip().startswith(_CHANGES) and self._is_due("statement"):
            _break(cursor.connection)
        return answer

    @contextmanager
    def _transaction(
        self, original: Callable[[Any], AbstractContextManager[Any]], engine: sa.Engine
    ) -> Iterator[Any]:
        sqlite = engine.dialect.name == "sqlite"
        watched = _Engine(engine, self._is_due) if sqlite else engine
        with self.numbered("journal"), original(watched) as cursor:
            yield cursor


class _Engine:
    """An engine of SQLite whose commits can lose their answer."""

    def __init__(self, engine: sa.Engine, is_due: Callable[[str], bool]) -> None:
        self._engine = engine
        self._is_due = is_due

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def raw_connection(self) -> _Connection:
        """Return a connection."""
        return _Connection(self._engine.raw_connection(), self._is_due)


class _Connection:
    """A connection of SQLite whose commits can lose their answer."""

    def __init__(self, connection: Any, is_due: Callable[[str], bool]) -> None:
        self._connection = connection
        self._is_due = is_due

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Commit, and fail if this one's answer is to be lost."""
        self._connection.commit()
        if self._is_due("journal"):
            raise sqlite3.OperationalError("disk I/O error: the answer of a commit was lost")


def _break(connection: Any) -> None:
    connection._force_close()
    raise pymysql.err.OperationalError(_LOST_CONNECTION, "Lost connection during query")


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Put a function before a method of a class; it is given the original first."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, wrapped)
