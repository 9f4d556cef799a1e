# SPDX-License-Identifier: Apache-2.0
"""Commits of a journal that take effect, or not, and whose answer does not arrive."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa

from worker.journal.journal import Journal

_LOST = "disk I/O error: the answer was lost"


class LostAnswers:
    """Loses the answers of the next commits of a journal in SQLite.

    :param journal: the journal, in this process.
    """

    def __init__(self, journal: Journal) -> None:
        self.takes_effect = True
        self.left = 0
        self.commits = 0
        self._watch(journal._engine)

    def lose(self, number: int = 1, *, takes_effect: bool = True) -> None:
        """Lose the answers of so many commits."""
        self.left, self.takes_effect = number, takes_effect

    def lose_number(self, number: int, *, takes_effect: bool = True) -> None:
        """Lose the answer of one commit, counted from 0 and from now."""
        self.commits = 0
        self._at = number
        self.takes_effect = takes_effect

    _at: int | None = None

    def _watch(self, engine: sa.Engine) -> None:
        plain = engine.raw_connection
        engine.raw_connection = lambda: _Connection(plain(), self)  # type: ignore[method-assign]
        sa.event.listen(engine, "commit", self._sqlalchemy)

    def _sqlalchemy(self, connection: sa.Connection) -> None:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        try:
            self.at_commit(raw)
        except sqlite3.OperationalError as error:
            raise sa.exc.OperationalError("COMMIT", None, error) from error

    def at_commit(self, raw: Any) -> None:
        """Commit, or not, and raise, if it is this commit's turn."""
        number, self.commits = self.commits, self.commits + 1
        if number == self._at:
            self._at = None
        elif self.left:
            self.left -= 1
        else:
            return
        if self.takes_effect:
            raw.commit()
        else:
            raw.rollback()
        raise sqlite3.OperationalError(_LOST)


class _Connection:
    """A connection whose commits the test can lose."""

    def __init__(self, connection: Any, answers: LostAnswers) -> None:
        self._connection = connection
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Commit."""
        self._answers.at_commit(self._connection)
        self._connection.commit()
