# SPDX-License-Identifier: Apache-2.0
"""Attachments: spec/volume-rpc, attachment_update and attachment_delete."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drivers.interface.errors import InvalidConnectorException, VolumeBackendAPIException
from flows import errors
from flows.volume.connections import attachment
from tests.unit.flows.tables import RAISED, RUBBISH
from tests.unit.flows.world.world import World

CONNECTOR = {"initiator": "iqn.1", "host": "node", "mountpoint": "/dev/vdb", "mode": "ro"}


def update(world: World, connector: Any = CONNECTOR) -> Any:
    args = {"volume_id": "v1", "connector": connector, "attachment_id": "a1"}
    return world.call(attachment.update, **args)


def delete(world: World) -> Any:
    return world.call(attachment.delete, volume_id="v1", attachment_id="a1")


@pytest.fixture
def reserved(world: World) -> World:
    world.add_volume(status="reserved", attach_status="reserved")
    world.add_attachment(attach_status="reserved", attach_mode="null")
    return world


@pytest.fixture
def connected(world: World) -> World:
    world.add_volume(status="in-use", attach_status="attached")
    world.add_attachment(connector=json.dumps(CONNECTOR))
    world.driver.exports.add("volume-v1")
    return world


def row_of(world: World) -> dict[str, Any]:
    return world.db.attachments.rows["a1"]


class TestUpdate:
    def test_it_is_attaching_and_the_caller_is_told_how(self, reserved: World) -> None:
        answer = update(reserved)

        assert answer["driver_volume_type"] == "local"
        assert answer["attachment_id"] == "a1"
        assert answer["enforce_multipath"] is False
        assert answer["device_path"].endswith("volume-v1")
        assert "data" not in answer
        row = row_of(reserved)
        assert (row["attach_status"], row["attach_mode"]) == ("attaching", "ro")
        assert (row["attached_host"], row["mountpoint"]) == ("node", "/dev/vdb")
        assert row["attach_time"] is not None
        assert json.loads(row["connector"]) == CONNECTOR
        volume = reserved.volume()
        assert (volume["status"], volume["attach_status"]) == ("attaching", "attaching")
        assert reserved.notified() == ["volume.attach.start"]

    def test_what_a_connector_does_not_say(self, reserved: World) -> None:
        update(reserved, {"initiator": "iqn.1"})

        row = row_of(reserved)
        assert (row["attached_host"], row["mountpoint"], row["attach_mode"]) == ("", "na", "rw")

    @pytest.mark.parametrize("before", ["null", None])
    def test_the_mode_of_the_connector_without_another(
        self, reserved: World, before: str | None
    ) -> None:
        row_of(reserved)["attach_mode"] = before

        update(reserved)

        (call,) = reserved.driver.called("initialize_connection")
        assert call["connector"]["mode"] == "ro"
        assert row_of(reserved)["attach_mode"] == "ro"

    def test_no_mode_of_a_read_only_volume(self, reserved: World) -> None:
        """As in Cinder: the API writes ``ro`` into the row itself."""
        reserved.db.pairs["admin_metadata", "v1"] = {"readonly": "True"}

        answer = update(reserved, {"initiator": "iqn.1"})

        (call,) = reserved.driver.called("initialize_connection")
        assert "mode" not in call["connector"]
        assert answer["access_mode"] == "ro"
        assert row_of(reserved)["attach_mode"] == "rw"

    def test_the_mode_chosen_before_goes_first(self, reserved: World) -> None:
        row_of(reserved)["attach_mode"] = "rw"

        update(reserved)

        (call,) = reserved.driver.called("initialize_connection")
        assert call["connector"]["mode"] == "rw"
        assert row_of(reserved)["attach_mode"] == "rw"
        assert json.loads(row_of(reserved)["connector"])["mode"] == "rw"

    def test_a_volume_that_others_use_stays_in_use(self, reserved: World) -> None:
        reserved.add_attachment("a2")

        update(reserved)

        assert reserved.volume()["status"] == "in-use"

    @pytest.mark.parametrize(
        "method", ["validate_connector", "create_export", "initialize_connection"]
    )
    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises_writes_nothing(
        self, reserved: World, method: str, error: BaseException
    ) -> None:
        reserved.driver.plan[method] = error
        before = dict(row_of(reserved)), dict(reserved.volume())

        with pytest.raises(VolumeBackendAPIException):
            update(reserved)

        assert (row_of(reserved), reserved.volume()) == before
        assert reserved.driver.exports == set()

    def test_the_driver_is_notified_before_it_connects(self, reserved: World) -> None:
        row_of(reserved)["instance_uuid"] = "i1"

        update(reserved)

        assert [name for name, _ in reserved.driver.calls] == [
            *("validate_connector", "create_export", "attach_volume", "initialize_connection")
        ]
        assert reserved.driver.called("attach_volume") == [
            {"instance": "i1", "host": "node", "mountpoint": "/dev/vdb"}
        ]

    @pytest.mark.parametrize("broken", ["attach_volume", "initialize_connection"])
    def test_a_failure_after_the_notification_takes_it_back(
        self, reserved: World, broken: str
    ) -> None:
        reserved.driver.plan[broken] = RuntimeError("full")
        before = dict(row_of(reserved)), dict(reserved.volume())

        with pytest.raises(VolumeBackendAPIException, match=f"{broken} of volume v1 failed"):
            update(reserved)

        (call,) = reserved.driver.called("detach_volume")
        assert call["attachment"].id == "a1"
        made = [name for name, _ in reserved.driver.calls]
        assert made[-2:] == ["detach_volume", "remove_export"]
        assert (row_of(reserved), reserved.volume()) == before

    def test_a_failure_keeps_an_attachment_that_was_connected_before(
        self, connected: World
    ) -> None:
        row_of(connected)["attach_mode"] = "rw"
        connected.driver.plan["initialize_connection"] = RuntimeError("full")

        with pytest.raises(VolumeBackendAPIException):
            update(connected)

        assert connected.driver.called("detach_volume") == []
        assert connected.driver.called("terminate_connection") == []
        assert connected.driver.exports == {"volume-v1"}

    def test_a_failure_of_another_connector_ends_its_access(self, connected: World) -> None:
        connected.driver.plan["initialize_connection"] = RuntimeError("full")

        with pytest.raises(VolumeBackendAPIException):
            update(connected, {**CONNECTOR, "initiator": "iqn.2"})

        (call,) = connected.driver.called("terminate_connection")
        assert call["connector"]["initiator"] == "iqn.2"

    def test_a_failure_keeps_the_export_of_other_hosts(self, reserved: World) -> None:
        reserved.add_attachment("a2", connector=json.dumps({"host": "other"}))
        reserved.driver.plan["initialize_connection"] = RuntimeError("full")

        with pytest.raises(VolumeBackendAPIException):
            update(reserved)

        assert reserved.driver.exports == {"volume-v1"}
        assert reserved.driver.called("remove_export") == []

    @pytest.mark.parametrize("answer", RUBBISH)
    def test_rubbish(self, reserved: World, answer: Any) -> None:
        reserved.driver.plan["initialize_connection"] = answer

        with pytest.raises(VolumeBackendAPIException):
            update(reserved)

        assert row_of(reserved)["attach_status"] == "reserved"
        assert reserved.driver.exports == set()

    def test_what_cannot_be_written_is_disconnected(self, reserved: World) -> None:
        with pytest.raises(ValueError, match="too long"):
            update(reserved, {**CONNECTOR, "mountpoint": "x" * 300})

        assert reserved.driver.called("terminate_connection") != []
        assert reserved.driver.exports == set()

    @pytest.mark.parametrize("connector", [None, "iqn.1", {"initiator": 7}])
    def test_a_connector_that_is_none(self, reserved: World, connector: Any) -> None:
        with pytest.raises(errors.InvalidInput):
            update(reserved, connector)

        assert reserved.driver.calls == []

    def test_a_connector_that_lacks_something(self, reserved: World) -> None:
        reserved.driver.plan["validate_connector"] = InvalidConnectorException("no initiator")

        with pytest.raises(errors.InvalidInput):
            update(reserved)


class TestDelete:
    @pytest.mark.parametrize("answer", [None, False, 0, "no"])
    def test_access_and_export_go_and_no_row_is_written(
        self, connected: World, answer: Any
    ) -> None:
        connected.driver.plan["terminate_connection"] = answer
        before = dict(row_of(connected)), dict(connected.volume())

        assert delete(connected) is None

        assert connected.driver.called("terminate_connection")[0]["connector"] == CONNECTOR
        assert connected.driver.exports == set()
        assert (row_of(connected), connected.volume()) == before
        assert connected.notified() == ["volume.detach.start"]

    def test_the_driver_is_notified_when_access_has_ended(self, connected: World) -> None:
        delete(connected)

        assert [name for name, _ in connected.driver.calls] == [
            *("terminate_connection", "detach_volume", "remove_export")
        ]
        assert connected.driver.called("detach_volume")[0]["attachment"].id == "a1"

    @pytest.mark.parametrize("error", RAISED)
    def test_a_notification_that_fails_is_only_logged(
        self, connected: World, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        connected.driver.plan["detach_volume"] = error

        assert delete(connected) is None

        assert "its driver was not notified" in caplog.text
        assert connected.driver.exports == set()

    @pytest.mark.parametrize("answer", [None, False, 0, True])
    @pytest.mark.parametrize(
        "other", [{"connector": '{"host": "other"}', "attach_status": "attaching"}, {}]
    )
    def test_the_export_of_other_hosts_stays(
        self, connected: World, answer: Any, other: dict[str, Any]
    ) -> None:
        connected.add_attachment("a2", **other)
        connected.driver.plan["terminate_connection"] = answer

        delete(connected)

        assert connected.driver.exports == {"volume-v1"}
        assert connected.driver.called("detach_volume") != []

    def test_a_connection_that_is_shared_keeps_the_export(self, connected: World) -> None:
        connected.driver.plan["terminate_connection"] = True

        delete(connected)

        assert connected.driver.exports == {"volume-v1"}

    @pytest.mark.parametrize("connector", [None, "", "null", "{}", "[]"])
    def test_without_a_connector_nobodys_access_ends(
        self, connected: World, connector: Any
    ) -> None:
        row_of(connected)["connector"] = connector

        delete(connected)

        assert connected.driver.calls == []

    def test_a_connector_that_cannot_be_read(self, connected: World) -> None:
        row_of(connected)["connector"] = "{"

        with pytest.raises(errors.InvalidInput):
            delete(connected)

        assert connected.driver.calls == []

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, connected: World, error: BaseException) -> None:
        connected.driver.plan["terminate_connection"] = error

        with pytest.raises(VolumeBackendAPIException):
            delete(connected)

        assert connected.driver.exports == {"volume-v1"}

    def test_an_export_that_stays_is_only_logged(
        self, connected: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        connected.driver.plan["remove_export"] = RuntimeError("stuck")

        assert delete(connected) is None

        assert "stuck" in caplog.text


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("run", [update, delete])
class TestRefused:
    def test_a_driver_that_is_not_up(self, connected: World, run: Any) -> None:
        connected.driver_up = False
        before = dict(row_of(connected))

        with pytest.raises(errors.DriverNotInitialized):
            run(connected)

        assert row_of(connected) == before

    def test_an_unknown_volume(self, world: World, run: Any) -> None:
        world.add_attachment()

        with pytest.raises(errors.VolumeNotFound):
            run(world)

    def test_an_unknown_attachment(self, world: World, run: Any) -> None:
        world.add_volume()

        with pytest.raises(errors.VolumeAttachmentNotFound):
            run(world)

    def test_an_attachment_of_another_volume(self, world: World, run: Any) -> None:
        world.add_volume()
        world.add_attachment(volume_id="v2")

        with pytest.raises(errors.InvalidInput):
            run(world)

        assert world.driver.calls == []

    def test_a_volume_of_another_backend(self, connected: World, run: Any) -> None:
        connected.volume()["host"] = "node@other#pool"

        with pytest.raises(errors.Invalid):
            run(connected)

        assert connected.driver.calls == []
