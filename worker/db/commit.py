# SPDX-License-Identifier: Apache-2.0
"""A transaction that is run again when its connection breaks, at its commit as well.

A connection can break between a commit and its answer. The transaction may then have taken
effect, and other transactions may have built on it since: a volume that was made
``available`` is attached or deleted by now. The next attempt is marked, and a query that
finds the row no longer as the first attempt found it raises :class:`CommittedBefore`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import sqlalchemy as sa

from worker.db.error_kinds import ERRORS, ErrorKind, kind_of

T = TypeVar("T")

_MARK = "holdfast_perhaps_committed"


class CommittedBefore(Exception):
    """An earlier attempt at this transaction was committed; nothing is left to do."""


class Transaction(Generic[T]):
    """One piece of work, for as many attempts as it takes.

    :param engine: returns the engine.
    """

    def __init__(self, engine: Callable[[], sa.Engine], work: Callable[[sa.Connection], T]) -> None:
        self._engine = engine
        self._work = work
        self._perhaps_committed = False
        self._answers: list[T] = []

    def __call__(self) -> T:
        """Make an attempt."""
        committing = False
        try:
            with self._engine().connect() as connection:
                if self._perhaps_committed:
                    connection.execution_options(**{_MARK: True})
                with connection.begin():
                    answer = self._work(connection)
                    committing = True
            return answer
        except CommittedBefore:
            return self._answers[-1]
        except ERRORS as error:
            if committing and kind_of(error) is ErrorKind.AWAY:
                self._perhaps_committed = True
                self._answers.append(answer)
            raise


def perhaps_committed(connection: sa.Connection) -> bool:
    """Return whether an earlier attempt at this transaction may have been committed."""
    return bool(connection.get_execution_options().get(_MARK))


def stop_if_committed(connection: sa.Connection) -> None:
    """End the transaction if an earlier attempt may have been committed.

    Called where a row is not as the earlier attempt found it.

    :raises CommittedBefore: it may.
    """
    if perhaps_committed(connection):
        raise CommittedBefore
