# SPDX-License-Identifier: Apache-2.0
"""Transactions of the journal; each one that writes begins with the fence of the process's slot.

A process on a database server owns its slot by a lease (:mod:`worker.journal.slots`). No
transaction of it may be committed after another process has taken the slot. Each transaction
that writes is opened here, so that none can lack the fence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import sqlalchemy as sa

from worker.db.error_kinds import ErrorKind, certificate_refusal, kind_of
from worker.journal.errors import (
    JournalConflict,
    JournalError,
    JournalRefused,
    JournalUnavailable,
)

_VALUES = (ValueError, TypeError, OverflowError, RecursionError)
"""Errors of drivers about values that no statement can carry: NUL, lone surrogates."""


class Fence(Protocol):
    """Proves, inside a transaction, that the process still owns its slot."""

    def check_cursor(self, cursor: Any) -> None:
        """Write the slot's row by a cursor. :raises JournalFenced: the slot is lost."""

    def check(self, connection: sa.Connection) -> None:
        """Write the slot's row by a connection. :raises JournalFenced: the slot is lost."""


class Transactions:
    """Opens the transactions of one journal in one process.

    :ivar fence: of the slot that the process owns; None for a journal in SQLite, which one host
        has to itself, and for commands of operators, which own no slot.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.fence: Fence | None = None
        # SQLite lets one writer in at a time and makes others poll: queue them here instead.
        self._gate: Any = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """Return a cursor whose transaction ends with the block.

        :raises JournalFenced: the process does not own its slot any more.
        """
        with self._gate, transaction(self.engine) as cursor:
            if self.fence is not None:
                self.fence.check_cursor(cursor)
            yield cursor

    @contextmanager
    def changing(self, *, fenced: bool = True) -> Iterator[sa.Connection]:
        """Return a connection whose transaction ends with the block.

        :param fenced: False for rows that need no slot: the requests of operators, and the slots
            themselves, whose statements compare the owner.
        :raises JournalFenced: the process does not own its slot any more.
        """
        with self._gate, translated(self.engine), self.engine.begin() as connection:
            if fenced and self.fence is not None:
                self.fence.check(connection)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Return a connection to read from."""
        with translated(self.engine), self.engine.connect() as connection:
            yield connection


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[Any]:
    """Return a cursor whose transaction, without a fence, ends with the block.

    :raises JournalUnavailable: it may have been committed or not.
    :raises JournalConflict: it was not committed, and may be tried again at once.
    :raises JournalRefused: it was not committed.
    """
    with translated(engine):
        connection = engine.raw_connection()
        try:
            yield connection.cursor()
            connection.commit()
        except BaseException as error:
            _end(connection, error)
            raise
        else:
            connection.close()


@contextmanager
def translated(engine: sa.Engine) -> Iterator[None]:
    """Raise errors of the database as those of the journal."""
    try:
        yield
    except (engine.dialect.loaded_dbapi.Error, sa.exc.SQLAlchemyError, OSError) as error:
        raise _translate(error) from error
    except _VALUES as error:
        raise _translate(error) from error


def _end(connection: sa.PoolProxiedConnection, error: BaseException) -> None:
    """Roll back; a connection that may still be in a transaction is not used again."""
    if isinstance(error, Exception) and kind_of(error) is ErrorKind.AWAY:
        connection.invalidate(error)
        return
    try:
        connection.rollback()
    except Exception as failed:  # noqa: BLE001 - the first error is the one to raise
        connection.invalidate(failed)
    else:
        connection.close()


def _translate(error: Exception) -> JournalError:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).splitlines() or [""]
    shown = certificate_refusal(error) or f"{type(cause).__name__}: {lines[0][:500]}"
    text = f"journal: {shown}"
    kind = kind_of(error)
    if kind is ErrorKind.CONFLICT:
        return JournalConflict(text)
    if isinstance(error, OSError) or kind is not None:
        return JournalUnavailable(text)
    return JournalRefused(text)
