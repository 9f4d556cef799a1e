# SPDX-License-Identifier: Apache-2.0
"""Extending a volume: spec/volume-rpc, extend_volume and extend_volume_completion."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import ComputeError, TargetUpdateFailed
from flows import errors
from flows.volume import extend
from tests.unit.flows.tables import NOT_SIZES, RAISED
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World


@pytest.fixture
def growing(world: World) -> World:
    world.add_volume(status="extending", size=3)
    return world


def run(world: World, new_size: Any = 5, **how: bool) -> Any:
    reservations = [world.db.quota.reserve("gigabytes", 2)]
    args = {"volume_id": "v1", "new_size": new_size, "reservations": reservations}
    return world.run(extend.flow, **args, **how)


def complete(world: World, error: bool, new_size: Any = 5) -> Any:
    reservations = [world.db.quota.reserve("gigabytes", 2)]
    args = {"volume_id": "v1", "new_size": new_size, "reservations": reservations}
    return world.run(extend.completion, error=error, **args)


def assert_failed(world: World, detail: str = "010") -> None:
    assert (world.volume()["status"], world.volume()["size"]) == ("error_extending", 3)
    assert world.db.quota.open == {}
    assert world.db.quota.used["gigabytes"] == 3
    assert world.messaged() == [("007", detail)]
    assert "volume.resize.end" not in world.notified()


def assert_extended(world: World, status: str = "available") -> None:
    assert (world.volume()["status"], world.volume()["size"]) == (status, 5)
    assert world.db.quota.open == {}
    assert world.db.quota.used["gigabytes"] == 5
    assert world.shown("volume.resize.end").size == 5


def test_a_volume_grows(growing: World) -> None:
    assert run(growing).state == "done"

    assert_extended(growing)
    assert growing.driver.sizes == {"volume-v1": 5}
    assert growing.notified() == ["volume.resize.start", "volume.resize.end"]


def test_one_with_attachments_is_in_use_again(growing: World) -> None:
    growing.add_attachment()

    run(growing)

    assert_extended(growing, "in-use")


@pytest.mark.parametrize("instances", [["i1"], ["i1", "i2", "i1"]])
def test_instances_that_have_it_are_told(growing: World, instances: list[str]) -> None:
    for number, instance in enumerate(instances):
        growing.add_attachment(f"a{number}", instance_uuid=instance)
    growing.add_attachment("a9", attached_host="h", instance_uuid=None)

    assert run(growing).state == "done"

    assert growing.compute.told == [("extended", "v1", sorted(set(instances)))]
    assert growing.effects[-1] == "compute.volume_extended"
    assert growing.messaged() == []


def test_nobody_is_told_of_an_extension_that_failed(growing: World) -> None:
    growing.add_attachment(instance_uuid="i1")
    growing.driver.plan["extend_volume"] = OSError("no")
    run(growing)

    assert growing.compute.told == []


def test_news_that_are_not_taken_fail_nothing(
    growing: World, caplog: pytest.LogCaptureFixture
) -> None:
    growing.add_attachment(instance_uuid="i1")
    growing.compute.error = ComputeError("Nova refused: 403")

    assert run(growing).state == "done"

    assert_extended(growing, "in-use")
    assert growing.messaged() == [("007", "009")]
    assert "volume v1: the compute service was not notified: Nova refused: 403" in caplog.text


def test_what_is_done_is_not_undone_for_its_news(growing: World) -> None:
    """Meanwhile the volume is extended again."""
    growing.add_attachment(instance_uuid="i1")
    growing.compute.error = Killed("while it tells")
    with pytest.raises(Killed):
        run(growing)
    growing.compute.error = None
    growing.volume()["status"] = "extending"
    growing.db.quota.reserve("gigabytes", 3)
    args = {"volume_id": "v1", "new_size": 5, "reservations": []}

    assert growing.run(extend.flow, resumed=True, revert=True, **args).state == "done"
    assert (growing.volume()["status"], growing.volume()["size"]) == ("extending", 5)
    assert growing.compute.told == [("extended", "v1", ["i1"])]
    assert growing.messaged() == []


def test_a_completion_tells_nobody(growing: World) -> None:
    """The host that took part reports it."""
    growing.add_attachment(instance_uuid="i1")
    complete(growing, error=False)

    assert growing.compute.told == []


def test_an_export_that_shows_the_old_size_is_a_success(growing: World) -> None:
    growing.driver.plan["extend_volume"] = TargetUpdateFailed("rescan it")

    assert run(growing).state == "done"

    assert_extended(growing)


@pytest.mark.parametrize("error", RAISED)
def test_whatever_the_driver_raises(growing: World, error: BaseException) -> None:
    growing.driver.plan["extend_volume"] = error

    assert run(growing).state == "failed"

    assert_failed(growing)


@pytest.mark.usefixtures("tidy")
def test_a_driver_that_is_not_up(growing: World) -> None:
    growing.driver_up = False

    run(growing)

    assert_failed(growing, "002")


@pytest.mark.parametrize(
    "size", [*NOT_SIZES, pytest.param(3, id="the same"), pytest.param(2, id="smaller")]
)
def test_a_size_that_is_no_growth_never_reaches_the_driver(growing: World, size: Any) -> None:
    outcome = run(growing, size)

    assert outcome.failure.check(errors.InvalidInput)
    assert_failed(growing)
    assert growing.driver.calls == []


@pytest.mark.parametrize(
    ("status", "host"),
    [
        pytest.param("available", "node@backend#pool", id="wrong status"),
        pytest.param("extending", "node@other#pool", id="other backend"),
    ],
)
@pytest.mark.usefixtures("tidy")
def test_what_is_not_ours_is_left_as_it_is(world: World, status: str, host: str) -> None:
    world.add_volume(status=status, host=host)
    before = dict(world.volume())

    assert run(world).state == "failed"

    assert world.volume() == before
    assert world.driver.calls == [] and world.messaged() == []


@pytest.mark.usefixtures("tidy")
def test_an_unknown_volume(world: World) -> None:
    assert run(world).failure.check(errors.VolumeNotFound)


@pytest.mark.parametrize("reset", [{"status": "available"}, {"deleted": True}])
def test_one_that_was_reset_after_a_kill_leaves_no_mark(
    growing: World, reset: dict[str, Any]
) -> None:
    """The mark would refuse a later extension that is resumed before it has begun."""
    growing.driver.plan["extend_volume"] = Killed("while it grows")
    with pytest.raises(Killed):
        run(growing)
    growing.revive()
    assert growing.db.work
    growing.volume().update(reset)

    assert run(growing, resumed=True).state == "done"
    assert not growing.db.work


def test_a_second_extension_is_not_ended_by_the_first_ones_resume(growing: World) -> None:
    """Killed after its last write, while the API asks for more."""
    first = {"volume_id": "v1", "new_size": 5, "reservations": []}
    world = growing
    world.run(extend.flow, **first)
    world.volume()["status"] = "extending"

    world.run(extend.flow, resumed=True, **first)

    assert world.volume()["status"] == "extending"


class TestCompletion:
    def test_the_host_succeeded(self, growing: World) -> None:
        assert complete(growing, error=False).state == "done"

        assert_extended(growing)
        assert growing.driver.calls == []

    def test_the_host_failed(self, growing: World) -> None:
        complete(growing, error=True)

        assert_failed(growing)

    def test_it_needs_no_driver(self, growing: World) -> None:
        growing.driver_up = False

        complete(growing, error=False)

        assert_extended(growing)

    @pytest.mark.parametrize("size", NOT_SIZES)
    def test_a_size_that_is_none(self, growing: World, size: Any) -> None:
        complete(growing, error=False, new_size=size)

        assert_failed(growing)
