# SPDX-License-Identifier: Apache-2.0
"""Creating a volume: spec/volume-rpc, create_volume, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface import errors as driver_errors
from flows import errors
from flows.volume import create
from tests.unit.flows.tables import NOT_SIZES, RAISED, RUBBISH
from tests.unit.flows.world import HOST, World

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


def test_an_unknown_volume_touches_nothing(world: World) -> None:
    outcome = run(world)

    assert outcome.failure.check(errors.VolumeNotFound)
    assert world.driver.calls == [] and world.messaged() == []


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

    def test_a_driver_that_is_not_up_goes_back(self, new: World) -> None:
        new.driver_up = False

        run(new, SPEC, RETRY)

        self._assert_handed_back(new)

    def _assert_handed_back(self, world: World) -> None:
        row = world.volume()
        assert (row["status"], row["host"]) == ("creating", None)
        assert row["scheduled_at"] is not None
        assert world.driver.objects == set()
        assert world.db.work == {("Volume", "v1"): "anybody's"}
        assert world.messaged() == []
        ((_, (request, volume, spec, properties), _),) = world.scheduler.calls
        assert request is world.request
        assert (volume.status, volume.host, spec) == ("creating", None, SPEC)
        assert properties["other"] == 1
        assert properties["retry"]["hosts"] == [HOST]
        assert all(isinstance(line, str) for line in properties["retry"]["exc"])

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


class TestSources:
    """The kinds, from the row first."""

    def test_from_a_snapshot(self, world: World) -> None:
        world.add_volume("v0", bootable=True)
        world.add_snapshot(volume_id="v0")
        world.db.pairs["image", "s1"] = {"os": "linux"}
        world.add_volume(status="creating", made=False, snapshot_id="s1", size=3)

        run(world)

        (call,) = world.driver.called("create_volume_from_snapshot")
        assert (call["volume"].size, call["snapshot"].id) == (3, "s1")
        assert world.volume()["status"] == "available"
        assert world.volume()["bootable"] is True
        assert world.db.pairs["image", "v1"] == {"os": "linux"}

    def test_a_clone(self, world: World) -> None:
        world.add_volume("v0", status="in-use")
        world.add_volume(status="creating", made=False, source_volid="v0")

        run(world)

        (call,) = world.driver.called("create_cloned_volume")
        assert call["source"].id == "v0"
        assert world.volume()["status"] == "available"
        assert world.volume()["bootable"] is None
        assert world.volume("v0")["status"] == "in-use"

    def test_a_driver_without_clones_clones_through_a_snapshot(self, world: World) -> None:
        world.add_volume("v0", provider_location="original", provider_id="original")
        world.add_volume(status="creating", made=False, source_volid="v0")
        world.driver.missing.add("create_cloned_volume")
        world.driver.plan["create_snapshot"] = {"provider_id": "moment"}

        run(world)

        (call,) = world.driver.called("create_volume_from_snapshot")
        assert call["snapshot"].provider_id == "moment"
        assert call["snapshot"].volume.id == "v0"
        for call in world.driver.called("delete_snapshot"):
            assert call["snapshot"].provider_location is None
        assert world.driver.objects == {"volume-v0", "volume-v1"}

    @pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
    def test_a_source_that_is_gone(self, world: World, source: str) -> None:
        world.add_volume(status="creating", made=False, **{source: "gone"})

        run(world, SPEC, RETRY)

        assert world.volume()["status"] == "error"
        assert world.driver.objects == set()

    @pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
    def test_a_volume_smaller_than_its_source_is_refused(self, world: World, source: str) -> None:
        world.add_volume("v0", size=5)
        world.add_snapshot("v0", volume_id="v0", volume_size=5)
        world.add_volume(status="creating", made=False, **{source: "v0"})

        outcome = run(world)

        assert outcome.failure.check(errors.InvalidInput)
        assert world.volume()["status"] == "error"

    @pytest.mark.parametrize("kind", ["image_id", "backup_id"])
    @pytest.mark.parametrize("sent", ["plain", "object"])
    def test_a_source_that_we_cannot_read_gives_no_empty_volume(
        self, new: World, kind: str, sent: str
    ) -> None:
        spec = {**SPEC, kind: "i1"}

        run(new, spec if sent == "plain" else {"versioned_object.data": spec}, RETRY)

        assert new.volume()["status"] == "error"
        assert new.driver.called("create_volume") == []

    def test_image_metadata_that_cannot_be_copied_ends_in_error(self, world: World) -> None:
        world.add_volume("v0", bootable=True)
        world.add_volume(status="creating", made=False, source_volid="v0")
        world.db.image_metadata_fails = True

        outcome = run(world, SPEC, RETRY)

        assert outcome.failure.check(errors.MetadataCopyFailure)
        assert world.volume()["status"] == "error"
        assert world.driver.objects == {"volume-v0"}
        assert world.scheduler.calls == []


class TestMovedOn:
    """Others change the row while the driver works."""

    def test_a_volume_that_is_in_use_keeps_its_data(self, new: World) -> None:
        new.driver.plan["create_volume"] = lambda **_: new.volume().update(status="in-use")

        assert run(new).state == "done"

        assert new.volume()["status"] == "in-use"
        assert new.driver.objects == {"volume-v1"}

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
    def test_a_row_that_goes_meanwhile_leaves_nothing_behind(self, new: World, answer: Any) -> None:
        def go(**_: Any) -> Any:
            new.volume().update(deleted=True)
            return answer

        new.driver.plan["create_volume"] = go

        outcome = run(new)

        assert outcome.failure.check(errors.VolumeNotFound)
        if answer is not None:
            assert new.driver.objects == set()
