# SPDX-License-Identifier: Apache-2.0
"""Notifications of each operation on a backup, in order (spec/backup-rpc §8)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.backups.conftest import NOTIFYING, running
from tests.functional.backups.scripted_cloud import Plan, ScriptedCloud
from tests.notifications import Notifications
from tests.servers import Broker, until

KEYS = {
    *("tenant_id", "user_id", "availability_zone", "backup_id", "host", "display_name"),
    *("created_at", "status", "volume_id", "size", "service_metadata", "service"),
    *("fail_reason", "parent_id", "num_dependent_backups", "snapshot_id"),
}
PROGRESS = {"id", "list", "prefix", "volume_meta", "backup_percent"}

START, MORE, END = "create.start", "createprogress", "create.end"

Told = list[tuple[str, str]]


def told(notices: Notifications, backup: Record) -> Told:
    """Return the events of a backup, each with the status in it."""
    return [
        (notice["event_type"].removeprefix("backup."), notice["payload"]["status"])
        for notice in notices.about(backup.id)
        if notice["payload"].get("backup_id") == backup.id
    ]


def heard(scripted: ScriptedCloud, backup: Record) -> Told:
    """Return them when a later one has arrived."""
    later = scripted.backup(scripted.volume("available"), "deleting")
    scripted.cast_backup("delete_backup", backup=later)
    scripted.notices.payload(later.id, "backup.delete.end")
    return told(scripted.notices, backup)


class TestCreate:
    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_success(self, scripted: ScriptedCloud, before: str) -> None:
        volume = scripted.existing(before)
        backup = scripted.made(volume)
        wanted = [(START, "creating"), (MORE, "creating"), (END, "available")]
        assert heard(scripted, backup) == wanted

        begun = scripted.notices.payload(backup.id, "backup.create.start")
        assert begun.keys() == KEYS
        progress = scripted.notices.payload(backup.id, "backup.createprogress")
        assert progress.keys() == KEYS | {"backup_percent"}  # the driver shows nothing
        assert progress["backup_percent"] == 100
        end = scripted.notices.payload(backup.id, "backup.create.end")
        assert end.keys() == KEYS
        assert (end["tenant_id"], end["user_id"]) == (backup.project_id, backup.user_id)
        assert (end["volume_id"], end["size"], end["host"]) == (volume.id, 1, backup.host)
        assert (end["service"], end["service_metadata"]) == (backup.service, "p")

    @pytest.mark.parametrize(
        ("volume", "store"),
        [
            ({"create_cloned_volume": {"raise": "OSError"}}, {}),
            ({"initialize_connection": {"raise": "OSError"}}, {}),
            ({}, {"place": {"raise": "OSError"}}),
            ({}, {"backup": {"raise": "BackupDriverException"}}),
        ],
        ids=str,
    )
    def test_a_failure_has_a_start_only(
        self, scripted: ScriptedCloud, volume: Plan, store: Plan
    ) -> None:
        scripted.play(volume, store)
        backup = scripted.begin(scripted.existing("in-use"))
        scripted.wait_status(backup, "error")
        assert heard(scripted, backup) == [(START, "creating")]

    def test_a_failure_after_the_copy_has_no_end(self, scripted: ScriptedCloud) -> None:
        scripted.play({"terminate_connection": {"raise": "OSError"}})
        backup = scripted.begin(scripted.existing())
        scripted.wait_status(backup, "error")
        assert heard(scripted, backup) == [(START, "creating"), (MORE, "creating")]

    def test_a_volume_that_is_not_backing_up(self, scripted: ScriptedCloud) -> None:
        backup = scripted.backup(scripted.existing("error"))
        scripted.cast_backup("create_backup", backup=backup)
        scripted.wait_status(backup, "error")
        assert heard(scripted, backup) == [(START, "creating")]


class TestRestore:
    def begin(
        self, scripted: ScriptedCloud, status: str = "restoring-backup"
    ) -> tuple[Record, Record]:
        backup, target = scripted.made(scripted.existing()), scripted.existing(status)
        scripted.records.backups.update(backup.id, status="restoring")
        backup = scripted.records.backups.get(backup.id)
        scripted.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        return backup, target

    def test_a_success(self, scripted: ScriptedCloud) -> None:
        backup, target = self.begin(scripted)
        scripted.wait_status(target, "available")
        scripted.wait_status(backup, "available")
        end = scripted.notices.payload(backup.id, "backup.restore.end")
        wanted = [("restore.start", "restoring"), ("restore.end", "available")]
        assert heard(scripted, backup)[3:] == wanted
        assert end.keys() == KEYS
        assert scripted.notices.payload(backup.id, "backup.restore.start").keys() == KEYS

    @pytest.mark.parametrize(
        ("volume", "store"),
        [
            ({"secure_file_operations_enabled": {"raise": "OSError"}}, {}),
            ({"initialize_connection": {"raise": "OSError"}}, {}),
            ({"terminate_connection": {"raise": "OSError"}}, {}),
            ({}, {"restore": {"raise": "BackupDriverException"}}),
        ],
        ids=str,
    )
    def test_a_failure_has_a_start_only(
        self, scripted: ScriptedCloud, volume: Plan, store: Plan
    ) -> None:
        backup, target = scripted.made(scripted.existing()), scripted.existing()
        scripted.play(volume, store)
        scripted.restore(backup, target)
        scripted.wait_status(backup, "available")
        assert heard(scripted, backup)[3:] == [("restore.start", "restoring")]

    def test_a_volume_in_another_status(self, scripted: ScriptedCloud) -> None:
        backup, target = self.begin(scripted, "available")
        scripted.wait_status(target, "error_restoring")
        scripted.wait_status(backup, "available")
        assert heard(scripted, backup)[3:] == [("restore.start", "restoring")]


class TestDelete:
    def begin(self, scripted: ScriptedCloud, status: str = "deleting", **columns: Any) -> Record:
        backup = scripted.made(scripted.existing())
        scripted.records.backups.update(backup.id, status=status, **columns)
        backup = scripted.records.backups.get(backup.id)
        scripted.cast_backup("delete_backup", backup=backup)
        return backup

    def test_a_success(self, scripted: ScriptedCloud) -> None:
        backup = self.begin(scripted)
        scripted.wait_status(backup, "gone")
        end = scripted.notices.payload(backup.id, "backup.delete.end")
        wanted = [("delete.start", "deleting"), ("delete.end", "deleted")]
        assert heard(scripted, backup)[3:] == wanted
        assert end.keys() == KEYS
        assert scripted.notices.payload(backup.id, "backup.delete.start").keys() == KEYS

    def test_a_store_that_fails(self, scripted: ScriptedCloud) -> None:
        scripted.play(store={"delete_backup": {"raise": "OSError"}})
        backup = self.begin(scripted)
        scripted.wait_status(backup, "error")
        assert heard(scripted, backup)[3:] == [("delete.start", "deleting")]

    @pytest.mark.parametrize(
        ("status", "service"), [("available", None), ("deleting", "elsewhere")]
    )
    def test_one_that_is_refused(
        self, scripted: ScriptedCloud, status: str, service: str | None
    ) -> None:
        columns = {"service": service} if service else {}
        backup = self.begin(scripted, status, **columns)
        scripted.wait_status(backup, "error")
        assert heard(scripted, backup)[3:] == [("delete.start", status)]


class TestTheRest:
    @pytest.mark.parametrize("status", ["available", "error"])
    def test_a_reset(self, scripted: ScriptedCloud, status: str) -> None:
        backup = scripted.made(scripted.existing())
        scripted.records.backups.update(backup.id, status="restoring")
        scripted.cast_backup("reset_status", backup=backup, status=status)
        payload = scripted.notices.payload(backup.id, "backup.reset_status.end")
        assert payload.keys() == KEYS
        assert told(scripted.notices, backup)[3:] == [("reset_status.end", status)]

    def test_records_are_not_told_of(self, scripted: ScriptedCloud) -> None:
        backup = scripted.made(scripted.existing())
        record = scripted.call_backup("export_record", backup=backup)
        scripted.records.backups.update(backup.id, status="creating")
        scripted.cast_backup("import_record", backup=backup, backup_hosts=[], **record)
        scripted.wait_status(backup, "available")
        assert heard(scripted, backup)[3:] == []


@contextlib.contextmanager
def slow(broker: Broker, directory: Path) -> Iterator[tuple[BackupCloud, Notifications]]:
    """A store whose backups take some seconds, and notify every second."""
    options = {"backup_bandwidth_limit": 1, "backup_file_size": 32768 * 32, "backup_transfers": 1}
    options["backup_timer_interval"] = 1
    with running(broker, directory, sections=NOTIFYING, **options) as cloud:
        notices = Notifications(cloud.bus)
        yield cloud, notices
        notices.close()


def test_progress_tells_of_the_objects_and_a_cancelled_restore_has_an_end(
    broker: Broker, tmp_path: Path
) -> None:
    with slow(broker, tmp_path) as (cloud, notices):
        backup = cloud.made(cloud.filled(50))
        notices.payload(backup.id, "backup.create.end")
        events = told(notices, backup)
        assert events[0] == (START, "creating")
        assert events[-1] == (END, "available")
        assert len(events) > 3 and set(events[1:-1]) == {(MORE, "creating")}

        every = [n["payload"] for n in notices.about(backup.id)][1:-1]
        assert all(payload.keys() == KEYS | PROGRESS for payload in every)
        percents = [payload["backup_percent"] for payload in every]
        assert percents == sorted(percents) and percents[0] == 0 and percents[-1] == 100
        counts = [len(payload["list"]) for payload in every]
        assert counts == sorted(counts) and counts[-1] == backup.object_count
        last = every[-1]
        assert (last["prefix"], last["volume_meta"]) == (backup.service_metadata, None)
        [[(name, facts)]] = [one.items() for one in last["list"][:1]]
        assert name.startswith(f"{backup.service_metadata}-")
        assert facts.keys() >= {"offset", "length", "compression", "md5"}
        numbers = [int(key.rpartition("-")[2]) for one in last["list"] for key in one]
        assert last["id"] > max(numbers)

        target = cloud.existing()
        cloud.restore(backup, target)
        until(lambda: cloud.path(target).stat().st_blocks, 60, "the first object to be restored")
        cloud.records.backups.update(backup.id, status="error")
        cloud.wait_status(target, "error")
        notices.payload(backup.id, "backup.restore.end")
        assert [event for event, _status in told(notices, backup)][-2:] == [
            "restore.start",
            "restore.end",
        ]
