# SPDX-License-Identifier: Apache-2.0
"""The end of backups that another service left in a transient status."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.context import BackupContext
from flows.errors import ServiceUnreachable
from tests.unit.flows.world.orphans import Left
from worker.recovery.orphaned_backups import OrphanedBackups

HOST = "node"


class Past(Left):
    """Rows of a service that is no more, and the service that comes after it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.entries: list[Any] = []
        self.asked: list[str] = []
        self.silent = False

    def backup(self, status: str, **columns: Any) -> str:
        given = {"id": next(self._ids), "host": HOST, "volume_id": "v", "size": 1}
        given["project_id"] = "p"
        row = self.records.backups.create(**{**given, "status": status, **columns})
        return self._old("backups", row, "", -1)

    def settle(self, meanwhile: Callable[[], None] = lambda: None) -> int:
        """End orphaned backups; return how many were ended.

        :param meanwhile: called between the start and the look.
        """
        rows, service = self.records, SimpleNamespace(delete=self._delete)
        others: Any = None
        context = BackupContext(
            request=others,
            backend=others,
            messages=others,
            notifier=others,
            peers=others,
            attacher=others,
            workers=others,
            volumes=rows.volumes,
            snapshots=rows.snapshots,
            backups=rows.backups,
            volume_service=service,  # type: ignore[arg-type]
        )
        journal: Any = SimpleNamespace(entries=lambda limit: self.entries)
        stopping = threading.Event()
        one = OrphanedBackups(rows, journal, HOST, others, stopping, lambda: context, self._note)
        as_read = one.read()
        meanwhile()
        return one.settle(as_read)

    def status(self, kind: str, row_id: str) -> str:
        return str(getattr(self.records, f"{kind}s").get(row_id).status)

    def _delete(self, _request: Any, source: Record) -> None:
        if self.silent:
            raise ServiceUnreachable("no answer")
        self._note(source)

    def _note(self, resource: Record) -> None:
        self.asked.append(f"{resource.kind} {resource.id}")


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def marked(kind: str, volume: str) -> dict[str, Any]:
    """Return the columns with which a service marks a temporary object."""
    name = {"volume": "backup-vol", "snapshot": "backup-snap"}[kind]
    return {"display_name": f"{name}-{volume}", "use_quota": False}


def entry(backup: str, state: str) -> Any:
    return SimpleNamespace(resource=f"backup {backup}", state=state)


class TestCreating:
    def test_a_volume_gets_the_status_that_it_had(self, past: Past) -> None:
        volume = past.volume("backing-up", previous_status="in-use")
        backup = past.backup("creating", volume_id=volume)

        assert past.settle() == 1
        row = past.records.backups.get(backup)
        assert (row.status, "left no journal" in row.fail_reason) == ("error", True)
        assert past.status("volume", volume) == "in-use"

    def test_a_snapshot_is_available_and_its_volume_as_it_was(self, past: Past) -> None:
        volume = past.volume("in-use")
        snapshot = past.snapshot(volume, "backing-up")
        past.backup("creating", volume_id=volume, snapshot_id=snapshot)

        past.settle()
        assert past.status("snapshot", snapshot) == "available"
        assert past.status("volume", volume) == "in-use"


class TestRestoring:
    @pytest.mark.parametrize(
        ("status", "left"),
        [
            ("restoring-backup", "error_restoring"),
            ("creating", "error"),
            ("available", "available"),
            ("in-use", "in-use"),
            ("deleting", "deleting"),
        ],
    )
    def test_the_volume_and_the_backup(self, past: Past, status: str, left: str) -> None:
        volume, target = past.volume("available"), past.volume(status)
        backup = past.backup("restoring", volume_id=volume, restore_volume_id=target)

        past.settle()
        assert past.status("volume", target) == left
        assert past.status("backup", backup) == "available"

    def test_a_snapshot_that_was_left_backing_up_is_available(self, past: Past) -> None:
        volume = past.volume("available")
        snapshot = past.snapshot(volume, "backing-up")
        past.backup("restoring", volume_id=volume, snapshot_id=snapshot)

        past.settle()
        assert past.status("snapshot", snapshot) == "available"

    @pytest.mark.parametrize("status", ["available", "deleting", "error"])
    def test_one_with_another_status_is_left(self, past: Past, status: str) -> None:
        volume = past.volume("available")
        snapshot = past.snapshot(volume, status)
        past.backup("restoring", volume_id=volume, snapshot_id=snapshot)

        past.settle()
        assert past.status("snapshot", snapshot) == status

    def test_one_that_is_being_read_is_left(self, past: Past) -> None:
        volume = past.volume("available")
        snapshot = past.snapshot(volume, "backing-up")
        past.backup("restoring", volume_id=volume, snapshot_id=snapshot)
        past.backup("creating", volume_id=volume, snapshot_id=snapshot, host="elsewhere")

        past.settle()
        assert past.status("snapshot", snapshot) == "backing-up"


