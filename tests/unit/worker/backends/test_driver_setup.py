# SPDX-License-Identifier: Apache-2.0
"""Repeat the set-up of a driver until it succeeds or the process stops."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
import tenacity

from drivers.interface.errors import BackupDriverException, VolumeBackendAPIException
from worker.backends import driver_setup
from worker.backends.backup_backend import BackupStoreBackend
from worker.backends.directory_mark import NotMounted


class Driver:
    """A driver whose set-up fails a number of times; it may stop the process then."""

    def __init__(self, failures: int, stop_after: int | None = None) -> None:
        self.attempts = 0
        self.stopping = threading.Event()
        self._failures = failures
        self._stop_after = stop_after

    def attempt(self) -> bool:
        self.attempts += 1
        if self.attempts == self._stop_after:
            self.stopping.set()
        return self.attempts > self._failures

    def set_up(self) -> None:
        wait = tenacity.wait_exponential(multiplier=0.001, max=0.002)
        driver_setup.until_up(self.attempt, self.stopping, "backend b", wait)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of the set-up."""
    caplog.set_level(logging.INFO, logger="worker.backends.driver_setup")
    return caplog


def test_a_set_up_that_succeeds_at_once_is_not_logged(log: pytest.LogCaptureFixture) -> None:
    driver = Driver(0)
    driver.set_up()

    assert driver.attempts == 1
    assert log.messages == []


def test_failed_attempts_are_repeated_and_the_end_is_logged(
    log: pytest.LogCaptureFixture,
) -> None:
    driver = Driver(2)
    driver.set_up()

    assert driver.attempts == 3
    assert log.messages == [
        "backend b: next attempt in 0 s",
        "backend b is up after 0 s",
    ]


def test_no_attempt_begins_after_the_stop(log: pytest.LogCaptureFixture) -> None:
    driver = Driver(9, stop_after=2)
    driver.set_up()

    assert driver.attempts == 2
    assert "is up" not in log.text


def test_a_process_that_stops_already_sets_nothing_up() -> None:
    driver = Driver(0)
    driver.stopping.set()
    driver.set_up()

    assert driver.attempts == 0


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return an error as one that was raised from another one."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (raised(NotMounted("no marker")), True),
        (raised(BackupDriverException("backup_share names no share")), True),
        (raised(VolumeBackendAPIException("no such path"), FileNotFoundError("x")), True),
        (raised(VolumeBackendAPIException("KeyError: 'pool'"), KeyError("pool")), False),
        (raised(VolumeBackendAPIException("TypeError: x"), TypeError("x")), False),
        (KeyError("pool"), False),
    ],
)
def test_only_bugs_are_logged_with_a_traceback(error: BaseException, expected: bool) -> None:
    assert driver_setup.is_refusal(error) is expected


def test_a_store_that_refuses_its_options_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> Any:
        raise BackupDriverException("backup_share names no share")

    store: Any = BackupStoreBackend.__new__(BackupStoreBackend)
    store._make, store._away = refuse, False
    store._log = driver_setup.SetUpLog(logging.getLogger("store"), "the store cannot be used")
    assert [store.attempt() for _ in range(3)] == [False] * 3

    (record,) = caplog.records
    assert record.exc_info is None
    assert "backup_share names no share" in record.getMessage()


def test_a_reason_is_logged_once_until_another_one_or_a_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = driver_setup.SetUpLog(logging.getLogger("backend"), "b did not come up")

    def failed(text: str) -> None:
        log.failed(VolumeBackendAPIException(text), text)

    for text in ("no answer after 3 s", "no answer after 5 s", "no route", "no route"):
        failed(text)
    log.succeeded()
    failed("no route")

    assert caplog.messages == [
        "b did not come up: no answer after 3 s",
        "b did not come up: no route",
        "b did not come up: no route",
    ]
