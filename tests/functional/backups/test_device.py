# SPDX-License-Identifier: Apache-2.0
"""The source of a backup, and the removal of temporary ones (spec/backup-rpc §3)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from drivers.interface.records import Record
from tests.functional.backups.scripted_cloud import FAILURES, Plan, ScriptedCloud, failing
from tests.servers import until
from worker.db import models

BY_SNAPSHOT: Plan = {"backup_use_temp_snapshot": {"return": True}}
ELSEWHERE = {"driver_volume_type": "local", "data": {"device_path": "/nowhere"}}


def asked(scripted: ScriptedCloud, method: str, resource_id: str) -> bool:
    return resource_id in [call["id"] for call in scripted.script.calls(method)]


def temporary(scripted: ScriptedCloud, volume: Record) -> Any:
    """Return the one snapshot that was ever made for a backup of a volume."""
    which = models.snapshots.c.volume_id == volume.id
    named = models.snapshots.c.display_name == f"backup-snap-{volume.id}"
    [row] = scripted.database.rows(sa.select(models.snapshots).where(which, named))
    return row


def wait_gone(scripted: ScriptedCloud, volume: Record) -> None:
    """Wait until the temporary snapshot is gone, with its object on the backend."""
    made = temporary(scripted, volume)
    name = f"snapshot-{made.id}"
    until(lambda: temporary(scripted, volume).deleted, 60, "the snapshot's row to go")
    assert asked(scripted, "delete_snapshot", made.id)
    assert name not in scripted.script.objects()


class TestTemporarySnapshot:
    def test_a_volume_in_use_is_read_by_one_that_goes(self, scripted: ScriptedCloud) -> None:
        scripted.play(BY_SNAPSHOT)
        volume = scripted.existing("in-use")
        backup = scripted.made(volume)
        assert scripted.states(volume) == ("in-use", "backing-up")
        assert (backup.temp_volume_id, backup.temp_snapshot_id) == (None, None)

        made = temporary(scripted, volume)
        assert (made.use_quota, made.progress, made.volume_size) == (False, "100%", volume.size)
        assert (made.user_id, made.project_id) == (backup.user_id, backup.project_id)
        for method in (
            *("create_snapshot", "create_export_snapshot", "initialize_connection_snapshot"),
            *("terminate_connection_snapshot", "remove_export_snapshot"),
        ):
            assert asked(scripted, method, made.id)
        wait_gone(scripted, volume)
        assert not [
            c for c in scripted.script.calls("create_cloned_volume") if c["source"] == volume.id
        ]
        assert not asked(scripted, "initialize_connection", volume.id)
        read = [c for c in scripted.store_script.calls("backup") if c["id"] == backup.id]
        assert [call["data"] for call in read] == [str(b"what is in there")]

    def test_a_snapshot_is_read_itself_and_stays(self, scripted: ScriptedCloud) -> None:
        scripted.play(BY_SNAPSHOT)
        volume = scripted.existing()
        snapshot = scripted.existing_snapshot(volume, "backing-up")
        scripted.made(volume, snapshot_id=snapshot.id)
        assert asked(scripted, "initialize_connection_snapshot", snapshot.id)
        assert asked(scripted, "remove_export_snapshot", snapshot.id)
        assert (scripted.status(snapshot), scripted.states(volume)[0]) == ("available", "available")
        assert snapshot.name in scripted.script.objects()

    def test_a_volume_that_nobody_uses_is_read_itself(self, scripted: ScriptedCloud) -> None:
        scripted.play(BY_SNAPSHOT)
        volume = scripted.existing()
        scripted.made(volume)
        assert asked(scripted, "initialize_connection", volume.id)
        made = [call["volume"] for call in scripted.script.calls("create_snapshot")]
        assert volume.name not in made

    @pytest.mark.parametrize("plan", failing("create_snapshot"))
    def test_one_that_cannot_be_made(self, scripted: ScriptedCloud, plan: Plan) -> None:
        scripted.play({**BY_SNAPSHOT, **plan})
        volume = scripted.existing("in-use")
        row = scripted.wait_status(scripted.begin(volume), "error")
        assert row is not None and row.fail_reason and row.temp_snapshot_id is None
        assert scripted.states(volume) == ("in-use", "error_backing-up")
        assert scripted.told(row) == ["013_019"]
        wait_gone(scripted, volume)

    @pytest.mark.parametrize("plan", [*failing("backup"), *failing("place")])
    def test_it_goes_after_a_store_that_fails(self, scripted: ScriptedCloud, plan: Plan) -> None:
        scripted.play(BY_SNAPSHOT, plan)
        self.failed(scripted, "013_020")

    @pytest.mark.parametrize(
        ("plan", "detail"),
        [
            ({"create_export_snapshot": {"raise": "OSError"}}, "021"),
            ({"initialize_connection_snapshot": {"raise": "OSError"}}, "021"),
            ({"initialize_connection_snapshot": {"return": {}}}, "021"),
            ({"initialize_connection_snapshot": {"return": ELSEWHERE}}, "021"),
            ({"terminate_connection_snapshot": {"raise": "OSError"}}, "022"),
            ({"remove_export_snapshot": {"raise": "OSError"}}, "022"),
        ],
    )
    def test_it_goes_after_a_way_that_fails(
        self, scripted: ScriptedCloud, plan: Plan, detail: str
    ) -> None:
        scripted.play({**BY_SNAPSHOT, **plan})
        self.failed(scripted, f"013_{detail}")

    def test_it_goes_when_the_backup_is_deleted_meanwhile(self, scripted: ScriptedCloud) -> None:
        scripted.play(BY_SNAPSHOT, {"backup": {"seconds": 2}})
        volume = scripted.existing("in-use")
        backup = scripted.begin(volume)
        calls = scripted.store_script.calls
        until(lambda: backup.id in [c["id"] for c in calls("backup")], 60, "the copy to begin")
        scripted.records.backups.update(backup.id, status="deleting")
        scripted.cast_backup("delete_backup", backup=scripted.records.backups.get(backup.id))
        scripted.wait_status(backup, "gone")
        wait_gone(scripted, volume)
        until(lambda: scripted.states(volume)[0] == "in-use", 60, "the volume to be given back")

    def failed(self, scripted: ScriptedCloud, told: str) -> None:
        volume = scripted.existing("in-use")
        row = scripted.wait_status(scripted.begin(volume), "error")
        assert row is not None and row.fail_reason
        assert (row.temp_volume_id, row.temp_snapshot_id) == (None, None)
        assert scripted.states(volume) == ("in-use", "error_backing-up")
        assert scripted.told(row) == [told]
        wait_gone(scripted, volume)


class TestDriversOwn:
    """A driver may choose the source; the worker does not delete it then."""

    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_snapshot_of_its_choice(self, scripted: ScriptedCloud, before: str) -> None:
        volume = scripted.existing(before)
        chosen = scripted.existing_snapshot(volume)
        scripted.play({"get_backup_device": {"kind": "snapshot", "id": chosen.id}})
        backup = scripted.made(volume)
        assert asked(scripted, "initialize_connection_snapshot", chosen.id)
        assert scripted.states(volume) == (before, "backing-up")
        assert (backup.temp_volume_id, backup.temp_snapshot_id) == (None, None)
        assert scripted.status(chosen) == "available"
        assert chosen.name in scripted.script.objects()
        [call] = [c for c in scripted.script.calls("get_backup_device") if c["backup"] == backup.id]
        assert call["is_admin"] is True

    def test_a_volume_of_its_choice(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing("in-use")
        marked = {"display_name": f"backup-vol-{volume.id}", "use_quota": False}
        chosen = scripted.existing(**marked)
        scripted.play({"get_backup_device": {"kind": "volume", "id": chosen.id}})
        scripted.made(volume)
        assert asked(scripted, "initialize_connection", chosen.id)
        assert (scripted.status(chosen), scripted.status(volume)) == ("available", "in-use")

    def test_a_foreign_volume_is_not_read(self, scripted: ScriptedCloud) -> None:
        volume, foreign = scripted.existing("in-use"), scripted.existing()
        scripted.play({"get_backup_device": {"kind": "volume", "id": foreign.id}})
        row = scripted.wait_status(scripted.begin(volume), "error")
        assert row is not None and "neither its source nor was it made for it" in row.fail_reason
        assert not asked(scripted, "initialize_connection", foreign.id)

    @pytest.mark.parametrize(
        "plan",
        [
            *({"raise": name} for name in FAILURES),
            {"return": None},
            {"return": 7},
            {"return": ["volume", False]},
            {"kind": "group"},
            {"kind": "snapshot", "id": "11111111-2222-3333-4444-555555555555"},
        ],
        ids=str,
    )
    def test_a_choice_that_is_none(self, scripted: ScriptedCloud, plan: dict[str, Any]) -> None:
        scripted.play({"get_backup_device": plan})
        volume = scripted.existing("in-use")
        row = scripted.wait_status(scripted.begin(volume), "error")
        assert row is not None and row.fail_reason
        assert scripted.states(volume) == ("in-use", "error_backing-up")
        assert scripted.told(row) == ["013_019"]
