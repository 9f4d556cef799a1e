# SPDX-License-Identifier: Apache-2.0
"""In which statuses each operation ends, for every way of failing (spec/backup-rpc)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from drivers.interface.records import Record
from flows.backup import record
from tests.functional.backups.scripted_cloud import DRIVER, FAILURES, Plan, ScriptedCloud, failing
from tests.functional.cloud import NODE
from tests.servers import until


class TestCreate:
    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_success(self, scripted: ScriptedCloud, before: str) -> None:
        volume = scripted.existing(before)
        backup = scripted.made(volume)
        assert scripted.states(volume) == (before, "backing-up")
        assert (backup.service, backup.object_count, backup.container) == (DRIVER, 1, "c")
        assert (backup.temp_volume_id, backup.temp_snapshot_id) == (None, None)
        cloned = before == "in-use"
        asked = scripted.script.calls("create_cloned_volume")
        clones = [call["id"] for call in asked if call["source"] == volume.id]
        assert len(clones) == cloned
        gone = lambda: [call["id"] for call in scripted.script.calls("delete_volume")]  # noqa: E731
        until(lambda: set(clones) <= set(gone()), 60, "the clone to go")

    def test_a_success_of_a_snapshot(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing()
        snapshot = scripted.existing_snapshot(volume, "backing-up")
        scripted.made(volume, snapshot_id=snapshot.id)
        assert scripted.status(snapshot) == "available"
        assert scripted.states(volume) == ("available", None)

    def test_it_counts_with_its_parent(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing()
        parent = scripted.made(volume)
        backup = scripted.made(volume, parent_id=parent.id)
        assert scripted.records.backups.get(parent.id).num_dependent_backups == 1
        assert scripted.told(backup) == []

    def test_a_driver_may_make_it_a_full_one(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing()
        parent = scripted.made(volume)
        scripted.play(store={"backup": {"return": {"parent_id": None}}})
        backup = scripted.made(volume, parent_id=parent.id)
        assert backup.parent_id is None
        assert scripted.records.backups.get(parent.id).num_dependent_backups == 0
        assert scripted.told(backup) == ["013_030"]
        [message] = [m for m in scripted.records.messages.list() if m.resource_uuid == backup.id]
        assert message.message_level == "WARNING"

    @pytest.mark.parametrize("status", ["available", "deleting", "error"])
    def test_a_volume_that_is_not_backing_up_is_not_touched(
        self, scripted: ScriptedCloud, status: str
    ) -> None:
        volume = scripted.existing(status, previous_status="in-use")
        backup = scripted.backup(volume)
        scripted.cast_backup("create_backup", backup=backup)
        row = scripted.wait_status(backup, "error")
        assert row is not None and f"is {status}, not backing-up" in row.fail_reason
        assert scripted.states(volume) == (status, "in-use")
        assert scripted.told(backup) == []

    def test_a_snapshot_that_is_not_backing_up_is_not_touched(
        self, scripted: ScriptedCloud
    ) -> None:
        volume = scripted.existing()
        snapshot = scripted.existing_snapshot(volume, "deleting")
        backup = scripted.backup(volume, snapshot_id=snapshot.id)
        scripted.cast_backup("create_backup", backup=backup)
        scripted.wait_status(backup, "error")
        assert scripted.status(snapshot) == "deleting"

    def test_a_volume_without_a_row(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing("backing-up")
        backup = scripted.backup(volume)
        scripted.records.volumes.destroy(volume.id)
        scripted.cast_backup("create_backup", backup=backup)
        row = scripted.wait_status(backup, "error")
        assert row is not None and volume.id in row.fail_reason

    def test_a_backup_that_is_not_creating(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing("backing-up", previous_status="in-use")
        backup = scripted.backup(volume, status="available")
        scripted.cast_backup("create_backup", backup=backup)
        scripted.wait_status(backup, "error")
        assert scripted.states(volume) == ("in-use", "error_backing-up")
        assert scripted.told(backup) == ["013_017"]

    def test_an_encrypted_volume(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing(encryption_key_id=str(uuid.uuid4()))
        backup = scripted.begin(volume)
        row = scripted.wait_status(backup, "error")
        assert row is not None and "no account for the key manager" in row.fail_reason
        assert scripted.told(backup) == ["013_001"]
        assert scripted.states(volume) == ("available", "error_backing-up")

    @pytest.mark.parametrize("plan", failing("create_cloned_volume"))
    def test_a_clone_that_fails(self, scripted: ScriptedCloud, plan: Plan) -> None:
        scripted.play(volume=plan)
        volume = scripted.existing("in-use")
        backup = scripted.begin(volume)
        row = scripted.wait_status(backup, "error")
        assert row is not None and row.temp_volume_id is None
        assert scripted.states(volume) == ("in-use", "error_backing-up")
        assert scripted.told(backup) == ["013_019"]
        assert not [v for v in scripted.records.volumes.list() if not v.use_quota]

    @pytest.mark.parametrize("plan", failing("create_volume_from_snapshot"))
    def test_a_volume_of_a_snapshot_that_fails(self, scripted: ScriptedCloud, plan: Plan) -> None:
        scripted.play(volume=plan)
        volume = scripted.existing()
        snapshot = scripted.existing_snapshot(volume, "backing-up")
        backup = scripted.begin(volume, snapshot_id=snapshot.id)
        scripted.wait_status(backup, "error")
        assert scripted.status(snapshot) == "available"
        assert scripted.told(backup) == ["013_019"]

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
        self, scripted: ScriptedCloud, plan: Plan, detail: str, before: str
    ) -> None:
        scripted.play(volume=plan)
        volume = scripted.existing(before)
        backup = scripted.begin(volume)
        scripted.wait_status(backup, "error")
        assert scripted.states(volume) == (before, "error_backing-up")
        assert scripted.told(backup) == [f"013_{detail}"]
        scripted.play()
        if "remove_export" not in plan:  # with which the clone could not be deleted either
            until(
                lambda: not [v for v in scripted.records.volumes.list() if not v.use_quota],
                60,
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
    def test_a_store_that_fails(self, scripted: ScriptedCloud, plan: Plan, before: str) -> None:
        scripted.play(store=plan)
        volume = scripted.existing(before)
        backup = scripted.begin(volume)
        row = scripted.wait_status(backup, "error")
        assert row is not None and row.fail_reason
        assert scripted.states(volume) == (before, "error_backing-up")
        assert scripted.told(backup) == ["013_020"]

    def test_a_long_reason_is_cut(self, scripted: ScriptedCloud) -> None:
        scripted.play(store={"backup": {"raise": "OSError", "text": "ä" * 2000}})
        row = scripted.wait_status(scripted.begin(scripted.existing()), "error")
        assert row is not None and row.fail_reason == "ä" * 127  # the column holds 255 bytes

    def test_a_second_message_makes_no_second_backup(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing()
        backup = scripted.made(volume)
        device = {"versioned_object.data": {"volume": {"id": volume.id}, "secure_enabled": False}}
        device |= {"versioned_object.name": "BackupDeviceInfo", "versioned_object.version": "1.0"}
        device |= {"versioned_object.namespace": "cinder"}
        scripted.cast_backup("continue_backup", backup=backup, backup_device=device)
        scripted.backup_service.wait_for_log("it was made already")
        assert scripted.status(backup) == "available"


class TestRestore:
    def ready(self, scripted: ScriptedCloud) -> tuple[Record, Record]:
        return scripted.made(scripted.existing()), scripted.existing()

    def test_a_success(self, scripted: ScriptedCloud) -> None:
        backup, target = self.ready(scripted)
        scripted.restore(backup, target)
        scripted.wait_status(target, "available")
        scripted.wait_status(backup, "available")
        assert scripted.device.read_bytes().startswith(b"restored")

    @pytest.mark.parametrize(
        ("status", "left"),
        [
            ("available", "error_restoring"),
            ("in-use", "error_restoring"),
            ("deleting", "deleting"),
        ],
    )
    def test_a_volume_in_another_status(
        self, scripted: ScriptedCloud, status: str, left: str
    ) -> None:
        backup, target = self.ready(scripted)
        scripted.records.volumes.update(target.id, status=status)
        scripted.records.backups.update(backup.id, status="restoring")
        scripted.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        scripted.wait_status(backup, "available")
        assert scripted.status(target) == left
        assert scripted.told(target) == ["015_027"]

    def test_a_volume_that_is_too_small(self, scripted: ScriptedCloud) -> None:
        backup, target = self.ready(scripted)
        scripted.records.backups.update(backup.id, size=2)
        scripted.restore(backup, target)
        scripted.wait_status(target, "error_restoring")
        scripted.wait_status(backup, "available")

    def test_a_volume_without_a_row(self, scripted: ScriptedCloud) -> None:
        backup, target = self.ready(scripted)
        scripted.records.volumes.destroy(target.id)
        scripted.records.backups.update(backup.id, status="restoring")
        scripted.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        scripted.wait_status(backup, "available")

    @pytest.mark.parametrize("status", ["available", "error"])
    def test_a_backup_in_another_status(self, scripted: ScriptedCloud, status: str) -> None:
        backup, target = self.ready(scripted)
        scripted.records.volumes.update(target.id, status="restoring-backup")
        scripted.records.backups.update(backup.id, status=status)
        scripted.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        scripted.wait_status(target, "error")
        scripted.wait_status(backup, "error")
        assert scripted.told(backup) == ["015_017"]

    def test_a_backup_of_another_store(self, scripted: ScriptedCloud) -> None:
        backup, target = self.ready(scripted)
        scripted.records.backups.update(backup.id, service="cinder.backup.drivers.swift")
        scripted.restore(backup, target)
        scripted.wait_status(target, "error")
        row = scripted.wait_status(backup, "available")
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
        self, scripted: ScriptedCloud, volume: Plan, store: Plan, detail: str, status: str
    ) -> None:
        backup, target = self.ready(scripted)
        scripted.play(volume, store)
        scripted.records.backups.update(backup.id, status="restoring")
        scripted.records.volumes.update(target.id, status=status)
        scripted.cast_backup("restore_backup", backup=backup, volume_id=target.id)
        scripted.wait_status(target, "error" if status == "creating" else "error_restoring")
        scripted.wait_status(backup, "available")
        assert scripted.told(backup) == [f"015_{detail}"]


class TestDelete:
    def test_a_success(self, scripted: ScriptedCloud) -> None:
        parent = scripted.made(scripted.existing())
        backup = scripted.made(scripted.existing(), parent_id=parent.id)
        scripted.records.backups.update(backup.id, status="deleting")
        scripted.cast_backup("delete_backup", backup=backup)
        scripted.wait_status(backup, "gone")
        assert scripted.records.backups.get(parent.id).num_dependent_backups == 0
        assert backup.id not in scripted.store_script.objects()

    def test_a_row_that_no_service_took(self, scripted: ScriptedCloud) -> None:
        backup = scripted.backup(scripted.existing(), "deleting")
        scripted.cast_backup("delete_backup", backup=backup)
        scripted.wait_status(backup, "gone")
        asked = scripted.store_script.calls("delete_backup")
        assert backup.id not in [call["id"] for call in asked]

    @pytest.mark.parametrize("status", ["available", "error_deleting"])
    def test_another_status(self, scripted: ScriptedCloud, status: str) -> None:
        backup = scripted.made(scripted.existing())
        scripted.records.backups.update(backup.id, status=status)
        scripted.cast_backup("delete_backup", backup=backup)
        scripted.wait_status(backup, "error")
        assert scripted.told(backup) == ["014_017"]

    @pytest.mark.parametrize("plan", failing("delete_backup"))
    def test_a_store_that_fails(self, scripted: ScriptedCloud, plan: Plan) -> None:
        backup = scripted.made(scripted.existing())
        scripted.play(store=plan)
        scripted.records.backups.update(backup.id, status="deleting")
        scripted.cast_backup("delete_backup", backup=backup)
        row = scripted.wait_status(backup, "error")
        assert row is not None and row.fail_reason
        assert scripted.told(backup) == ["014_025"]

    def test_a_backup_of_another_store(self, scripted: ScriptedCloud) -> None:
        backup = scripted.made(scripted.existing())
        scripted.records.backups.update(backup.id, status="deleting", service="elsewhere")
        scripted.cast_backup("delete_backup", backup=backup)
        row = scripted.wait_status(backup, "error")
        assert row is not None and "was stored by elsewhere" in row.fail_reason


class TestTheRest:
    def test_a_record_has_what_the_driver_needs(self, scripted: ScriptedCloud) -> None:
        backup = scripted.made(scripted.existing())
        told = scripted.call_backup("export_record", backup=backup)
        scripted.records.backups.update(backup.id, status="creating", container=None)
        scripted.cast_backup("import_record", backup=backup, backup_hosts=[], **told)
        row = scripted.wait_status(backup, "available")
        assert row is not None and row.container == "c"
        [call] = scripted.store_script.calls("import_record")
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
        self, scripted: ScriptedCloud, change: dict[str, Any], match: str
    ) -> None:
        backup = scripted.made(scripted.existing())
        told = {**scripted.call_backup("export_record", backup=backup), **change}
        scripted.records.backups.update(backup.id, status="creating")
        scripted.cast_backup("import_record", backup=backup, backup_hosts=[], **told)
        row = scripted.wait_status(backup, "error")
        assert row is not None and match in row.fail_reason

    def test_a_record_that_nobody_can_take(self, scripted: ScriptedCloud) -> None:
        backup = scripted.backup(scripted.existing())
        told = {"backup_service": "elsewhere", "backup_url": "e30=", "backup_hosts": [NODE]}
        scripted.cast_backup("import_record", backup=backup, **told)
        scripted.wait_status(backup, "error")
        assert "ServiceNotFound" in scripted.failure_of(backup)

    def test_a_record_of_another_backup(self, scripted: ScriptedCloud) -> None:
        one, other = scripted.made(scripted.existing()), scripted.made(scripted.existing())
        told = scripted.call_backup("export_record", backup=one)
        scripted.records.backups.update(other.id, status="creating")
        scripted.cast_backup("import_record", backup=other, backup_hosts=[], **told)
        row = scripted.wait_status(other, "error")
        assert row is not None and "is that of backup" in row.fail_reason

    def test_only_what_is_available_is_exported(self, scripted: ScriptedCloud) -> None:
        backup = scripted.backup(scripted.existing(), "error")
        with pytest.raises(Exception, match="is error, not available"):
            scripted.call_backup("export_record", backup=backup)

    @pytest.mark.parametrize("status", ["available", "error"])
    def test_a_status_is_reset(self, scripted: ScriptedCloud, status: str) -> None:
        backup = scripted.made(scripted.existing())
        scripted.records.backups.update(backup.id, status="restoring")
        scripted.cast_backup("reset_status", backup=backup, status=status)
        scripted.wait_status(backup, status)

    def test_a_reset_to_error_removes_what_was_temporary(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing()
        marked = {"display_name": f"backup-vol-{volume.id}", "use_quota": False}
        temporary = scripted.existing("backing-up", **marked)
        backup = scripted.made(volume)
        scripted.records.backups.update(backup.id, temp_volume_id=temporary.id)
        scripted.cast_backup("reset_status", backup=backup, status="error")
        scripted.wait_status(backup, "error")
        scripted.wait_status(temporary, "gone")

    def test_a_record_cannot_have_a_foreign_volume_deleted(self, scripted: ScriptedCloud) -> None:
        foreign = scripted.existing("in-use")
        backup = scripted.made(scripted.existing())
        named = {"temp_volume_id": foreign.id, "restore_volume_id": foreign.id}
        url = record.encode(scripted.records.backups.get(backup.id).replace(**named), {})
        told = {**scripted.call_backup("export_record", backup=backup), "backup_url": url}
        scripted.records.backups.update(backup.id, status="creating")
        scripted.cast_backup("import_record", backup=backup, backup_hosts=[], **told)
        row = scripted.wait_status(backup, "available")
        assert row is not None and row.temp_volume_id is row.restore_volume_id is None
        for _ in range(2):
            scripted.cast_backup("reset_status", backup=backup, status="error")
            scripted.wait_status(backup, "error")
            assert scripted.status(foreign) == "in-use"
            # As a version without that rule has imported it.
            scripted.records.backups.update(backup.id, temp_volume_id=foreign.id, status="x")
        assert foreign.name in scripted.script.objects()

    def test_force_deletion_and_log_levels(self, scripted: ScriptedCloud) -> None:
        assert scripted.call_backup("check_support_to_force_delete") is True
        asked = {"versioned_object.name": "LogLevel", "versioned_object.namespace": "cinder"}
        asked |= {"versioned_object.version": "1.0"}
        wanted = {**asked, "versioned_object.data": {"prefix": "worker.locks", "level": "ERROR"}}
        scripted.cast_backup("set_log_levels", "2.1", log_request=wanted)

        def level() -> bool:
            data = {"prefix": "worker.locks", "level": None}
            found = scripted.call_backup(
                "get_log_levels", "2.1", log_request={**asked, "versioned_object.data": data}
            )
            levels = [
                one["versioned_object.data"] for one in found["versioned_object.data"]["objects"]
            ]
            return {"prefix": "worker.locks", "level": "ERROR"} in levels

        until(level, 60, "the level to be set")


class TestDevice:
    def test_a_call_is_answered(self, scripted: ScriptedCloud) -> None:
        volume = scripted.existing("backing-up", previous_status="available")
        backup = scripted.backup(volume)
        plain = scripted.call("get_backup_device", "3.2", backup=backup)
        assert (plain["is_snapshot"], plain["secure_enabled"]) == (False, True)
        asked = {"backup": backup, "want_objects": True, "async_call": False}
        found = scripted.call("get_backup_device", "3.17", **asked)
        assert found["versioned_object.name"] == "BackupDeviceInfo"
        assert found["versioned_object.data"]["volume"]["versioned_object.data"]["id"] == volume.id
        assert scripted.status(backup) == "creating"
