# SPDX-License-Identifier: Apache-2.0
"""Attach and detach in the old manner: spec/volume-rpc, attach_volume and detach_volume."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from flows import errors
from flows.volume.connections import attach, detach
from tests.unit.flows.tables import RAISED
from tests.unit.flows.world.world import World

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

    def test_a_mode_noted_for_an_earlier_attachment_does_not_bind(self, free: World) -> None:
        free.volume()["status"] = "available"
        free.db.pairs["admin_metadata", "v1"] = {"attached_mode": "ro"}

        run(free)

        assert only(free)["attach_mode"] == "rw"
        assert free.db.pairs["admin_metadata", "v1"] == {"attached_mode": "rw"}

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


@pytest.mark.usefixtures("tidy")
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
