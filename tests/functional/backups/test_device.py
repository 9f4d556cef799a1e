# SPDX-License-Identifier: Apache-2.0
"""The source of a backup, and the removal of temporary ones (spec/backup-rpc §3)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from drivers.interface.records import Record
from tests.functional.backups.stage import FAILURES, Plan, Stage, failing
from tests.servers import until
from worker.db import models

BY_SNAPSHOT: Plan = {"backup_use_temp_snapshot": {"return": True}}
ELSEWHERE = {"driver_volume_type": "local", "data": {"device_path": "/nowhere"}}


def asked(stage: Stage, method: str, resource_id: str) -> bool:
    return resource_id in [call["id"] for call in stage.script.calls(method)]


def temporary(stage: Stage, volume: Record) -> Any:
    """Return the one snapshot that was ever made for a backup of a volume."""
    which = models.snapshots.c.volume_id == volume.id
    named = models.snapshots.c.display_name == f"backup-snap-{volume.id}"
    [row] = stage.database.rows(sa.select(models.snapshots).where(which, named))
    return row


def wait_gone(stage: Stage, volume: Record) -> None:
    """Wait until the temporary snapshot is gone, with its object on the backend."""
    made = temporary(stage, volume)
    name = f"snapshot-{made.id}"
    until(lambda: temporary(stage, volume).deleted, 60, "the snapshot's row to go")
    assert asked(stage, "delete_snapshot", made.id)
    assert name not in stage.script.objects()


class TestTemporarySnapshot:
    def test_a_volume_in_use_is_read_by_one_that_goes(self, stage: Stage) -> None:
        stage.play(BY_SNAPSHOT)
        volume = stage.existing("in-use")
        backup = stage.made(volume)
        assert stage.states(volume) == ("in-use", "backing-up")
        assert (backup.temp_volume_id, backup.temp_snapshot_id) == (None, None)

        made = temporary(stage, volume)
        assert (made.use_quota, made.progress, made.volume_size) == (False, "100%", volume.size)
        assert (made.user_id, made.project_id) == (backup.user_id, backup.project_id)
        for method in (
            *("create_snapshot", "create_export_snapshot", "initialize_connection_snapshot"),
            *("terminate_connection_snapshot", "remove_export_snapshot"),
        ):
            assert asked(stage, method, made.id)
        wait_gone(stage, volume)
        assert not [
            c for c in stage.script.calls("create_cloned_volume") if c["source"] == volume.id
        ]
        assert not asked(stage, "initialize_connection", volume.id)
        read = [c for c in stage.store_script.calls("backup") if c["id"] == backup.id]
        assert [call["data"] for call in read] == [str(b"what is in there")]

    def test_a_snapshot_is_read_itself_and_stays(self, stage: Stage) -> None:
        stage.play(BY_SNAPSHOT)
        volume = stage.existing()
        snapshot = stage.existing_snapshot(volume, "backing-up")
        stage.made(volume, snapshot_id=snapshot.id)
        assert asked(stage, "initialize_connection_snapshot", snapshot.id)
        assert asked(stage, "remove_export_snapshot", snapshot.id)
        assert (stage.status(snapshot), stage.states(volume)[0]) == ("available", "available")
        assert snapshot.name in stage.script.objects()

    def test_a_volume_that_nobody_uses_is_read_itself(self, stage: Stage) -> None:
        stage.play(BY_SNAPSHOT)
        volume = stage.existing()
        stage.made(volume)
        assert asked(stage, "initialize_connection", volume.id)
        made = [call["volume"] for call in stage.script.calls("create_snapshot")]
        assert volume.name not in made

    @pytest.mark.parametrize("plan", failing("create_snapshot"))
    def test_one_that_cannot_be_made(self, stage: Stage, plan: Plan) -> None:
        stage.play({**BY_SNAPSHOT, **plan})
        volume = stage.existing("in-use")
        row = stage.wait_status(stage.begin(volume), "error")
        assert row is not None and row.fail_reason and row.temp_snapshot_id is None
        assert stage.states(volume) == ("in-use", "error_backing-up")
        assert stage.told(row) == ["013_019"]
        wait_gone(stage, volume)

    @pytest.mark.parametrize("plan", [*failing("backup"), *failing("place")])
    def test_it_goes_after_a_store_that_fails(self, stage: Stage, plan: Plan) -> None:
        stage.play(BY_SNAPSHOT, plan)
        self.failed(stage, "013_020")

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
    def test_it_goes_after_a_way_that_fails(self, stage: Stage, plan: Plan, detail: str) -> None:
        stage.play({**BY_SNAPSHOT, **plan})
        self.failed(stage, f"013_{detail}")

    def test_it_goes_when_the_backup_is_deleted_meanwhile(self, stage: Stage) -> None:
        stage.play(BY_SNAPSHOT, {"backup": {"seconds": 2}})
        volume = stage.existing("in-use")
        backup = stage.begin(volume)
        calls = stage.store_script.calls
        until(lambda: backup.id in [c["id"] for c in calls("backup")], 60, "the copy to begin")
        stage.records.backups.update(backup.id, status="deleting")
        stage.cast_backup("delete_backup", backup=stage.records.backups.get(backup.id))
        stage.wait_status(backup, "gone")
        wait_gone(stage, volume)
        until(lambda: stage.states(volume)[0] == "in-use", 60, "the volume to be given back")

    def failed(self, stage: Stage, told: str) -> None:
        volume = stage.existing("in-use")
        row = stage.wait_status(stage.begin(volume), "error")
        assert row is not None and row.fail_reason
        assert (row.temp_volume_id, row.temp_snapshot_id) == (None, None)
        assert stage.states(volume) == ("in-use", "error_backing-up")
        assert stage.told(row) == [told]
        wait_gone(stage, volume)


class TestDriversOwn:
    """A driver may choose the source; the worker does not delete it then."""

    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_snapshot_of_its_choice(self, stage: Stage, before: str) -> None:
        volume = stage.existing(before)
        chosen = stage.existing_snapshot(volume)
        stage.play({"get_backup_device": {"kind": "snapshot", "id": chosen.id}})
        backup = stage.made(volume)
        assert asked(stage, "initialize_connection_snapshot", chosen.id)
        assert stage.states(volume) == (before, "backing-up")
        assert (backup.temp_volume_id, backup.temp_snapshot_id) == (None, None)
        assert stage.status(chosen) == "available"
        assert chosen.name in stage.script.objects()
        [call] = [c for c in stage.script.calls("get_backup_device") if c["backup"] == backup.id]
        assert call["is_admin"] is True

    def test_a_volume_of_its_choice(self, stage: Stage) -> None:
        volume, chosen = stage.existing("in-use"), stage.existing()
        stage.play({"get_backup_device": {"kind": "volume", "id": chosen.id}})
        stage.made(volume)
        assert asked(stage, "initialize_connection", chosen.id)
        assert (stage.status(chosen), stage.status(volume)) == ("available", "in-use")

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
    def test_a_choice_that_is_none(self, stage: Stage, plan: dict[str, Any]) -> None:
        stage.play({"get_backup_device": plan})
        volume = stage.existing("in-use")
        row = stage.wait_status(stage.begin(volume), "error")
        assert row is not None and row.fail_reason
        assert stage.states(volume) == ("in-use", "error_backing-up")
        assert stage.told(row) == ["013_019"]
