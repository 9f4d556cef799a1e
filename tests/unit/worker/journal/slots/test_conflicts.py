# SPDX-License-Identifier: Apache-2.0
"""A transaction that others are in the way of is tried again at once, and not for ever."""

from __future__ import annotations

import logging
import threading

import pytest

from worker.execution.retry import JournalRetry
from worker.journal.errors import JournalConflict, JournalUnavailable
from worker.journal.slots.conflicts import ATTEMPTS, repeated, until_granted


class Transaction:
    """One that meets conflicts, or another error."""

    def __init__(self, conflicts: int, error: type[Exception] = JournalConflict) -> None:
        self.left = conflicts
        self.error = error
        self.attempts = 0

    def __call__(self) -> str:
        self.attempts += 1
        if self.left:
            self.left -= 1
            raise self.error("no")
        return "done"


def test_conflicts_are_tried_again() -> None:
    transaction = Transaction(3)

    assert repeated(transaction.__call__)() == "done"
    assert transaction.attempts == 4


def test_one_statement_is_tried_against_many_conflicts() -> None:
    transaction = Transaction(5 * ATTEMPTS)

    assert until_granted(transaction.__call__)() == "done"


def test_endless_conflicts_are_given_up() -> None:
    transaction = Transaction(10_000)

    with pytest.raises(JournalConflict):
        repeated(transaction.__call__)()
    assert transaction.attempts == ATTEMPTS + 1


def test_an_outage_is_not_tried_again() -> None:
    transaction = Transaction(1, JournalUnavailable)

    with pytest.raises(JournalUnavailable):
        repeated(transaction.__call__)()
    assert transaction.attempts == 1


def test_a_conflict_is_logged_as_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    assert JournalRetry(threading.Event()).until_available(Transaction(2).__call__) == "done"

    assert caplog.records == []
