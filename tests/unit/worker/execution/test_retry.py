# SPDX-License-Identifier: Apache-2.0
"""Repeat calls of a service that is away, and log its outage once."""

from __future__ import annotations

import logging
import threading

import pytest

from flows.errors import ProcessStopping
from worker.execution import retry
from worker.execution.retry import OutageRetry


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The log lines of retries, which pause for milliseconds."""
    monkeypatch.setattr(retry, "RETRY_FIRST", 0.001)
    monkeypatch.setattr(retry, "RETRY_MAX", 0.002)
    caplog.set_level(logging.INFO, logger="worker.execution.retry")
    return caplog.messages


def failing(*errors: BaseException):
    """Return a call that raises these errors, and then returns 7."""
    left = list(errors)

    def call() -> int:
        if left:
            raise left.pop(0)
        return 7

    return call


def test_an_outage_is_one_line_at_its_start_and_one_at_its_end(
    log: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    locks = OutageRetry("the directory of the locks", (OSError, KeyError), threading.Event())

    assert (
        locks.until_available(failing(OSError("disk full"), KeyError("x"), OSError("again"))) == 7
    )
    assert caplog.messages[0] == "the directory of the locks is away: disk full"
    assert caplog.messages[1].startswith("the directory of the locks is back after 0.")
    assert len(caplog.messages) == 2


def test_other_errors_are_raised_at_once(log: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="ours"):
        OutageRetry("x", OSError, threading.Event()).until_available(failing(ValueError("ours")))
    assert caplog.messages == []


def test_a_stop_ends_the_repetition(log: list[str]) -> None:
    stopping = threading.Event()
    stopping.set()

    with pytest.raises(ProcessStopping, match="disk full") as caught:
        OutageRetry("x", OSError, stopping).until_available(failing(OSError("disk full")))
    assert isinstance(caught.value.__cause__, OSError)