class TestFailed:
    @pytest.mark.parametrize("kind", ["volume", "snapshot"])
    @pytest.mark.parametrize("entries", [(), ("REVERTED",), ("SUCCESS", "FAILURE")], ids=str)
    def test_what_it_was_read_from_is_deleted(
        self, past: Past, kind: str, entries: tuple[str, ...]
    ) -> None:
        volume = past.volume("in-use")
        made = {"volume": lambda: past.volume("backing-up", **marked("volume", volume))}
        made["snapshot"] = lambda: past.snapshot(volume, "available", **marked("snapshot", volume))
        temporary = made[kind]()
        backup = past.backup("error", volume_id=volume, **{f"temp_{kind}_id": temporary})
        past.entries = [entry(backup, state) for state in entries]

        assert past.settle() == 1
        assert past.asked == [f"{kind} {temporary}"]
        assert past.status(kind, temporary) == "deleting"
        row = past.records.backups.get(backup)
        assert (row.status, row.temp_volume_id, row.temp_snapshot_id) == ("error", None, None)
        assert past.settle() == 0

    def test_what_is_gone_is_forgotten(self, past: Past) -> None:
        gone = past.volume("deleting")
        past.records.volumes.destroy(gone)
        backup = past.backup("error", temp_volume_id=gone, temp_snapshot_id=gone)

        past.settle()
        row = past.records.backups.get(backup)
        assert (row.temp_volume_id, row.temp_snapshot_id) == (None, None)
        assert past.asked == []

    def test_it_waits_for_the_next_start_where_nobody_can_be_told(self, past: Past) -> None:
        temporary = past.volume("backing-up", **marked("volume", "v"))
        backup = past.backup("error", temp_volume_id=temporary)
        past.silent = True

        past.settle()
        assert past.records.backups.get(backup).temp_volume_id == temporary

    @pytest.mark.parametrize("columns", [{}, {"host": "elsewhere"}])
    def test_others_are_left(self, past: Past, columns: dict[str, Any]) -> None:
        temporary = past.volume("backing-up")
        named = {"temp_volume_id": temporary} if columns else {}
        past.backup("error", **named, **columns)

        assert past.settle() == 0
        assert past.status("volume", temporary) == "backing-up"

    @pytest.mark.parametrize("state", ["RUNNING", "REVERTING", "SUSPENDED"])
    def test_one_whose_flow_goes_on_is_left(self, past: Past, state: str) -> None:
        temporary = past.volume("backing-up")
        backup = past.backup("error", temp_volume_id=temporary)
        past.entries = [entry(backup, state)]

        assert past.settle() == 0


class TestWhichRows:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            *(("creating", "RUNNING"), ("creating", "SUCCESS")),
            *(("restoring", "RUNNING"), ("deleting", "RUNNING")),
        ],
    )
    def test_those_that_the_journal_knows_are_left(
        self, past: Past, status: str, state: str
    ) -> None:
        backup = past.backup(status)
        past.entries = [entry(backup, state)]

        assert past.settle() == 0
        assert past.status("backup", backup) == status

    @pytest.mark.parametrize("status", ["restoring", "deleting"])
    def test_an_operation_that_has_ended_keeps_none(self, past: Past, status: str) -> None:
        """It has made the backup, or its volume has been deleted during the restore."""
        backup = past.backup(status)
        past.entries = [entry(backup, "SUCCESS")]

        assert past.settle() == 1

    def test_those_that_were_changed_since_are_left(self, past: Past) -> None:
        backup = past.backup("creating")

        assert past.settle(lambda: past.records.backups.update(backup, object_count=1)) == 0

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_the_clock_of_the_service_that_wrote_it_does_not_matter(
        self, past: Past, hours: int
    ) -> None:
        backup = past.backup("creating")
        written = timeutils.utcnow() + datetime.timedelta(hours=hours)
        past.records.backups.update(backup, updated_at=written)

        assert past.settle() == 1

    def test_a_deletion_is_asked_for_again(self, past: Past) -> None:
        backup = past.backup("deleting")

        assert past.settle() == 1
        assert past.asked == [f"backup {backup}"]


def test_operations_of_other_hosts_of_the_journal_are_left(past: Past) -> None:
    """A living host has its rows, and an adopter those that it has not written yet."""
    theirs = past.backup("restoring", host="living", restore_volume_id=past.volume("creating"))
    adopted = past.backup("deleting")
    past.entries = [entry(adopted, "RUNNING")]

    assert past.settle() == 0
    assert past.status("backup", theirs) == "restoring"
    assert past.asked == []
