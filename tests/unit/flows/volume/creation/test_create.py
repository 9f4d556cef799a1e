# SPDX-License-Identifier: Apache-2.0
"""Creating a volume: spec/volume-rpc, create_volume, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from flows import errors
from flows.volume import create
from tests.unit.flows.tables import NOT_SIZES, RAISED, RUBBISH
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


def test_an_empty_volume_becomes_available(new: World) -> None:
    assert run(new).state == "done"

    row = new.volume()
    assert row["status"] == "available"
    assert row["launched_at"] is not None
    assert row["service_uuid"] == "service-uuid"
    assert new.driver.objects == {"volume-v1"}
    assert new.notified() == ["volume.create.start", "volume.create.end"]
    assert new.shown("volume.create.end").status == "available"
    assert new.db.work == {}


def test_a_volume_outside_the_quota_is_not_notified(world: World) -> None:
    world.add_volume(status="creating", made=False, use_quota=False)

    run(world)

    assert world.volume()["status"] == "available"
    assert world.notified() == []


@pytest.mark.parametrize(
    ("stats", "shared"),
    [
        pytest.param({"storage_protocol": "iSCSI"}, True, id="iSCSI"),
        pytest.param({"storage_protocol": "iSCSI", "shared_targets": False}, False, id="said so"),
        pytest.param({"storage_protocol": "NVMe-oF"}, None, id="NVMe"),
        pytest.param({"storage_protocol": "nfs"}, False, id="other"),
        pytest.param({}, False, id="no statistics yet"),
    ],
)
def test_shared_targets_follow_the_protocol(new: World, stats: Any, shared: Any) -> None:
    new.stats = stats

    run(new)

    assert new.volume()["shared_targets"] is shared


def test_what_the_driver_says_is_stored_and_its_status_is_not(new: World) -> None:
    new.driver.plan["create_volume"] = {
        "id": "v1",
        "provider_location": "here",
        "metadata": {"k": "v"},
        "status": "error",
    }

    run(new)

    assert new.volume()["provider_location"] == "here"
    assert new.volume()["status"] == "available"
    assert new.db.pairs["metadata", "v1"] == {"k": "v"}


@pytest.mark.parametrize("error", RAISED)
def test_whatever_the_driver_raises_ends_in_error(new: World, error: BaseException) -> None:
    new.driver.plan["create_volume"] = error

    assert run(new).state == "failed"

    assert new.volume()["status"] == "error"
    assert new.volume()["host"] == HOST
    assert new.driver.objects == set()
    assert new.messaged() == [("008", "012")]
    assert new.notified() == ["volume.create.start"]
    assert new.scheduler.calls == []


@pytest.mark.parametrize("answer", RUBBISH)
def test_rubbish_ends_in_error_and_leaves_nothing(new: World, answer: Any) -> None:
    new.driver.plan["create_volume"] = answer

    outcome = run(new)

    assert outcome.failure.check(errors.DriverReturnedRubbish)
    assert "create_volume of volume v1" in outcome.failure.exception_str
    assert new.volume()["status"] == "error"
    assert new.driver.objects == set()


@pytest.mark.parametrize("size", NOT_SIZES)
def test_a_size_that_is_none_never_reaches_the_driver(world: World, size: Any) -> None:
    world.add_volume(status="creating", made=False)
    world.volume()["size"] = size

    outcome = run(world, SPEC, RETRY)

    assert outcome.failure.check(errors.InvalidInput)
    assert world.volume()["status"] == "error"
    assert world.driver.called("create_volume") == []
    assert world.scheduler.calls == []


@pytest.mark.usefixtures("tidy")
def test_a_driver_that_is_not_up_is_not_asked(new: World) -> None:
    new.driver_up = False

    run(new)

    assert new.volume()["status"] == "error"
    assert new.messaged() == [("008", "002")]
    assert new.driver.calls == []


@pytest.mark.parametrize(
    ("status", "host", "error"),
    [
        pytest.param("available", HOST, errors.StatusChanged, id="wrong status"),
        pytest.param("creating", "node@other#pool", errors.Invalid, id="other backend"),
        pytest.param("creating", "node@backend2#pool", errors.Invalid, id="name that begins so"),
        pytest.param("creating", None, errors.Invalid, id="no host"),
    ],
)
@pytest.mark.usefixtures("tidy")
def test_what_is_not_ours_is_left_as_it_is(
    world: World, status: str, host: Any, error: Any
) -> None:
    world.add_volume(status=status, host=host, made=False)
    before = dict(world.volume())

    outcome = run(world, SPEC, RETRY)

    assert outcome.failure.check(error)
    assert world.volume() == before
    assert world.driver.calls == []
    assert world.messaged() == [] and world.notified() == []


@pytest.mark.usefixtures("tidy")
def test_an_unknown_volume_touches_nothing(world: World) -> None:
    outcome = run(world)

    assert outcome.failure.check(errors.VolumeNotFound)
    assert world.driver.calls == [] and world.messaged() == []


class TestMovedOn:
    """Others change the row while the driver works."""

    def test_a_volume_that_is_in_use_keeps_its_data(self, new: World) -> None:
        new.driver.plan["create_volume"] = lambda **_: new.volume().update(status="in-use")

        assert run(new).state == "done"

        assert new.volume()["status"] == "in-use"
        assert new.driver.objects == {"volume-v1"}
        assert new.notified() == ["volume.create.start"]

    def test_a_failure_does_not_delete_what_is_in_use(self, new: World) -> None:
        def fail(**_: Any) -> None:
            new.volume().update(status="in-use")
            raise RuntimeError

        new.driver.plan["create_volume"] = fail

        run(new)

        assert new.volume()["status"] == "in-use"
        assert new.driver.objects == {"volume-v1"}
        assert new.messaged() == []

    @pytest.mark.parametrize("answer", [None, {"provider_id": "x"}])
    @pytest.mark.usefixtures("tidy")
    def test_a_row_that_goes_meanwhile_leaves_nothing_behind(self, new: World, answer: Any) -> None:
        def go(**_: Any) -> Any:
            new.volume().update(deleted=True)
            return answer

        new.driver.plan["create_volume"] = go

        outcome = run(new)

        assert outcome.failure.check(errors.VolumeNotFound)
        assert new.driver.objects == set()
