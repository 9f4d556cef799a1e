# SPDX-License-Identifier: Apache-2.0
"""Connections: spec/volume-rpc, initialize_connection and its likes; spec/interfaces §2.2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drivers.interface.errors import InvalidConnectorException, VolumeBackendAPIException
from flows import errors
from flows.volume.connections import connection
from tests.unit.flows.tables import RAISED, RUBBISH
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World

CONNECTOR = {"initiator": "iqn.1", "host": "node", "auth_password": "hush"}


@pytest.fixture
def ready(world: World) -> World:
    world.add_volume(size=10)
    return world


def initialize(world: World, connector: Any = CONNECTOR) -> Any:
    return world.call(connection.initialize, volume_id="v1", connector=connector)


def terminate(world: World, connector: Any = CONNECTOR, force: bool = False) -> Any:
    args = {"volume_id": "v1", "connector": connector, "force": force}
    return world.call(connection.terminate_flow, **args)


def unexport(world: World) -> Any:
    return world.call(connection.remove_export, volume_id="v1")


class TestInitialize:
    def test_the_caller_is_told_how(self, ready: World) -> None:
        before = dict(ready.volume())

        info = initialize(ready)

        assert info["driver_volume_type"] == "local"
        assert info["data"]["device_path"].endswith("volume-v1")
        assert ready.driver.exports == {"volume-v1"}
        assert [name for name, _ in ready.driver.calls] == [
            *("validate_connector", "create_export", "initialize_connection")
        ]
        assert ready.volume() == before

    def test_what_the_export_says_is_stored_before_it_is_connected(self, ready: World) -> None:
        ready.driver.plan["create_export"] = {"provider_location": "portal"}

        initialize(ready)

        (call,) = ready.driver.called("initialize_connection")
        assert call["volume"].provider_location == "portal"
        assert ready.volume()["provider_location"] == "portal"

    @pytest.mark.parametrize("method", ["validate_connector", "create_export"])
    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises_before(
        self, ready: World, method: str, error: BaseException
    ) -> None:
        ready.driver.plan[method] = error

        with pytest.raises(VolumeBackendAPIException):
            initialize(ready)

        assert ready.driver.exports == set()

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises_takes_the_export_away(
        self, ready: World, error: BaseException
    ) -> None:
        ready.driver.plan["initialize_connection"] = error

        with pytest.raises(VolumeBackendAPIException):
            initialize(ready)

        assert ready.driver.called("remove_export") != []
        assert ready.driver.exports == set()

    @pytest.mark.parametrize(
        "answer",
        [
            *RUBBISH,
            pytest.param(None, id="nothing"),
            pytest.param({"data": {}}, id="no type"),
            pytest.param({"driver_volume_type": "iscsi"}, id="no data"),
            pytest.param({"driver_volume_type": "iscsi", "data": []}, id="data is a list"),
            pytest.param(
                {"driver_volume_type": "iscsi", "data": {"x": object()}}, id="data is no JSON"
            ),
        ],
    )
    def test_rubbish_takes_the_export_away(self, ready: World, answer: Any) -> None:
        ready.driver.plan["initialize_connection"] = lambda **_: answer

        with pytest.raises(VolumeBackendAPIException):
            initialize(ready)

        assert ready.driver.exports == set()

    @pytest.mark.parametrize("answer", RUBBISH)
    def test_rubbish_about_the_export(self, ready: World, answer: Any) -> None:
        ready.driver.plan["create_export"] = answer

        with pytest.raises((VolumeBackendAPIException, errors.ExportFailure)):
            initialize(ready)

        assert ready.driver.exports == set()
        assert ready.driver.called("initialize_connection") == []

    def test_an_update_that_cannot_be_stored_is_an_export_failure(self, ready: World) -> None:
        ready.driver.plan["create_export"] = {"provider_location": "x" * 300}

        with pytest.raises(errors.ExportFailure):
            initialize(ready)

        assert ready.driver.exports == set()

    def test_a_connector_that_lacks_something(self, ready: World) -> None:
        ready.driver.exports.add("volume-v1")  # another connector is connected
        ready.driver.plan["validate_connector"] = InvalidConnectorException("no initiator")

        with pytest.raises(errors.InvalidInput, match="no initiator"):
            initialize(ready)

        assert ready.driver.exports == {"volume-v1"}

    @pytest.mark.parametrize(
        "connector", [None, "iqn.1", ["iqn.1"], {"initiator": 7}, {"initiator": ["iqn.1"]}]
    )
    def test_a_connector_that_is_none_exports_nothing(self, ready: World, connector: Any) -> None:
        with pytest.raises(errors.InvalidInput):
            initialize(ready, connector)

        assert ready.driver.calls == []

    def test_secrets_do_not_reach_the_caller(self, ready: World) -> None:
        error = RuntimeError(f"no path for {CONNECTOR}")
        ready.driver.plan["initialize_connection"] = error

        with pytest.raises(VolumeBackendAPIException) as raised:
            initialize(ready)

        assert "no path" in str(raised.value)
        assert "hush" not in str(raised.value)


class TestTerminate:
    @pytest.mark.parametrize("connector", [CONNECTOR, None])
    def test_the_driver_gets_the_connector_and_force(self, ready: World, connector: Any) -> None:
        assert terminate(ready, connector, force=True) is None

        (call,) = ready.driver.called("terminate_connection")
        assert (call["connector"], call["force"]) == (connector, True)

    def test_force_only_for_a_driver_that_takes_it(
        self, ready: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def as_in_the_seed(self: Any, volume: Any, connector: Any) -> None:
            self.calls.append(("terminate_connection", {"connector": connector}))

        monkeypatch.setattr(type(ready.driver), "terminate_connection", as_in_the_seed)

        terminate(ready, force=True)

        assert ready.driver.called("terminate_connection") == [{"connector": CONNECTOR}]

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, ready: World, error: BaseException) -> None:
        ready.driver.plan["terminate_connection"] = error

        with pytest.raises(VolumeBackendAPIException):
            terminate(ready)


class TestRemoveExport:
    def test_it_goes(self, ready: World) -> None:
        ready.driver.exports.add("volume-v1")

        assert unexport(ready) is None

        assert ready.driver.exports == set()

    @pytest.mark.parametrize(("status", "stays"), [("in-use", True), ("detaching", False)])
    def test_an_export_that_an_attachment_uses_stays(
        self, ready: World, status: str, stays: bool
    ) -> None:
        """The call is an old one: its sender has ended its own connection before."""
        ready.add_attachment()
        ready.volume()["status"] = status

        unexport(ready)

        assert (ready.driver.called("remove_export") == []) is stays

    @pytest.mark.parametrize(
        "attachment", [{}, {"attach_status": "attaching", "connector": '{"host": "other"}'}]
    )
    def test_that_of_an_attached_volume_stays(self, ready: World, attachment: Any) -> None:
        """A backup or a copy that read the volume asks for it, while an instance uses it."""
        ready.driver.exports.add("volume-v1")
        ready.add_attachment(**attachment)

        assert unexport(ready) is None

        assert ready.driver.exports == {"volume-v1"}
        assert ready.driver.calls == []

    @pytest.mark.parametrize("method", ["create_export", "initialize_connection"])
    def test_a_connection_that_fails_keeps_that_of_an_attached_volume(
        self, ready: World, method: str
    ) -> None:
        ready.add_attachment()
        ready.driver.plan[method] = RuntimeError("full")

        with pytest.raises(VolumeBackendAPIException):
            initialize(ready)

        assert ready.driver.called("remove_export") == []

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, ready: World, error: BaseException) -> None:
        ready.driver.plan["remove_export"] = error

        with pytest.raises(VolumeBackendAPIException):
            unexport(ready)


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("run", [initialize, terminate, unexport])
class TestRefused:
    def test_a_driver_that_is_not_up(self, ready: World, run: Any) -> None:
        ready.driver_up = False

        with pytest.raises(errors.DriverNotInitialized):
            run(ready)

        assert ready.driver.calls == []

    def test_an_unknown_volume(self, world: World, run: Any) -> None:
        with pytest.raises(errors.VolumeNotFound):
            run(world)

    def test_a_volume_of_another_backend(self, world: World, run: Any) -> None:
        world.add_volume(host="node@other#pool")

        with pytest.raises(errors.Invalid):
            run(world)

        assert world.driver.calls == []


@pytest.mark.parametrize("repeated", [False, True])
def test_an_interrupted_connection_stays_where_its_caller_has_asked_again(
    ready: World, repeated: bool
) -> None:
    """Another host of a cluster may have carried out the second request before."""
    args = {"volume_id": "v1", "connector": CONNECTOR}
    ready.driver.plan["initialize_connection"] = Killed("killed")
    with pytest.raises(Killed):
        ready.run_in(ready.journal, connection.initialize, args)
    ready.driver.plan.clear()
    ready.revive()

    context = replace(ready.context(resumed=True), repeated=repeated)
    ready.run_in(
        ready.journal, connection.initialize, args, resumed=True, revert=True, context=context
    )

    ended = ready.driver.called("terminate_connection") + ready.driver.called("remove_export")
    assert (ended == []) is repeated
    assert (ready.driver.exports == {"volume-v1"}) is repeated
