# SPDX-License-Identifier: Apache-2.0
"""The store of a host: when it is of use, and whose backups are in it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from drivers.interface.errors import BackupDriverException
from flows.errors import DriverNotInitialized
from worker.backends import backup_backend
from worker.backends.backup_backend import BackupStoreBackend
from worker.backends.directory_mark import DirectoryMark
from worker.execution.concurrency import Limiter
from worker.metrics.outages import KnownOutages

CINDERS = "cinder.backup.drivers.posix.PosixBackupDriver"


class Driver:
    def __init__(self, failures: list[str]) -> None:
        self._failures = failures

    def check_for_setup_error(self) -> None:
        if self._failures:
            raise BackupDriverException(self._failures.pop(0))


@pytest.fixture(autouse=True)
def outages(monkeypatch: pytest.MonkeyPatch) -> KnownOutages:
    made = KnownOutages()
    monkeypatch.setattr(backup_backend, "OUTAGES", made)
    return made


def store(*failures: str, pause: float = 0.0) -> BackupStoreBackend:
    left = list(failures)

    def make() -> Any:
        return Driver(left)

    return BackupStoreBackend(
        "h",
        "nova",
        make,
        (CINDERS, "drivers.backup.posix.PosixDriver"),
        lambda: pause,
        Limiter(),
        DirectoryMark("h", "/nowhere", lambda: False),
    )


def test_what_is_not_up_says_why() -> None:
    made = store("the disk is away")
    assert not made.attempt()
    with pytest.raises(DriverNotInitialized, match="on h: BackupDriverException: the disk is away"):
        made.require_driver()
    assert not made.initialized


def test_it_is_tried_again_until_it_is_up() -> None:
    made = store("one", "two")
    made.initialize(threading.Event())
    assert made.initialized and made.require_driver() is not None


def test_monitors_see_its_outage(outages: KnownOutages) -> None:
    made = store("one", "two")
    seen = []
    for _ in range(3):
        made.attempt()
        seen.append("store" in outages.lasting())

    assert seen == [True, True, False]


def test_a_stop_ends_the_tries() -> None:
    stopping = threading.Event()
    stopping.set()
    made = store("one")
    made.initialize(stopping)
    assert not made.initialized


@pytest.mark.parametrize(
    ("service", "ours"),
    [
        (CINDERS, True),
        ("cinder.backup.drivers.posix", True),
        ("drivers.backup.posix.PosixDriver", True),
        (None, True),
        ("", True),
        ("cinder.backup.drivers.swift.SwiftBackupDriver", False),
        ("cinder.backup.drivers.posixer", False),
    ],
)
def test_whose_a_backup_is(service: str | None, ours: bool) -> None:
    assert store().is_this_store(service) is ours


def test_cinders_name_is_written() -> None:
    assert store().service == CINDERS
