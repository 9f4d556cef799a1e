# SPDX-License-Identifier: Apache-2.0
"""One writer of a base image at a time, also of several hosts."""

from __future__ import annotations

import json
import threading

import pytest

from drivers.backup.ceph import write_progress
from drivers.backup.ceph.ceph_cluster import BackupPool
from drivers.backup.ceph.write_progress import WriteProgress
from drivers.backup.transfer.checkpoint import Interval
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace
from tests.ceph import MODULES

from .conftest import SIZE, Cloud


class Stopped(BaseException):
    pass


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(write_progress, "POLL_INTERVAL", 0.01)


def half(cloud: Cloud, row) -> None:
    """Begin a backup, whose process ends then."""
    with pytest.raises(Stopped):
        cloud.back_up(row, pace=Pace(progress=stop_within))


def stop_within(part: float) -> None:
    if part:
        raise Stopped


def test_a_second_backup_waits_for_the_first(cloud):
    full = cloud.made()
    cloud.scribble(8)
    first, second = cloud.new(full), cloud.new(full)
    half(cloud, first)
    waits = threading.Event()

    def report(_part: float) -> None:
        waits.set()

    other = threading.Thread(target=lambda: cloud.back_up(second, pace=Pace(progress=report)))
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
        cloud.back_up(second, pace=Pace(progress=cancel))

    assert not [name for name in cloud.snapshots() if second["id"] in name]
    cloud.back_up(first)
    assert cloud.restored(first) == cloud.data()


def test_an_attempt_that_was_replaced_neither_saves_nor_ends(cloud):
    client = MODULES.rados.Rados(conffile=str(cloud.conf))
    client.connect()
    pool = BackupPool(MODULES, client.open_ioctx("backups"), "backups")
    first, second = (WriteProgress(pool, "object", {"backup": "b"}) for _ in range(2))
    first.take(Pace())
    first.save(5)
    second.take(Pace())

    with pytest.raises(BackupDriverException, match="removed or replaced"):
        first.save(6)
    assert not first.end()
    assert second.offset == 5
    second.save(7)
    assert second.end()
    assert cloud.objects() == []


def test_all_attempts_at_a_backup_of_a_file_make_the_same_snapshot(cloud):
    full = cloud.made()
    volume = cloud.directory / "volume"
    volume.write_bytes(cloud.dice.randbytes(SIZE))
    row = cloud.new(full)
    row.update(cloud.driver().place(cloud.rows.record(row)) or {})
    with volume.open("rb") as file, pytest.raises(Stopped):
        cloud.driver().backup(cloud.rows.record(row), file, pace=Pace(progress=stop_within))
    [base] = cloud.images()
    moment = json.loads((cloud.backups.path / "objects" / f"holdfast.{base}.progress").read_bytes())

    with volume.open("rb") as file:
        cloud.driver().backup(cloud.rows.record(row), file)

    assert moment["moment"] == cloud.snapshots(base, "backups")[-1]
    assert cloud.restored(row) == volume.read_bytes()


def test_a_deletion_of_the_first_lets_the_second_begin(cloud):
    full = cloud.made()
    cloud.scribble(8)
    first = cloud.new(full)
    half(cloud, first)
    cloud.driver().delete_backup(cloud.rows.record(first))

    assert cloud.restored(cloud.made(full)) == cloud.data()


def test_one_that_does_not_move_is_not_taken_over(cloud, monkeypatch):
    monkeypatch.setattr(write_progress, "STALE", 0.0)
    full = cloud.made()
    cloud.scribble(8)
    first, second = cloud.new(full), cloud.new(full)
    refused: list[str] = []

    def report(part: float) -> None:
        if part and not refused:
            with pytest.raises(BackupDriverException) as caught:
                cloud.back_up(second)
            refused.append(str(caught.value))

    cloud.back_up(first, pace=Pace(progress=report))

    [text] = refused
    assert f"backup {first['id']} writes to the same image" in text
    assert "let its service resume it, or delete it" in text
    assert cloud.restored(first) == cloud.data()
    assert cloud.restored(cloud.made(full)) == cloud.data()


@pytest.mark.parametrize("row", ["gone", "error"])
def test_one_that_has_ended_elsewhere_is_taken_over(cloud, monkeypatch, row):
    """Cinder, which does not know the object, deleted the backup, or set its status."""
    monkeypatch.setattr(write_progress, "ABANDONED", 0.0)
    full = cloud.made()
    cloud.scribble(8)
    lost, driver = cloud.new(full), cloud.driver()
    half(cloud, lost)
    lost["status"] = row
    known: list[str] = []

    def is_being_made(backup_id: str) -> bool:
        known.append(backup_id)
        return lost["status"] == "creating"

    monkeypatch.setattr(driver.metadata, "is_being_made", is_being_made, raising=False)
    cloud.scribble()
    second = cloud.new(full)
    cloud.back_up(second, driver)

    assert set(known) == {lost["id"]}
    assert cloud.restored(second) == cloud.data()
    assert cloud.objects() == []


def test_one_whose_object_was_removed_notices_it(cloud):
    full = cloud.made()
    cloud.scribble(8)
    first = cloud.new(full)

    def report(part: float) -> None:
        if part:
            cloud.driver().delete_backup(cloud.rows.record(first))

    with pytest.raises(BackupDriverException, match="removed or replaced"):
        cloud.back_up(first, pace=Pace(progress=report))

    assert cloud.restored(cloud.made(full)) == cloud.data()


def test_a_set_back_shows_that_it_moves(cloud, monkeypatch):
    monkeypatch.setattr(Interval, "expired", lambda _self: True)
    full = cloud.made()
    cloud.write(0, cloud.dice.randbytes(SIZE))
    lost = cloud.made(full)
    cloud.driver().delete_backup(cloud.rows.record(lost))
    seen: list[bytes] = []

    def report(_part: float) -> None:
        found = cloud.backups.path / "objects" / f"holdfast.{cloud.images()[0]}.progress"
        if not json.loads(state := found.read_bytes())["ready"]:
            seen.append(state)

    row = cloud.new(full)
    cloud.back_up(row, pace=Pace(progress=report))

    assert len(set(seen)) > 3
    assert cloud.restored(row) == cloud.data()
