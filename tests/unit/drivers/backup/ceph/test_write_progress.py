# SPDX-License-Identifier: Apache-2.0
"""One writer of a base image at a time, also of several hosts."""

from __future__ import annotations

import threading

import pytest

from drivers.backup.ceph import write_progress
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace

from .conftest import Cloud


class Stopped(BaseException):
    pass


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(write_progress, "POLL_INTERVAL", 0.01)


def half(cloud: Cloud, row) -> None:
    """Begin a backup, whose process ends then."""
    with pytest.raises(Stopped):
        cloud.back_up(row, pace=Pace(tell=stop_within))


def stop_within(part: float) -> None:
    if part:
        raise Stopped


def test_a_second_backup_waits_for_the_first(cloud):
    full = cloud.made()
    cloud.scribble(8)
    first, second = cloud.new(full), cloud.new(full)
    half(cloud, first)
    waits = threading.Event()

    def tell(_part: float) -> None:
        waits.set()

    other = threading.Thread(target=lambda: cloud.back_up(second, pace=Pace(tell=tell)))
    other.start()
    assert waits.wait(60)
    assert second["status"] == "creating"

    cloud.back_up(first)
    other.join(60)

    for row in (first, second):
        assert cloud.restored(row) == cloud.data()


def test_one_that_failed_after_its_commit_keeps_nothing_waiting(cloud):
    full, driver = cloud.made(), cloud.driver()
    first = cloud.new(full)

    def fail(_volume_id):
        raise KeyError

    driver.metadata.get = fail
    with pytest.raises(KeyError):
        cloud.back_up(first, driver, backup_metadata=True)

    assert cloud.objects() == []
    assert cloud.restored(cloud.made(full)) == cloud.data()


def test_one_that_is_cancelled_while_it_waits_leaves_nothing(cloud):
    full = cloud.made()
    cloud.scribble(8)
    first, second = cloud.new(full), cloud.new(full)
    half(cloud, first)

    def cancel(_part):
        raise KeyError

    with pytest.raises(KeyError):
        cloud.back_up(second, pace=Pace(tell=cancel))

    assert not [name for name in cloud.snapshots() if second["id"] in name]
    cloud.back_up(first)
    assert cloud.restored(first) == cloud.data()


def test_a_deletion_of_the_first_lets_the_second_begin(cloud):
    full = cloud.made()
    cloud.scribble(8)
    first = cloud.new(full)
    half(cloud, first)
    cloud.driver().delete_backup(cloud.rows.record(first))

    assert cloud.restored(cloud.made(full)) == cloud.data()


def test_one_that_does_not_move_is_taken_over_and_notices_it(cloud, monkeypatch, caplog):
    monkeypatch.setattr(write_progress, "STALE", 0.0)
    full = cloud.made()
    cloud.scribble(8)
    first, second = cloud.new(full), cloud.new(full)

    def tell(part: float) -> None:
        if part and second["status"] == "creating":
            cloud.back_up(second)

    with pytest.raises(BackupDriverException, match="taken over"):
        cloud.back_up(first, pace=Pace(tell=tell))

    assert "is taken over" in caplog.text
    assert cloud.restored(second) == cloud.data()
    third = cloud.made(second)
    assert cloud.restored(third) == cloud.data()
