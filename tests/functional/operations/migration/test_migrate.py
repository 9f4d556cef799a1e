# SPDX-License-Identifier: Apache-2.0
"""migrate_volume and its completion: spec/volume-rpc §2 and §4."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.cloud import POOL_HOST
from tests.functional.operations.migration.pair import THERE, Pair, volume_type

LOCKED = {"status": "maintenance", "previous_status": "available"}
FREE = {"status": "available", "previous_status": "available"}
FAILS = {"raise": "VolumeBackendAPIException"}


class TestByDriver:
    def test_the_row_tells_of_its_new_backend(self, pair: Pair) -> None:
        moved = [True, {"provider_location": "there"}]
        pair.cloud.script.plan(migrate_volume={"return": moved})
        volume = pair.starting()
        pair.migrate(volume)
        row = pair.settled(volume)

        service = pair.cloud.records.services.serving(THERE)
        assert service is not None
        assert (row.host, row.migration_status) == (THERE, "success")
        assert (row.availability_zone, row.service_uuid) == ("far", service.uuid)
        assert (row.previous_status, row.provider_location) == ("maintenance", "there")
        assert pair.copies(volume) == []
        (call,) = [c for c in pair.cloud.script.calls("migrate_volume") if c["id"] == volume.id]
        assert (call["host"], call["status"]) == (THERE, "starting")

    def test_one_that_fails_leaves_the_volume_where_it_is(self, pair: Pair) -> None:
        pair.cloud.script.plan(migrate_volume=FAILS)
        volume = pair.starting()
        pair.migrate(volume)

        pair.assert_stayed(pair.settled(volume))

    def test_rubbish_is_a_failure(self, pair: Pair) -> None:
        pair.cloud.script.plan(migrate_volume={"return": [True, {"project_id": "mine"}]})
        volume = pair.starting()
        pair.migrate(volume)

        pair.assert_stayed(pair.settled(volume))

    def test_it_is_not_asked_where_a_copy_is_wanted(self, pair: Pair) -> None:
        pair.cloud.script.plan(migrate_volume=FAILS, initialize_connection={"local": True})
        volume = pair.starting()
        pair.migrate(volume, force_host_copy=True)

        pair.assert_moved(pair.settled(volume))

    def test_the_type_follows(self, pair: Pair) -> None:
        pair.cloud.script.plan(migrate_volume={"return": [True, None]})
        here, there = (volume_type(pair.cloud, volume_backend_name=n) for n in ("b1", "b2"))
        volume = pair.starting(volume_type_id=here)
        pair.migrate(volume, new_type_id=there)

        assert pair.settled(volume).volume_type_id == there


class TestByCopy:
    @pytest.mark.parametrize("before", [LOCKED, FREE], ids=["locked", "free"])
    def test_the_volume_is_there_with_its_data(self, pair: Pair, before: dict[str, Any]) -> None:
        volume = pair.starting(**before, display_name="mine", metadata={"a": "1"})
        pair.migrate(volume)
        row = pair.settled(volume)

        pair.assert_moved(row)
        assert (row.status, row.previous_status) == ("available", "available")
        assert (row.display_name, dict(row.metadata)) == ("mine", {"a": "1"})
        assert row.use_quota is True
        assert row.availability_zone == "far"
        assert row._name_id not in (None, volume.id)

    def test_what_is_asked_of_the_drivers(self, pair: Pair) -> None:
        volume = pair.starting()
        pair.migrate(volume)
        row = pair.settled(volume)
        pair.assert_moved(row)

        made = [c["method"] for c in pair.cloud.script.calls() if c.get("id") == volume.id]
        assert made == [
            "migrate_volume",
            "before_volume_copy",
            "create_export",
            "initialize_connection",
            "terminate_connection",
            "remove_export",
            "after_volume_copy",
        ]
        there = [c["method"] for c in pair.second.calls() if c.get("id") == row._name_id]
        assert there == [
            "create_volume",
            "create_export",
            "initialize_connection",
            "terminate_connection",
            "remove_export",
        ]
        (told,) = [c for c in pair.second.calls("update_migrated_volume") if c["id"] == volume.id]
        assert (told["copy"], told["status"]) == (row._name_id, "available")

    def test_a_driver_that_gives_the_copy_the_old_name(self, pair: Pair) -> None:
        told = {"_name_id": None, "provider_location": "renamed"}
        volume = pair.starting(provider_location="old")
        plan = {"initialize_connection": {"local": True}}
        pair.second.plan(**plan, update_migrated_volume={"return": told})
        pair.migrate(volume)
        row = pair.settled(volume)

        assert (row._name_id, row.provider_location) == (None, "renamed")
        assert row.host == THERE
        pair.wait(lambda: not pair.copies(volume))
        pair.wait(lambda: volume.name not in pair.cloud.script.objects())
        for name in pair.second.objects() - {v.name for v in pair.cloud.records.volumes.list()}:
            pair.second.remove(name)  # the script did not rename it

    def test_a_second_migration_brings_it_back(self, pair: Pair) -> None:
        volume = pair.starting()
        pair.migrate(volume)
        pair.assert_moved(row := pair.settled(volume))
        columns = {"migration_status": "starting", "previous_status": "available"}
        pair.cloud.records.volumes.update(volume.id, **columns)
        client = pair.cloud.records  # the second backend is asked this time
        pair.send_second("migrate_volume", volume=pair.row(volume), to=POOL_HOST)
        pair.wait(lambda: pair.row(volume).migration_status == "success")
        again = client.volumes.get(volume.id)

        assert again.host == POOL_HOST
        assert pair.cloud.script.path(again.name).read_bytes().startswith(b"data of ")
        pair.wait(lambda: row.name not in pair.second.objects())
        pair.assert_no_copy(again)

    def test_another_type(self, pair: Pair) -> None:
        fast = volume_type(pair.cloud, speed="high")
        volume = pair.starting()
        pair.migrate(volume, new_type_id=fast)
        row = pair.settled(volume)

        pair.assert_moved(row)
        assert row.volume_type_id == fast
        asked = [c for c in pair.cloud.script.calls("migrate_volume") if c["id"] == volume.id]
        assert asked == []  # its driver moves it as it is

    def test_quota_is_as_it_was(self, pair: Pair) -> None:
        volume = pair.starting()
        usages = pair.cloud.records.quotas
        held = usages.reserve(volume.project_id, {"gigabytes": 1})
        usages.rollback(held)
        pair.migrate(volume)
        pair.assert_moved(pair.settled(volume))

        assert usages.reserve(volume.project_id, {"gigabytes": 0}) == []

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            pytest.param({}, {"create_volume": FAILS}, id="create"),
            pytest.param({}, {"create_export": FAILS}, id="export there"),
            pytest.param({}, {"initialize_connection": FAILS}, id="connect there"),
            pytest.param({}, {"terminate_connection": FAILS}, id="disconnect there"),
            pytest.param({"before_volume_copy": FAILS}, {}, id="before"),
            pytest.param({"after_volume_copy": FAILS}, {}, id="after"),
            pytest.param({"create_export": FAILS}, {}, id="export here"),
            pytest.param({"initialize_connection": FAILS}, {}, id="connect here"),
            pytest.param({"initialize_connection": {}}, {}, id="a protocol that needs os-brick"),
            pytest.param({"terminate_connection": FAILS}, {}, id="disconnect here"),
        ],
    )
    def test_failures_leave_nothing_but_the_volume(
        self, pair: Pair, first: dict[str, Any], second: dict[str, Any]
    ) -> None:
        local = {"initialize_connection": {"local": True}}
        pair.cloud.script.plan(**{**local, **first})
        pair.second.plan(**{**local, **second})
        volume = pair.starting()
        pair.migrate(volume)

        pair.assert_stayed(pair.settled(volume))

    def test_a_copy_that_is_not_created_in_time(self, pair: Pair, tmp_path: Any) -> None:
        gate = tmp_path / "gate"
        pair.second.plan(create_volume={"wait_for": str(gate)})
        volume = pair.starting()
        pair.migrate(volume)
        pair.wait(lambda: pair.row(volume).migration_status == "error")
        assert "migration_create_volume_timeout_secs" in pair.cloud.wait_refused(volume)
        gate.touch()

        pair.assert_stayed(pair.settled(volume))

    def test_a_failed_completion_keeps_the_copy(self, pair: Pair) -> None:
        plan = {"initialize_connection": {"local": True}}
        pair.second.plan(**plan, update_migrated_volume=FAILS)
        volume = pair.starting()
        pair.migrate(volume)
        row = pair.settled(volume)

        assert (row.host, row.migration_status) == (POOL_HOST, "error")
        (call,) = [c for c in pair.second.calls("update_migrated_volume") if c["id"] == volume.id][
            :1
        ]
        copy = pair.cloud.records.volumes.get(call["copy"])
        assert (copy.status, copy.migration_status) == ("available", None)
        pair.cloud.records.volumes.destroy(copy.id)
        pair.second.remove(copy.name)

    def test_an_attached_volume_stays(self, pair: Pair) -> None:
        volume = pair.starting(status="in-use", previous_status="in-use", attach_status="attached")
        pair.cloud.attachment(volume, "attached")
        pair.migrate(volume)

        pair.assert_stayed(pair.settled(volume, "in-use"))

    def test_a_host_without_a_service(self, pair: Pair) -> None:
        volume = pair.starting()
        pair.migrate(volume, "h1@nowhere#pool")

        pair.assert_stayed(pair.settled(volume))

    def test_one_that_was_not_asked_for_is_left_alone(self, pair: Pair) -> None:
        volume = pair.starting(migration_status="migrating")
        pair.migrate(volume)
        pair.cloud.wait_idle()

        assert pair.row(volume).migration_status == "migrating"
        assert pair.row(volume).status == "maintenance"


class TestCompletion:
    """As the API calls it, after Nova has copied the data."""

    def copied(self, pair: Pair, **columns: Any) -> tuple[Any, Any]:
        volume = pair.starting(**{"migration_status": "migrating", **columns})
        target = f"target:{volume.id}"
        copy = pair.cloud.volume("available", host=THERE, migration_status=target, use_quota=False)
        pair.second.make(copy.name)
        pair.second.path(copy.name).write_bytes(b"data of " + volume.name.encode())
        return volume, copy

    def complete(self, pair: Pair, volume: Any, copy: Any, error: bool = False) -> Any:
        args = {"volume": volume, "new_volume": copy, "error": error}
        return pair.cloud.call("migrate_volume_completion", **args)

    def test_the_copy_takes_the_volumes_place(self, pair: Pair) -> None:
        volume, copy = self.copied(pair)

        assert self.complete(pair, volume, copy) == volume.id
        pair.assert_moved(pair.settled(volume))

    def test_attachments_of_the_copy_become_the_volumes(self, pair: Pair) -> None:
        volume, copy = self.copied(pair, status="available", previous_status="in-use")
        attachment = pair.cloud.attachment(copy, "attached")
        pair.cloud.records.attachments.settle_volume(copy.id)
        pair.cloud.records.volumes.update(copy.id, status="in-use", attach_status="attached")

        self.complete(pair, volume, copy)
        row = pair.settled(volume, "in-use")
        assert row.attach_status == "attached"
        assert [a.id for a in row.volume_attachment] == [attachment.id]
        pair.assert_moved(row)

    def test_attachments_in_the_old_manner_are_written_anew(self, pair: Pair) -> None:
        used = {"status": "in-use", "previous_status": "in-use", "attach_status": "attached"}
        volume, copy = self.copied(pair, **used)
        where = {"instance_uuid": copy.id, "mountpoint": "/dev/vdb", "attach_mode": "rw"}
        old = pair.cloud.attachment(volume, "attached", **where)

        self.complete(pair, volume, copy)
        row = pair.settled(volume, "in-use")
        (new,) = row.volume_attachment
        assert new.id != old.id
        assert {name: new[name] for name in where} == where
        assert (new.attach_status, row.attach_status) == ("attached", "attached")
        assert [c for c in pair.cloud.script.calls("detach_volume") if c["id"] == volume.id]
        assert [c for c in pair.second.calls("attach_volume") if c["id"] == volume.id]
        pair.assert_moved(row)

    def test_an_error_deletes_the_copy(self, pair: Pair) -> None:
        volume, copy = self.copied(pair, status="in-use", previous_status="in-use")

        assert self.complete(pair, volume, copy, error=True) == volume.id
        pair.assert_stayed(pair.settled(volume, "in-use"))

    def test_a_failure_is_told_and_can_be_tried_again(self, pair: Pair) -> None:
        volume, copy = self.copied(pair)
        pair.second.plan(update_migrated_volume=FAILS)
        kind, _ = pair.cloud.failure("migrate_volume_completion", volume=volume, new_volume=copy)

        assert kind == "VolumeMigrationFailed"
        row = pair.settled(volume)
        assert (row.host, row.migration_status) == (POOL_HOST, "error")
        assert pair.row(copy).migration_status == f"target:{volume.id}"
        pair.reset()
        assert self.complete(pair, volume, copy) == volume.id
        pair.assert_moved(pair.settled(volume))

    def test_two_volumes_that_are_no_pair(self, pair: Pair) -> None:
        volume, copy = self.copied(pair)
        pair.cloud.records.volumes.update(copy.id, migration_status=None)
        kind, text = pair.cloud.failure("migrate_volume_completion", volume=volume, new_volume=copy)

        assert kind == "InvalidVolume"
        assert "is not the copy" in text
        assert pair.row(volume).migration_status == "migrating"
        pair.cloud.records.volumes.destroy(copy.id)
        pair.second.remove(copy.name)
