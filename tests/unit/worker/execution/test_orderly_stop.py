# SPDX-License-Identifier: Apache-2.0
"""The record of an orderly stop in the journal never keeps a process from its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from worker.execution import orderly_stop
from worker.journal.errors import JournalUnavailable


class Journal:
    """A journal whose ``suspend`` does this."""

    def __init__(self, suspend: Callable[[], None]) -> None:
        self._suspend = suspend
        self.slots: list[str] = []

    def suspend(self, slot: str) -> None:
        self._suspend()
        self.slots.append(slot)


def record(suspend: Callable[[], None], wait: float) -> Journal:
    journal: Any = Journal(suspend)
    orderly_stop.record(journal, "h1@b1/0", wait)
    return journal  # type: ignore[no-any-return]


def test_the_slot_is_suspended() -> None:
    assert record(lambda: None, 60.0).slots == ["h1@b1/0"]


def test_a_journal_that_is_away_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise JournalUnavailable("away")

    record(fail, 60.0)

    assert "the stop of h1@b1/0 cannot be noted and counts as a crash: away" in caplog.text


def test_a_journal_that_hangs_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    answers = threading.Event()

    record(lambda: bool(answers.wait(60)), 0.01)  # type: ignore[arg-type, return-value]

    assert "the stop of h1@b1/0 is not noted after 0 s: the journal hangs" in caplog.text
    answers.set()


def test_a_record_can_be_written_without_a_wait(caplog: pytest.LogCaptureFixture) -> None:
    answers = threading.Event()

    record(lambda: bool(answers.wait(60)), 0.0)  # type: ignore[arg-type, return-value]

    assert caplog.text == ""
    answers.set()
