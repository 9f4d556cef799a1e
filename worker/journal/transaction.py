# SPDX-License-Identifier: Apache-2.0
"""Transactions of the journal, without SQLAlchemy's execution of statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from worker.db.error_kinds import ErrorKind, certificate_refusal, kind_of
from worker.journal.errors import JournalError, JournalRefused, JournalUnavailable

_VALUES = (ValueError, TypeError, OverflowError, RecursionError)
"""Errors of drivers about values that no statement can carry: NUL, lone surrogates."""


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[Any]:
    """Return a cursor whose transaction ends with the block.

    :raises JournalUnavailable: it may have been committed or not.
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
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection to read from, or for statements of SQLAlchemy."""
    with translated(engine), engine.connect() as connection:
        yield connection


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
    """Roll back; a connection whose server is away is not used again."""
    if isinstance(error, Exception) and kind_of(error) is ErrorKind.AWAY:
        connection.invalidate(error)
        return
    with suppress(Exception):  # the first error is the one to raise
        connection.rollback()
    connection.close()


def _translate(error: Exception) -> JournalError:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).splitlines() or [""]
    shown = certificate_refusal(error) or f"{type(cause).__name__}: {lines[0][:500]}"
    text = f"journal: {shown}"
    if isinstance(error, OSError) or kind_of(error) is not None:
        return JournalUnavailable(text)
    return JournalRefused(text)
