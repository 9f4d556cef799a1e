# SPDX-License-Identifier: Apache-2.0
"""Snapshots: spec/volume-rpc, create_snapshot and delete_snapshot."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import SnapshotIsBusy, SnapshotLimitExceeded
from flows import errors
from flows.context import Options
from flows.snapshot import create, delete
from tests.unit.flows.tables import RAISED, RUBBISH
from tests.unit.flows.world.world import World


def make(world: World) -> Any:
    return world.run(create.flow, snapshot_id="s1")


def drop(world: World, unmanage_only: bool = False) -> Any:
    return world.run(delete.flow, snapshot_id="s1", unmanage_only=unmanage_only)


@pytest.fixture
def volume(world: World) -> World:
    world.add_volume(encryption_key_id="key")
    return world


@pytest.fixture
def new(volume: World) -> World:
    volume.add_snapshot(status="creating", made=False)
    return volume


@pytest.fixture
def old(volume: World) -> World:
    volume.add_snapshot(status="deleting")
    return volume


class TestCreate:
    def test_it_becomes_available(self, new: World) -> None:
        new.driver.plan["create_snapshot"] = {"provider_id": "p1"}

        assert make(new).state == "done"

        row = new.snapshot()
        assert (row["status"], row["progress"]) == ("available", "100%")
        assert (row["encryption_key_id"], row["provider_id"]) == ("key", "p1")
        assert new.driver.objects == {"volume-v1", "snapshot-s1"}
        assert new.notified() == ["snapshot.create.start", "snapshot.create.end"]
        assert new.db.work == {}

    def test_a_bootable_volumes_image_metadata_goes_along(self, new: World) -> None:
        new.volume()["bootable"] = True
        new.db.pairs["image", "v1"] = {"os": "linux"}

        make(new)

        assert new.db.pairs["image", "s1"] == {"os": "linux"}

    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(self, new: World, error: BaseException) -> None:
        new.driver.plan["create_snapshot"] = error

        assert make(new).state == "failed"

        assert new.snapshot()["status"] == "error"
        assert new.driver.objects == {"volume-v1"}
        assert new.messaged() == [("009", "013")]
        assert new.messages.calls[0][2]["resource_type"] == "VOLUME_SNAPSHOT"
        assert new.notified() == ["snapshot.create.start"]

    def test_a_limit_of_the_backend_is_a_message_of_its_own(self, new: World) -> None:
        new.driver.plan["create_snapshot"] = SnapshotLimitExceeded("4096 at most")

        assert make(new).state == "failed"
        assert new.messaged() == [("009", "006")]

    @pytest.mark.parametrize("answer", RUBBISH)
    def test_rubbish(self, new: World, answer: Any) -> None:
        new.driver.plan["create_snapshot"] = answer

        outcome = make(new)

        assert outcome.failure.check(errors.DriverReturnedRubbish)
        assert new.snapshot()["status"] == "error"
        assert new.driver.objects == {"volume-v1"}

    @pytest.mark.usefixtures("tidy")
    def test_a_driver_that_is_not_up(self, new: World) -> None:
        new.driver_up = False

        make(new)

        assert new.snapshot()["status"] == "error"
        assert new.messaged() == [("009", "002")]
        assert new.driver.calls == []

    def test_image_metadata_that_cannot_be_copied(self, new: World) -> None:
        new.volume()["bootable"] = True
        new.db.image_metadata_fails = True

        outcome = make(new)

        assert outcome.failure.check(errors.MetadataCopyFailure)
        assert new.snapshot()["status"] == "error"
        assert new.messaged() == [("009", "014")]
        assert new.driver.objects == {"volume-v1"}

    def test_a_failure_does_not_delete_what_moved_on(self, new: World) -> None:
        def fail(**_: Any) -> None:
            new.snapshot().update(status="available")
            raise RuntimeError

        new.driver.plan["create_snapshot"] = fail

        make(new)

        assert new.snapshot()["status"] == "available"
        assert new.messaged() == []
        assert new.driver.objects == {"volume-v1", "snapshot-s1"}


class TestDelete:
    def test_it_goes_with_its_quota(self, old: World) -> None:
        assert drop(old).state == "done"

        assert old.snapshot()["deleted"]
        assert [name for name, _ in old.driver.calls] == ["delete_snapshot"]
        assert old.driver.objects == {"volume-v1"}
        assert old.db.quota.used == {"volumes": 1, "gigabytes": 1, "snapshots": 0}
        assert old.notified() == ["snapshot.delete.start", "snapshot.delete.end"]
        assert old.shown("snapshot.delete.end").deleted is True

    def test_gigabytes_that_were_not_counted_are_not_given_back(self, old: World) -> None:
        old.options = Options(no_snapshot_gb_quota=True)

        drop(old)

        assert old.db.quota.used == {"volumes": 1, "gigabytes": 2, "snapshots": 0}

    def test_one_outside_the_quota_gives_nothing_back(self, volume: World) -> None:
        volume.add_snapshot(status="deleting", use_quota=False)

        drop(volume)

        assert volume.db.quota.used == {"volumes": 1, "gigabytes": 1, "snapshots": 0}

    def test_unmanaging_keeps_the_data(self, volume: World) -> None:
        volume.add_snapshot(status="unmanaging")

        drop(volume, unmanage_only=True)

        assert [name for name, _ in volume.driver.calls] == ["unmanage_snapshot"]
        assert volume.snapshot()["deleted"]
        assert volume.driver.objects == {"volume-v1", "snapshot-s1"}

    @pytest.mark.parametrize("unmanage", [False, True])
    @pytest.mark.parametrize("error", RAISED)
    def test_whatever_the_driver_raises(
        self, volume: World, unmanage: bool, error: BaseException
    ) -> None:
        volume.add_snapshot(status="unmanaging" if unmanage else "deleting")
        volume.driver.plan["unmanage_snapshot" if unmanage else "delete_snapshot"] = error

        assert drop(volume, unmanage).state == "failed"

        assert volume.snapshot()["status"] == "error_deleting"
        assert volume.messaged() == [("010", "016")]
        assert volume.db.quota.used["snapshots"] == 1

    def test_busy_is_available_again(self, old: World) -> None:
        old.driver.plan["delete_snapshot"] = SnapshotIsBusy("a volume depends on it")

        drop(old)

        assert old.snapshot()["status"] == "available"
        assert old.messaged() == [("010", "015")]

    @pytest.mark.usefixtures("tidy")
    def test_a_driver_that_is_not_up(self, old: World) -> None:
        old.driver_up = False

        drop(old)

        assert old.snapshot()["status"] == "error_deleting"
        assert old.messaged() == [("010", "002")]

    def test_a_driver_that_cannot_unmanage(
        self, volume: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(type(volume.driver), "unmanage_snapshot")
        volume.add_snapshot(status="unmanaging")

        drop(volume, unmanage_only=True)

        assert volume.snapshot()["status"] == "error_deleting"


@pytest.mark.parametrize("run", [make, drop])
@pytest.mark.parametrize(
    ("status", "host", "error"),
    [
        pytest.param("available", "node@backend#pool", errors.StatusChanged, id="wrong status"),
        pytest.param(None, "node@other#pool", errors.Invalid, id="other backend"),
    ],
)
@pytest.mark.usefixtures("tidy")
def test_what_is_not_ours_is_left_as_it_is(
    world: World, run: Any, status: str | None, host: str, error: Any
) -> None:
    world.add_volume(host=host)
    world.add_snapshot(status=status or ("creating" if run is make else "deleting"))
    before = dict(world.snapshot())

    outcome = run(world)

    assert outcome.failure.check(error)
    assert world.snapshot() == before
    assert world.driver.calls == [] and world.messaged() == []


@pytest.mark.parametrize("run", [make, drop])
@pytest.mark.usefixtures("tidy")
def test_an_unknown_snapshot(world: World, run: Any) -> None:
    outcome = run(world)

    assert outcome.failure.check(errors.SnapshotNotFound)
    assert world.driver.calls == []
