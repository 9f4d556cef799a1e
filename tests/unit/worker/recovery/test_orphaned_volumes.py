# SPDX-License-Identifier: Apache-2.0
"""When orphaned operations of a backend are ended, after a start."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_utils import timeutils

from tests.unit.flows.world.orphans import BEFORE, HOST, WHO, Left
from worker.recovery.orphaned_volumes import OrphanedVolumes

SINCE = BEFORE + datetime.timedelta(seconds=1)


class Slots:
    """The free slots of the process, at each check; and the runs of submitted operations."""

    def __init__(self) -> None:
        self.free = [True]
        self.started = 0

    @property
    def has_capacity(self) -> bool:
        return self.free.pop(0) if len(self.free) > 1 else self.free[0]

    def start_submitted(self) -> None:
        self.started += 1


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRACE", "PAUSE"):
        monkeypatch.setattr(f"worker.recovery.orphaned_volumes.{name}", 0.01)


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    made = Left(tmp_path)
    yield made
    made.database.dispose()


@pytest.fixture
def slots() -> Slots:
    return Slots()


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def orphans(left: Left, slots: Slots, stopping: threading.Event) -> OrphanedVolumes:
    return OrphanedVolumes(left.records, HOST, left.context, slots, stopping)


def test_it_waits_for_free_slots(left: Left, slots: Slots, orphans: OrphanedVolumes) -> None:
    slots.free = [False, False, True]
    volume = left.volume("extending")
    orphans.settle(SINCE)

    assert left.status(volume) == "error_extending"
    assert slots.free == [True]


@pytest.mark.parametrize("up", [False, True])
def test_it_waits_for_a_scheduler(
    left: Left, orphans: OrphanedVolumes, stopping: threading.Event, up: bool
) -> None:
    who = {**WHO, "host": "s1", "binary": "cinder-scheduler"}
    scheduler = left.records.services.ensure(**who)
    if not up:
        long_ago = scheduler.updated_at.replace(year=2020)
        left.records.services.update(scheduler.id, updated_at=long_ago)
    volume = left.volume("extending")
    threading.Timer(0.3, stopping.set).start()
    orphans.settle(SINCE)

    assert left.status(volume) == ("error_extending" if up else "extending")


def test_a_stop_ends_the_waiting(
    left: Left, orphans: OrphanedVolumes, stopping: threading.Event
) -> None:
    volume = left.volume("extending")
    stopping.set()
    orphans.settle(SINCE)

    assert left.status(volume) == "extending"


def test_a_row_that_changed_after_the_start_stays(left: Left, orphans: OrphanedVolumes) -> None:
    volume = left.volume("extending")
    orphans.settle(BEFORE)

    assert left.status(volume) == "extending"


def test_operations_in_work_rows_are_ended_first(left: Left, orphans: OrphanedVolumes) -> None:
    volume = left.volume("creating", left.ours)
    orphans.clean_up()

    assert left.status(volume) == "error"


def test_submitted_deletions_run_after_the_clean_up(
    left: Left, slots: Slots, orphans: OrphanedVolumes
) -> None:
    volume = left.volume("deleting", left.ours)
    orphans.clean_up()

    assert left.operations.deleted == [volume]
    assert slots.started == 1


def test_rows_that_change_during_the_clean_up_are_not_orphaned(
    orphans: OrphanedVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = datetime.datetime(2026, 1, 1)
    settled: list[datetime.datetime] = []
    settle = threading.Event()

    def note(since: datetime.datetime) -> None:
        settled.append(since)
        settle.set()

    # The clean-up lasts as long as an outage.
    monkeypatch.setattr(orphans, "clean_up", lambda: timeutils.advance_time_seconds(60))
    monkeypatch.setattr(orphans, "settle", note)
    timeutils.set_time_override(begin)
    try:
        orphans.start()
        assert settle.wait(10)
    finally:
        timeutils.clear_time_override()

    assert settled == [begin]
