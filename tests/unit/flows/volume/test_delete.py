# SPDX-License-Identifier: Apache-2.0
"""Deleting and unmanaging a volume: spec/volume-rpc, delete_volume."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import VolumeIsBusy
from flows import errors
from flows.volume import delete
from tests.unit.flows.tables import RAISED
from tests.unit.flows.world.world import World

EMPTY = {"volumes": 0, "gigabytes": 0, "snapshots": 0}
OTHER = "node@other#pool"


def run(world: World, unmanage_only: bool = False, cascade: bool = False) -> Any:
    return world.run(delete.flow, volume_id="v1", unmanage_only=unmanage_only, cascade=cascade)


@pytest.fixture
def old(world: World) -> World:
    world.add_volume(status="deleting", size=3)
    return world


def driver_calls(world: World) -> list[str]:
    return [name for name, _ in world.driver.calls]


def test_a_volume_goes_with_its_export_and_its_quota(old: World) -> None:
    assert run(old).state == "done"

    assert old.volume()["deleted"]
    assert driver_calls(old) == ["remove_export", "delete_volume"]
    assert old.driver.objects == set()
    assert old.db.quota.used == EMPTY
    assert old.notified() == ["volume.delete.start", "volume.delete.end"]
    assert old.shown("volume.delete.end").status == "deleted"
    assert old.backend.reports == 1
    assert old.db.work == {}


@pytest.mark.parametrize("launched", [None, "2026-01-01"])
def test_an_interrupted_clone_goes_with_its_temporary_snapshot(
    world: World, launched: str | None
) -> None:
    world.add_volume("v0")
    world.add_volume(status="deleting", source_volid="v0", launched_at=launched)

    assert run(world).state == "done"
    found = [call["snapshot"].name for call in world.driver.called("delete_snapshot")]
    assert found == ([] if launched else ["clone-v1"])


@pytest.mark.parametrize("source", [{"host": OTHER}, {"deleted": True}])
def test_an_interrupted_clone_of_a_volume_that_is_not_here_goes(
    world: World, source: dict[str, Any]
) -> None:
    world.add_volume("v0", **source)
    world.add_volume(status="deleting", source_volid="v0")

    assert run(world).state == "done"
    assert driver_calls(world) == ["remove_export", "delete_volume"]


@pytest.mark.usefixtures("tidy")
def test_a_row_that_is_gone_is_a_quiet_success(world: World) -> None:
    assert run(world).state == "done"

    assert world.driver.calls == [] and world.notified() == []


def test_a_row_outside_the_quota_gives_nothing_back(world: World) -> None:
    world.add_volume(status="deleting", use_quota=False)

    run(world)

    assert world.volume()["deleted"]
    assert world.db.quota.used == EMPTY
    assert world.notified() == []


def test_what_was_never_managed_gives_back_its_number_only(world: World) -> None:
    world.add_volume(status="error_managing_deleting", size=0)
    world.volume()["size"] = 5

    run(world)

    assert world.volume()["deleted"]
    assert world.db.quota.used == EMPTY


@pytest.mark.parametrize("method", ["remove_export", "delete_volume"])
@pytest.mark.parametrize("error", RAISED)
def test_whatever_the_driver_raises(old: World, method: str, error: BaseException) -> None:
    old.driver.plan[method] = error

    assert run(old).state == "failed"

    assert old.volume()["status"] == "error_deleting"
    assert old.db.quota.used["gigabytes"] == 3
    assert old.notified() == ["volume.delete.start"]
    assert old.db.work == {}


@pytest.mark.parametrize("method", ["remove_export", "delete_volume"])
def test_busy_is_available_again(old: World, method: str) -> None:
    old.driver.plan[method] = VolumeIsBusy("attached on the backend")

    outcome = run(old)

    assert outcome.failure.check(VolumeIsBusy)
    assert old.volume()["status"] == "available"
    assert old.db.quota.used["volumes"] == 1


@pytest.mark.usefixtures("tidy")
def test_a_driver_that_is_not_up(old: World) -> None:
    old.driver_up = False

    run(old)

    assert old.volume()["status"] == "error_deleting"


def test_an_unmanaged_volume_is_marked_for_audits(world: World) -> None:
    world.add_volume(status="unmanaging")

    run(world, unmanage_only=True)

    assert world.db.pairs["admin_metadata", "v1"] == {delete.UNMANAGED: "True"}


@pytest.mark.parametrize(
    ("columns", "unmanage", "cascade", "error", "status"),
    [
        pytest.param(
            {"attach_status": "attached"}, False, False, errors.VolumeAttached, "error_deleting",
            id="attached",
        ),
        pytest.param(
            {"attach_status": "attached"}, True, False, errors.VolumeAttached, "error_unmanaging",
            id="attached, unmanage",
        ),
        pytest.param(
            {"host": OTHER}, False, False, errors.Invalid, "deleting", id="not ours",
        ),
        pytest.param(
            {"host": OTHER}, True, False, errors.Invalid, "unmanaging", id="not ours, unmanage",
        ),
        pytest.param(
            {"host": None}, False, False, errors.Invalid, "error_deleting", id="without a host",
        ),
        pytest.param(
            {"encryption_key_id": "k"}, True, False, errors.Invalid, "error_unmanaging",
            id="unmanage of an encrypted one",
        ),
        pytest.param({}, True, True, errors.Invalid, "error_unmanaging", id="unmanage and cascade"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("tidy")
def test_what_is_refused(
    world: World, columns: Any, unmanage: bool, cascade: bool, error: Any, status: str
) -> None:
    world.add_volume(status="unmanaging" if unmanage else "deleting", **columns)

    outcome = run(world, unmanage, cascade)

    assert outcome.failure.check(error)
    assert world.volume()["status"] == status
    assert world.driver.calls == []
    assert world.driver.objects == {"volume-v1"}


@pytest.mark.parametrize("status", ["available", "in-use", "creating", "error_deleting"])
@pytest.mark.usefixtures("tidy")
def test_a_wrong_status_is_left_as_it_is(world: World, status: str) -> None:
    world.add_volume(status=status)

    outcome = run(world)

    assert outcome.failure.check(errors.StatusChanged)
    assert world.volume()["status"] == status
    assert world.driver.calls == [] and world.notified() == []


class TestMigrationDestination:
    def test_it_is_destroyed_instead_of_failing(self, world: World) -> None:
        world.add_volume(status="deleting", use_quota=False, migration_status="target:v0")
        world.driver.plan["delete_volume"] = RuntimeError()

        run(world)

        assert world.volume()["deleted"]
        assert world.db.quota.used == EMPTY

    def test_but_not_where_it_is_another_backends(self, world: World) -> None:
        world.add_volume(status="deleting", migration_status="target:v0", host=OTHER)

        run(world)

        assert world.volume()["status"] == "deleting"
        assert world.driver.calls == []


class TestUnmanage:
    @pytest.fixture
    def managed(self, world: World) -> World:
        world.add_volume(status="unmanaging")
        return world

    def test_it_forgets_and_keeps_the_data(self, managed: World) -> None:
        assert run(managed, unmanage_only=True).state == "done"

        assert managed.volume()["deleted"]
        assert driver_calls(managed) == ["remove_export", "unmanage"]
        assert managed.driver.objects == {"volume-v1"}
        assert managed.notified() == ["volume.unmanage.start", "volume.unmanage.end"]
        assert managed.db.quota.used == EMPTY

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, managed: World, error: BaseException) -> None:
        managed.driver.plan["unmanage"] = error

        run(managed, unmanage_only=True)

        assert managed.volume()["status"] == "error_unmanaging"

    def test_a_driver_that_cannot(self, managed: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(type(managed.driver), "unmanage")

        outcome = run(managed, unmanage_only=True)

        assert "cannot unmanage volume v1" in outcome.failure.exception_str
        assert managed.volume()["status"] == "error_unmanaging"

    @pytest.mark.usefixtures("tidy")
    def test_a_driver_that_is_not_up(self, managed: World) -> None:
        managed.driver_up = False

        run(managed, unmanage_only=True)

        assert managed.volume()["status"] == "error_unmanaging"
