# SPDX-License-Identifier: Apache-2.0
"""Attach and detach in the old manner: spec/volume-rpc, attach_volume and detach_volume."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import RemoveExportException, VolumeBackendAPIException
from flows import errors
from flows.volume import attach, detach
from tests.unit.flows.tables import RAISED
from tests.unit.flows.world import World

INSTANCE = "5f0a7c11-2f9c-4f3e-9a3c-0d4c3a2b1c00"


def run(world: World, **changes: Any) -> Any:
    args = {"volume_id": "v1", "instance_uuid": INSTANCE, "host_name": None}
    args |= {"mountpoint": "/dev/vdb", "mode": "rw"}
    return world.call(attach.attach, **{**args, **changes})


def end(world: World, attachment_id: str | None = None) -> Any:
    return world.call(detach.detach, volume_id="v1", attachment_id=attachment_id)


def only(world: World) -> dict[str, Any]:
    (row,) = world.db.attachments.rows.values()
    return row


class TestAttach:
    @pytest.fixture
    def free(self, world: World) -> World:
        world.add_volume(status="attaching")
        return world

    def test_to_an_instance(self, free: World) -> None:
        record = run(free)

        row = only(free)
        assert record.id == row["id"]
        assert (row["attach_status"], row["attach_mode"]) == ("attached", "rw")
        assert (row["instance_uuid"], row["mountpoint"]) == (INSTANCE, "/dev/vdb")
        assert row["attach_time"] is not None
        assert (free.volume()["status"], free.volume()["attach_status"]) == ("in-use", "attached")
        assert free.db.pairs["admin_metadata", "v1"] == {"attached_mode": "rw"}
        assert free.driver.called("attach_volume") == [
            {"instance": INSTANCE, "host": None, "mountpoint": "/dev/vdb"}
        ]
        assert free.notified() == ["volume.attach.start", "volume.attach.end"]
        assert free.shown("volume.attach.end").status == "in-use"

    def test_to_a_host_whose_name_is_tidied(self, free: World) -> None:
        run(free, instance_uuid=None, host_name="My_Host 1/x.")

        assert only(free)["attached_host"] == "my-host-1x"
        assert free.driver.called("attach_volume")[0]["host"] == "my-host-1x"

    def test_the_mode_must_be_the_one_that_was_noted(self, free: World) -> None:
        free.db.pairs["admin_metadata", "v1"] = {"attached_mode": "ro"}

        with pytest.raises(errors.InvalidVolume):
            run(free)

        assert free.db.attachments.rows == {}

    @pytest.mark.parametrize(
        ("columns", "changes"),
        [
            pytest.param({"instance_uuid": INSTANCE}, {}, id="instance"),
            pytest.param(
                {"attached_host": "node"}, {"instance_uuid": None, "host_name": "node"}, id="host"
            ),
        ],
    )
    def test_what_is_attached_already_is_answered(
        self, world: World, columns: Any, changes: Any
    ) -> None:
        world.add_volume(status="available")
        world.add_attachment(**columns)

        assert run(world, **changes).id == "a1"

        assert world.volume()["status"] == "in-use"
        assert world.driver.calls == [] and world.notified() == []

    def test_in_use_takes_no_second_one(self, world: World) -> None:
        world.add_volume(status="in-use")
        world.add_attachment(instance_uuid="another")

        with pytest.raises(errors.InvalidVolume):
            run(world)

        assert only(world)["instance_uuid"] == "another"

    @pytest.mark.parametrize("columns", [{"multiattach": True}, {"migration_status": "migrating"}])
    def test_in_use_takes_a_second_one(self, world: World, columns: Any) -> None:
        world.add_volume(status="in-use", **columns)
        world.add_attachment(instance_uuid="another")

        run(world)

        assert len(world.db.attachments.of(attach_status="attached")) == 2

    @pytest.mark.parametrize("instance", ["server-1", "x" * 300])
    def test_an_instance_that_is_no_uuid(self, free: World, instance: str) -> None:
        with pytest.raises(errors.InvalidUUID):
            run(free, instance_uuid=instance)

        assert only(free)["attach_status"] == "error_attaching"
        assert free.messaged() == []
        assert free.volume()["status"] == "attaching"

    def test_a_read_only_volume(self, free: World) -> None:
        free.db.pairs["admin_metadata", "v1"] = {"readonly": "True"}

        with pytest.raises(errors.InvalidVolumeAttachMode):
            run(free)

        assert only(free)["attach_status"] == "error_attaching"
        assert free.messaged() == [("002", "005")]
        assert free.driver.calls == []

    def test_a_read_only_volume_for_reading(self, free: World) -> None:
        free.db.pairs["admin_metadata", "v1"] = {"readonly": "True"}

        run(free, mode="ro")

        assert only(free)["attach_mode"] == "ro"

    def test_a_driver_that_is_not_up(self, free: World) -> None:
        free.driver_up = False

        with pytest.raises(errors.DriverNotInitialized):
            run(free)

        assert only(free)["attach_status"] == "error_attaching"
        assert free.messaged() == [("002", "002")]

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, free: World, error: BaseException) -> None:
        free.driver.plan["attach_volume"] = error

        with pytest.raises(VolumeBackendAPIException):
            run(free)

        assert only(free)["attach_status"] == "error_attaching"
        assert free.messaged() == [("002", "021")]
        assert free.volume()["status"] == "attaching"

    def test_a_failed_attachment_is_taken_up_again(self, free: World) -> None:
        free.driver.plan["attach_volume"] = RuntimeError()
        with pytest.raises(VolumeBackendAPIException):
            run(free)
        free.driver.plan.clear()

        run(free)

        assert only(free)["attach_status"] == "attached"


class TestDetach:
    @pytest.fixture
    def used(self, world: World) -> World:
        world.add_volume(status="in-use", attach_status="attached")
        world.add_attachment()
        world.db.pairs["admin_metadata", "v1"] = {"attached_mode": "rw", "readonly": "False"}
        return world

    @pytest.mark.parametrize("attachment_id", ["a1", None])
    def test_the_attachment_goes(self, used: World, attachment_id: Any) -> None:
        end(used, attachment_id)

        assert used.db.attachments.of() == []
        row = used.volume()
        assert (row["status"], row["attach_status"]) == ("available", "detached")
        assert used.db.pairs["admin_metadata", "v1"] == {"readonly": "False"}
        assert [name for name, _ in used.driver.calls] == ["detach_volume", "remove_export"]
        assert used.driver.called("detach_volume")[0]["attachment"].id == "a1"
        assert used.notified() == ["volume.detach.start", "volume.detach.end"]
        assert used.shown("volume.detach.end").status == "available"

    def test_an_unknown_attachment_only_settles_the_volume(self, used: World) -> None:
        used.volume()["status"] = "detaching"

        end(used, "gone")

        assert used.volume()["status"] == "in-use"
        assert used.driver.calls == []

    def test_of_several_one_must_be_named(self, used: World) -> None:
        used.add_attachment("a2")

        with pytest.raises(errors.InvalidVolume):
            end(used)

        assert len(used.db.attachments.of()) == 2

    def test_of_several_the_others_stay(self, used: World) -> None:
        used.add_attachment("a2")

        end(used, "a1")

        assert [row["id"] for row in used.db.attachments.of()] == ["a2"]
        assert used.volume()["status"] == "in-use"

    def test_none_at_all(self, world: World) -> None:
        world.add_volume(status="detaching", attach_status="attached")

        end(world)

        assert world.volume()["status"] == "available"
        assert world.volume()["attach_status"] == "detached"

    def test_an_attachment_of_another_volume(self, used: World) -> None:
        used.add_volume("v2")
        used.add_attachment("a2", "v2")

        with pytest.raises(errors.InvalidInput):
            end(used, "a2")

        assert len(used.db.attachments.of()) == 2

    def test_a_driver_that_is_not_up(self, used: World) -> None:
        used.driver_up = False

        with pytest.raises(errors.DriverNotInitialized):
            end(used)

        assert only(used)["attach_status"] == "error_detaching"

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, used: World, error: BaseException) -> None:
        used.driver.plan["detach_volume"] = error

        with pytest.raises(VolumeBackendAPIException):
            end(used)

        assert only(used)["attach_status"] == "error_detaching"
        assert used.volume()["status"] == "in-use"

    @pytest.mark.parametrize("error", [p for p in RAISED if isinstance(p.values[0], Exception)])
    def test_an_export_that_stays_writes_nothing(self, used: World, error: Exception) -> None:
        used.driver.plan["remove_export"] = error

        with pytest.raises(RemoveExportException):
            end(used)

        assert only(used)["attach_status"] == "attached"
        assert used.volume()["status"] == "in-use"


@pytest.mark.parametrize("run", [run, end])
class TestRefused:
    def test_an_unknown_volume(self, world: World, run: Any) -> None:
        with pytest.raises(errors.VolumeNotFound):
            run(world)

    def test_a_volume_of_another_backend(self, world: World, run: Any) -> None:
        world.add_volume(host="node@other#pool")

        with pytest.raises(errors.Invalid):
            run(world)

        assert world.db.attachments.rows == {} and world.driver.calls == []
