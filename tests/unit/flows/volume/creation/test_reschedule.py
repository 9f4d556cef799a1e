# SPDX-License-Identifier: Apache-2.0
"""A creation that fails goes back to the scheduler, or not: spec/volume-rpc, create_volume."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface import errors as driver_errors
from flows import errors
from flows.volume import create
from tests.unit.flows.tables import RAISED
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import HOST, World

SPEC = {"volume_id": "v1"}
RETRY = {"retry": {"num_attempts": 1, "hosts": [HOST]}, "other": 1}


def run(world: World, spec: Any = None, properties: Any = None, allow: bool = True) -> Any:
    return world.run(
        create.flow,
        volume_id="v1",
        request_spec=spec,
        filter_properties=properties,
        allow_reschedule=allow,
    )


@pytest.fixture
def new(world: World) -> World:
    world.add_volume(status="creating", made=False)
    return world


class TestReschedule:
    """The table of failures: who is given back to the scheduler."""

    @pytest.mark.parametrize(
        "error",
        [*RAISED, pytest.param(driver_errors.ResourceBusy("full"), id="any other")],
    )
    def test_any_other_failure_goes_back(self, new: World, error: BaseException) -> None:
        new.driver.plan["create_volume"] = error

        assert run(new, SPEC, RETRY).state == "failed"

        self._assert_handed_back(new)
        assert new.messaged() == [("008", "012")]

    def test_a_driver_that_is_not_up_goes_back(self, new: World) -> None:
        new.driver_up = False

        run(new, SPEC, RETRY)

        self._assert_handed_back(new)
        assert new.messaged() == []

    @pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
    def test_a_try_from_a_source_has_no_message(self, new: World, source: str) -> None:
        new.add_volume("v0")
        new.add_snapshot("s0", "v0")
        new.volume()[source] = "s0" if source == "snapshot_id" else "v0"
        call = "create_volume_from_snapshot" if source == "snapshot_id" else "create_cloned_volume"
        new.driver.plan[call] = RuntimeError()

        run(new, SPEC, RETRY)

        assert new.volume()["host"] is None
        assert new.messaged() == []

    def _assert_handed_back(self, world: World) -> None:
        row = world.volume()
        assert (row["status"], row["host"]) == ("creating", None)
        assert row["scheduled_at"] is not None
        assert world.driver.objects == set()
        assert world.db.work == {("Volume", "v1"): "anybody's"}
        ((_, (request, volume, spec, properties), _),) = world.scheduler.calls
        assert request is world.request
        assert (volume.status, volume.host, spec) == ("creating", None, SPEC)
        assert properties["other"] == 1
        assert properties["retry"]["hosts"] == [HOST]
        assert all(isinstance(line, str) for line in properties["retry"]["exc"])
        assert "Traceback" in "".join(properties["retry"]["exc"])

    def test_the_leftover_goes_before_the_cast(self, new: World) -> None:
        new.driver.plan["create_volume"] = RuntimeError()

        run(new, SPEC, RETRY)

        order = [e for e in new.effects if e.startswith(("driver.delete", "scheduler"))]
        assert order == ["driver.delete_volume", "scheduler.create_volume"]

    @pytest.mark.parametrize(
        ("spec", "properties", "allow"),
        [
            pytest.param(SPEC, RETRY, False, id="not allowed"),
            pytest.param(None, RETRY, True, id="no request spec"),
            pytest.param(SPEC, {}, True, id="no retry"),
            pytest.param(SPEC, {"retry": {}}, True, id="empty retry"),
            pytest.param(SPEC, None, True, id="no filter properties"),
        ],
    )
    def test_not_possible(self, new: World, spec: Any, properties: Any, allow: bool) -> None:
        new.driver.plan["create_volume"] = RuntimeError()

        run(new, spec, properties, allow)

        assert (new.volume()["status"], new.volume()["host"]) == ("error", HOST)
        assert new.scheduler.calls == []

    @pytest.mark.parametrize(
        "error",
        [
            driver_errors.ImageCopyFailure("x"),
            driver_errors.ImageConversionNotAllowed("x"),
            driver_errors.ImageUnacceptable("x"),
            driver_errors.ImageTooBig("x"),
            errors.MetadataCopyFailure("x"),
            errors.VolumeNotFound("x"),
            errors.SnapshotNotFound("x"),
            errors.VolumeTypeNotFound("x"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_fails_everywhere_stays_here(self, new: World, error: Exception) -> None:
        new.driver.plan["create_volume"] = error

        run(new, SPEC, RETRY)

        assert new.volume()["status"] == "error"
        assert new.scheduler.calls == []

    def test_a_scheduler_that_cannot_be_reached_leaves_an_error(self, new: World) -> None:
        new.driver.plan["create_volume"] = RuntimeError()
        new.scheduler.error = ConnectionError("no broker")

        run(new, SPEC, RETRY)

        assert (new.volume()["status"], new.volume()["host"]) == ("error", HOST)

    def test_a_volume_that_is_in_use_by_now_does_not_go_back(self, new: World) -> None:
        def fail(**_: Any) -> None:
            new.volume()["status"] = "in-use"
            raise RuntimeError

        new.driver.plan["create_volume"] = fail

        run(new, SPEC, RETRY)

        assert (new.volume()["status"], new.volume()["host"]) == ("in-use", HOST)
        assert new.scheduler.calls == []
        assert new.messaged() == []

    def test_killed_before_the_cast_it_is_cast_after_the_resume(self, new: World) -> None:
        new.driver.plan["create_volume"] = RuntimeError("no space")
        args = {"request_spec": SPEC, "filter_properties": RETRY, "allow_reschedule": True}
        probe = ["workers.claim", "notifier.volume", "driver.create_volume", "volumes.transition"]
        new.strike_at(len([*probe, "driver.delete_volume", "volumes.transition"]), "before")
        with pytest.raises(Killed):
            new.run(create.flow, volume_id="v1", **args)
        new.revive()

        new.run(create.flow, resumed=True, volume_id="v1", **args)

        ((_, (_, _, _, properties), _),) = new.scheduler.calls
        assert "no space" in "".join(properties["retry"]["exc"])

    def test_a_volume_that_is_on_its_way_elsewhere_is_not_given_back_again(
        self, new: World
    ) -> None:
        def fail(**_: Any) -> None:
            new.volume()["host"] = "node@other#pool"
            raise RuntimeError

        new.driver.plan["create_volume"] = fail

        run(new, SPEC, RETRY)

        row = new.volume()
        assert (row["status"], row["host"]) == ("creating", "node@other#pool")
        assert new.scheduler.calls == []

    def test_what_was_cut_short_too_often_is_not_given_to_the_next_service(
        self, new: World
    ) -> None:
        world = new
        args = {"volume_id": "v1", "request_spec": SPEC, "filter_properties": RETRY}

        world.run(create.flow, resumed=True, revert=True, allow_reschedule=True, **args)

        assert world.volume()["status"] == "error"
        assert world.scheduler.calls == []
