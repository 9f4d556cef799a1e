# SPDX-License-Identifier: Apache-2.0
"""Ends of transactions: nothing is rolled back twice, and no open transaction is used again."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.journal import schema
from worker.journal.transaction import Transactions


class Noting(sqlite3.Connection):
    """A connection that notes its rollbacks, and can refuse them."""

    rollbacks = 0
    refuses = False

    def rollback(self) -> None:
        type(self).rollbacks += 1
        if self.refuses:
            raise sqlite3.OperationalError("cannot roll back")
        super().rollback()


@pytest.fixture
def transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transactions]:
    """Transactions of an empty table, by connections that note."""
    monkeypatch.setattr(
        "sqlite3.dbapi2.connect", functools.partial(sqlite3.connect, factory=Noting)
    )
    made = Transactions(schema.make_engine(f"sqlite:///{tmp_path / 'journal'}"))
    with made.writing() as cursor:
        cursor.execute("CREATE TABLE example (id INTEGER)")
    monkeypatch.setattr(Noting, "rollbacks", 0)
    yield made
    made.engine.dispose()


def count(transactions: Transactions) -> int:
    """Return how many rows the table has."""
    with transactions.writing() as cursor:
        return int(cursor.execute("SELECT count(*) FROM example").fetchone()[0])


def test_a_transaction_that_has_ended_is_not_rolled_back(transactions: Transactions) -> None:
    with transactions.changing() as connection:
        connection.exec_driver_sql("INSERT INTO example VALUES (1)")

    assert count(transactions) == 1
    assert Noting.rollbacks == 0
    with transactions.reading() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert Noting.rollbacks == 1


@pytest.mark.parametrize("refuses", [False, True])
def test_no_open_transaction_is_used_again(
    transactions: Transactions, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    monkeypatch.setattr(Noting, "refuses", refuses)
    with pytest.raises(LookupError), transactions.writing() as cursor:
        cursor.execute("INSERT INTO example VALUES (1)")
        raise LookupError
    monkeypatch.setattr(Noting, "refuses", False)

    assert count(transactions) == 0
    assert Noting.rollbacks == 1
