# SPDX-License-Identifier: Apache-2.0
"""A failure that is met again has one line for each reason."""

from __future__ import annotations

import logging

import pytest

from worker.outage_log import FailureLog

LOG = logging.getLogger("tests.failures")


def shown(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]


def test_a_reason_is_logged_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = FailureLog(LOG)
    for reason in ("no answer after 3 s", "no answer after 5 s", "no route", "no answer after 3 s"):
        log.failed(reason, "b is down: %s", reason)

    assert shown(caplog) == [
        "b is down: no answer after 3 s",
        "b is down: no route",
        "b is down: no answer after 3 s",
    ]
    assert len(caplog.records) == 4  # the repetition is there for debugging


def test_a_reason_is_logged_again_after_a_success(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(LOG)
    log.failed("no route", "b is down")
    log.succeeded()
    log.failed("no route", "b is down")

    assert shown(caplog) == ["b is down"] * 2


def test_only_the_first_line_has_the_level_and_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    log, error = FailureLog(LOG), KeyError("pool")
    for _ in range(2):
        log.failed(error, "b is down", level=logging.WARNING, error=error)

    first, second = caplog.records
    assert (first.levelno, second.levelno) == (logging.WARNING, logging.DEBUG)
    assert first.exc_info is not None and first.exc_info[1] is error
    assert not second.exc_info
