# SPDX-License-Identifier: Apache-2.0
"""In which statuses each operation ends, for every way of failing (spec/backup-rpc)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.backups.stage import DRIVER, FAILURES, Plan, Stage, failing
from tests.functional.cloud import NODE
from tests.servers import until


class TestCreate:
    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_success(self, stage: Stage, before: str) -> None:
        volume = stage.existing(before)
        backup = stage.made(volume)
        assert stage.states(volume) == (before, "backing-up")
        assert (backup.service, backup.object_count, backup.container) == (DRIVER, 1, "c")
        assert (backup.temp_volume_id, backup.temp_snapshot_id) == (None, None)
        cloned = before == "in-use"
        asked = stage.script.calls("create_cloned_volume")
        clones = [call["id"] for call in asked if call["source"] == volume.id]
        assert len(clones) == cloned
        gone = lambda: [call["id"] for call in stage.script.calls("delete_volume")]  # noqa: E731
        until(lambda: set(clones) <= set(gone()), 60, "the clone to go")

    def test_a_success_of_a_snapshot(self, stage: Stage) -> None:
        volume = stage.existing()
        snapshot = stage.existing_snapshot(volume, "backing-up")
        stage.made(volume, snapshot_id=snapshot.id)
        assert stage.status(snapshot) == "available"
        assert stage.states(volume) == ("available", None)

    def test_it_counts_with_its_parent(self, stage: Stage) -> None:
        volume = stage.existing()
        parent = stage.made(volume)
        backup = stage.made(volume, parent_id=parent.id)
        assert stage.records.backups.get(parent.id).num_dependent_backups == 1
        assert stage.told(backup) == []

    def test_a_driver_may_make_it_a_full_one(self, stage: Stage) -> None:
        volume = stage.existing()
        parent = stage.made(volume)
        stage.play(store={"backup": {"return": {"parent_id": None}}})
        backup = stage.made(volume, parent_id=parent.id)
        assert backup.parent_id is None
        assert stage.records.backups.get(parent.id).num_dependent_backups == 0
        assert stage.told(backup) == ["013_030"]
        [message] = [m for m in stage.records.messages.list() if m.resource_uuid == backup.id]
        assert message.message_level == "WARNING"

    @pytest.mark.parametrize("status", ["available", "deleting", "error"])
    def test_a_volume_that_is_not_backing_up_is_not_touched(
        self, stage: Stage, status: str
    ) -> None:
        volume = stage.existing(status, previous_status="in-use")
        backup = stage.backup(volume)
        stage.cast_backup("create_backup", backup=backup)
        row = stage.wait_status(backup, "error")
        assert row is not None and f"is {status}, not backing-up" in row.fail_reason
        assert stage.states(volume) == (status, "in-use")
        assert stage.told(backup) == []

    def test_a_snapshot_that_is_not_backing_up_is_not_touched(self, stage: Stage) -> None:
        volume = stage.existing()
        snapshot = stage.existing_snapshot(volume, "deleting")
        backup = stage.backup(volume, snapshot_id=snapshot.id)
        stage.cast_backup("create_backup", backup=backup)
        stage.wait_status(backup, "error")
        assert stage.status(snapshot) == "deleting"

    def test_a_volume_without_a_row(self, stage: Stage) -> None:
        volume = stage.existing("backing-up")
        backup = stage.backup(volume)
        stage.records.volumes.destroy(volume.id)
        stage.cast_backup("create_backup", backup=backup)
        row = stage.wait_status(backup, "error")
        assert row is not None and volume.id in row.fail_reason

    def test_a_backup_that_is_not_creating(self, stage: Stage) -> None:
        volume = stage.existing("backing-up", previous_status="in-use")
        backup = stage.backup(volume, status="available")
        stage.cast_backup("create_backup", backup=backup)
        stage.wait_status(backup, "error")
        assert stage.states(volume) == ("in-use", "error_backing-up")
        assert stage.told(backup) == ["013_017"]

    def test_an_encrypted_volume(self, stage: Stage) -> None:
        volume = stage.existing(encryption_key_id=str(uuid.uuid4()))
        backup = stage.begin(volume)
        row = stage.wait_status(backup, "error")
        assert row is not None and "is encrypted" in row.fail_reason
        assert stage.states(volume) == ("available", "error_backing-up")

    @pytest.mark.parametrize("plan", failing("create_cloned_volume"))
    def test_a_clone_that_fails(self, stage: Stage, plan: Plan) -> None:
        stage.play(volume=plan)
        volume = stage.existing("in-use")
        backup = stage.begin(volume)
        row = stage.wait_status(backup, "error")
        assert row is not None and row.temp_volume_id is None
        assert stage.states(volume) == ("in-use", "error_backing-up")
        assert stage.told(backup) == ["013_019"]
        assert not [v for v in stage.records.volumes.list() if not v.use_quota]

    @pytest.mark.parametrize("plan", failing("create_volume_from_snapshot"))
    def test_a_volume_of_a_snapshot_that_fails(self, stage: Stage, plan: Plan) -> None:
        stage.play(volume=plan)
        volume = stage.existing()
        snapshot = stage.existing_snapshot(volume, "backing-up")
        backup = stage.begin(volume, snapshot_id=snapshot.id)
        stage.wait_status(backup, "error")
        assert stage.status(snapshot) == "available"
        assert stage.told(backup) == ["013_019"]

    @pytest.mark.parametrize(
        ("plan", "detail"),
        [
            ({"create_export": {"raise": "OSError"}}, "021"),
            ({"initialize_connection": {"raise": "OSError"}}, "021"),
            ({"initialize_connection": {"return": {"driver_volume_type": "local"}}}, "021"),
            (
                {
                    "initialize_connection": {
                        "return": {
                            "driver_volume_type": "local",
                            "data": {"device_path": "/nowhere"},
                        }
                    }
                },
                "021",
            ),
            ({"terminate_connection": {"raise": "OSError"}}, "022"),
            ({"remove_export": {"raise": "OSError"}}, "022"),
        ],
    )
    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_way_to_the_volume_that_fails(
        self, stage: Stage, plan: Plan, detail: str, before: str
    ) -> None:
        stage.play(volume=plan)
        volume = stage.existing(before)
        backup = stage.begin(volume)
        stage.wait_status(backup, "error")
        assert stage.states(volume) == (before, "error_backing-up")
        assert stage.told(backup) == [f"013_{detail}"]
        stage.play()
        if "remove_export" not in plan:  # with which the clone could not be deleted either
            until(
                lambda: not [v for v in stage.records.volumes.list() if not v.use_quota],
                10,
                "the clone to go",
            )

    @pytest.mark.parametrize(
        "plan",
        [
            *failing("backup"),
            *failing("place"),
            pytest.param({"backup": {"return": 7}}, id="no-dict"),
            pytest.param({"backup": {"return": {"id": "other"}}}, id="another-id"),
            pytest.param({"backup": {"return": {"size": 9}}}, id="not-its-column"),
        ],
    )
    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_store_that_fails(self, stage: Stage, plan: Plan, before: str) -> None:
        stage.play(store=plan)
        volume = stage.existing(before)
        backup = stage.begin(volume)
        row = stage.wait_status(backup, "error")
        assert row is not None and row.fail_reason
        assert stage.states(volume) == (before, "error_backing-up")
        assert stage.told(backup) == ["013_020"]

    def test_a_long_reason_is_cut(self, stage: Stage) -> None:
        stage.play(store={"backup": {"raise": "OSError", "text": "ä" * 2000}})
        row = stage.wait_status(stage.begin(stage.existing()), "error")
        assert row is not None and len(row.fail_reason) == 255

    def test_a_second_message_makes_no_second_backup(self, stage: Stage) -> None:
        volume = stage.existing()
        backup = stage.made(volume)
        device = {"versioned_object.data": {"volume": {"id": volume.id}, "secure_enabled": False}}
        device |= {"versioned_object.name": "BackupDeviceInfo", "versioned_object.version": "1.0"}
        device |= {"versioned_object.namespace": "cinder"}
        stage.cast_backup("continue_backup", backup=backup, backup_device=device)
        stage.backup_service.wait_for_log("it was made already")
        assert stage.status(backup) == "available"


class TestRestore:
    def ready(self, stage: Stage) -> tuple[Record, Record]:
        return stage.made(stage.existing()), stage.existing()

    def test_a_success(self, stage: Stage) -> None:
        backup, target = self.ready(stage)
        stage.restore(backup, target)
        stage.wait_status(target, "available")
        stage.wait_status(backup, "available")
        assert stage.device.read_bytes().startswith(b"restored")

    @pytest.mark.parametrize(
        ("status", "left"),
        [
            ("available", "error_restoring"),
            ("in-use", "error_restoring"),
            ("deleting", "deleting"),
        ],
    )
    def test_a_volume_in_another_status(self, stage: Stage, status: str, left: str) -> None:
        backup, target = self.ready(stage)
        stage.records.volumes.update(target.id, status=status)
        stage.records.backups.update(backup.id, status="restoring")
        stage.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        stage.wait_status(backup, "available")
        assert stage.status(target) == left
        assert stage.told(target) == ["015_027"]

    def test_a_volume_that_is_too_small(self, stage: Stage) -> None:
        backup, target = self.ready(stage)
        stage.records.backups.update(backup.id, size=2)
        stage.restore(backup, target)
        stage.wait_status(target, "error_restoring")
        stage.wait_status(backup, "available")

    def test_a_volume_without_a_row(self, stage: Stage) -> None:
        backup, target = self.ready(stage)
        stage.records.volumes.destroy(target.id)
        stage.records.backups.update(backup.id, status="restoring")
        stage.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        stage.wait_status(backup, "available")

    @pytest.mark.parametrize("status", ["available", "error"])
    def test_a_backup_in_another_status(self, stage: Stage, status: str) -> None:
        backup, target = self.ready(stage)
        stage.records.volumes.update(target.id, status="restoring-backup")
        stage.records.backups.update(backup.id, status=status)
        stage.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        stage.wait_status(target, "error")
        stage.wait_status(backup, "error")
        assert stage.told(backup) == ["015_017"]

    def test_a_backup_of_another_store(self, stage: Stage) -> None:
        backup, target = self.ready(stage)
        stage.records.backups.update(backup.id, service="cinder.backup.drivers.swift")
        stage.restore(backup, target)
        stage.wait_status(target, "error")
        row = stage.wait_status(backup, "available")
        assert row is not None

    @pytest.mark.parametrize(
        ("volume", "store", "detail"),
        [
            *[({}, {"restore": {"raise": name}}, "026") for name in FAILURES],
            ({}, {"restore": {"raise": "BackupDamaged"}}, "026"),
            ({"initialize_connection": {"raise": "OSError"}}, {}, "021"),
            ({"terminate_connection": {"raise": "OSError"}}, {}, "022"),
            ({"secure_file_operations_enabled": {"raise": "OSError"}}, {}, "021"),
        ],
    )
    @pytest.mark.parametrize("status", ["restoring-backup", "creating"])
    def test_what_fails(
        self, stage: Stage, volume: Plan, store: Plan, detail: str, status: str
    ) -> None:
        backup, target = self.ready(stage)
        stage.play(volume, store)
        stage.records.backups.update(backup.id, status="restoring")
        stage.records.volumes.update(target.id, status=status)
        stage.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        stage.wait_status(target, "error" if status == "creating" else "error_restoring")
        stage.wait_status(backup, "available")
        assert stage.told(backup) == [f"015_{detail}"]


class TestDelete:
    def test_a_success(self, stage: Stage) -> None:
        parent = stage.made(stage.existing())
        backup = stage.made(stage.existing(), parent_id=parent.id)
        stage.records.backups.update(backup.id, status="deleting")
        stage.cast_backup("delete_backup", backup=backup)
        stage.wait_status(backup, "gone")
        assert stage.records.backups.get(parent.id).num_dependent_backups == 0
        assert backup.id not in stage.store_script.objects()

    def test_a_row_that_no_service_took(self, stage: Stage) -> None:
        backup = stage.backup(stage.existing(), "deleting")
        stage.cast_backup("delete_backup", backup=backup)
        stage.wait_status(backup, "gone")
        asked = stage.store_script.calls("delete_backup")
        assert backup.id not in [call["id"] for call in asked]

    @pytest.mark.parametrize("status", ["available", "error_deleting"])
    def test_another_status(self, stage: Stage, status: str) -> None:
        backup = stage.made(stage.existing())
        stage.records.backups.update(backup.id, status=status)
        stage.cast_backup("delete_backup", backup=backup)
        stage.wait_status(backup, "error")
        assert stage.told(backup) == ["014_017"]

    @pytest.mark.parametrize("plan", failing("delete_backup"))
    def test_a_store_that_fails(self, stage: Stage, plan: Plan) -> None:
        backup = stage.made(stage.existing())
        stage.play(store=plan)
        stage.records.backups.update(backup.id, status="deleting")
        stage.cast_backup("delete_backup", backup=backup)
        row = stage.wait_status(backup, "error")
        assert row is not None and row.fail_reason
        assert stage.told(backup) == ["014_025"]

    def test_a_backup_of_another_store(self, stage: Stage) -> None:
        backup = stage.made(stage.existing())
        stage.records.backups.update(backup.id, status="deleting", service="elsewhere")
        stage.cast_backup("delete_backup", backup=backup)
        row = stage.wait_status(backup, "error")
        assert row is not None and "was kept by elsewhere" in row.fail_reason


class TestTheRest:
    def test_a_record_has_what_the_driver_needs(self, stage: Stage) -> None:
        backup = stage.made(stage.existing())
        told = stage.call_backup("export_record", backup=backup)
        stage.records.backups.update(backup.id, status="creating", container=None)
        stage.cast_backup("import_record", backup=backup, backup_hosts=[], **told)
        row = stage.wait_status(backup, "available")
        assert row is not None and row.container == "c"
        [call] = stage.store_script.calls("import_record")
        assert call["info"] == {"place": "there"}

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"backup_url": "no base64"}, "cannot be read"),
            ({"backup_url": "W10="}, "is no JSON object"),
            ({"backup_url": "e30="}, "lacks display_name"),
            ({"backup_service": "elsewhere"}, "no backup service has the store"),
        ],
    )
    def test_a_record_that_cannot_be_taken(
        self, stage: Stage, change: dict[str, Any], match: str
    ) -> None:
        backup = stage.made(stage.existing())
        told = {**stage.call_backup("export_record", backup=backup), **change}
        stage.records.backups.update(backup.id, status="creating")
        stage.cast_backup("import_record", backup=backup, backup_hosts=[], **told)
        row = stage.wait_status(backup, "error")
        assert row is not None and match in row.fail_reason

    def test_a_record_that_nobody_can_take(self, stage: Stage) -> None:
        backup = stage.backup(stage.existing())
        told = {"backup_service": "elsewhere", "backup_url": "e30=", "backup_hosts": [NODE]}
        stage.cast_backup("import_record", backup=backup, **told)
        stage.wait_status(backup, "error")
        assert "ServiceNotFound" in stage.failure_of(backup)

    def test_a_record_of_another_backup(self, stage: Stage) -> None:
        one, other = stage.made(stage.existing()), stage.made(stage.existing())
        told = stage.call_backup("export_record", backup=one)
        stage.records.backups.update(other.id, status="creating")
        stage.cast_backup("import_record", backup=other, backup_hosts=[], **told)
        row = stage.wait_status(other, "error")
        assert row is not None and "is that of backup" in row.fail_reason

    def test_only_what_is_available_is_exported(self, stage: Stage) -> None:
        backup = stage.backup(stage.existing(), "error")
        with pytest.raises(Exception, match="is error, not available"):
            stage.call_backup("export_record", backup=backup)

    @pytest.mark.parametrize("status", ["available", "error"])
    def test_a_status_is_reset(self, stage: Stage, status: str) -> None:
        backup = stage.made(stage.existing())
        stage.records.backups.update(backup.id, status="restoring")
        stage.cast_backup("reset_status", backup=backup, status=status)
        stage.wait_status(backup, status)

    def test_a_reset_to_error_removes_what_was_temporary(self, stage: Stage) -> None:
        volume = stage.existing()
        temporary = stage.existing("backing-up", use_quota=False)
        backup = stage.made(volume)
        stage.records.backups.update(backup.id, temp_volume_id=temporary.id)
        stage.cast_backup("reset_status", backup=backup, status="error")
        stage.wait_status(backup, "error")
        stage.wait_status(temporary, "gone")

    def test_force_deletion_and_log_levels(self, stage: Stage) -> None:
        assert stage.call_backup("check_support_to_force_delete") is True
        asked = {"versioned_object.name": "LogLevel", "versioned_object.namespace": "cinder"}
        asked |= {"versioned_object.version": "1.0"}
        wanted = {**asked, "versioned_object.data": {"prefix": "worker.locks", "level": "ERROR"}}
        stage.cast_backup("set_log_levels", "2.1", log_request=wanted)

        def level() -> bool:
            data = {"prefix": "worker.locks", "level": None}
            found = stage.call_backup(
                "get_log_levels", "2.1", log_request={**asked, "versioned_object.data": data}
            )
            levels = [
                one["versioned_object.data"] for one in found["versioned_object.data"]["objects"]
            ]
            return {"prefix": "worker.locks", "level": "ERROR"} in levels

        until(level, 60, "the level to be set")


class TestDevice:
    def test_a_call_is_answered(self, stage: Stage) -> None:
        volume = stage.existing("backing-up", previous_status="available")
        backup = stage.backup(volume)
        plain = stage.call("get_backup_device", "3.2", backup=backup)
        assert (plain["is_snapshot"], plain["secure_enabled"]) == (False, True)
        asked = {"backup": backup, "want_objects": True, "async_call": False}
        found = stage.call("get_backup_device", "3.17", **asked)
        assert found["versioned_object.name"] == "BackupDeviceInfo"
        assert found["versioned_object.data"]["volume"]["versioned_object.data"]["id"] == volume.id
        assert stage.status(backup) == "creating"
