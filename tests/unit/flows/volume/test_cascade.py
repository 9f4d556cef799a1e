# SPDX-License-Identifier: Apache-2.0
"""Deleting a volume with its snapshots: spec/volume-rpc, delete_volume, step 4b."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import SnapshotIsBusy
from flows import errors
from flows.volume import delete
from tests.unit.flows.tables import RAISED
from tests.unit.flows.world.world import World

EMPTY = {"volumes": 0, "gigabytes": 0, "snapshots": 0}


def run(world: World, unmanage_only: bool = False, cascade: bool = False) -> Any:
    return world.run(delete.flow, volume_id="v1", unmanage_only=unmanage_only, cascade=cascade)


@pytest.fixture
def old(world: World) -> World:
    world.add_volume(status="deleting", size=3)
    return world


def driver_calls(world: World) -> list[str]:
    return [name for name, _ in world.driver.calls]


class TestCascade:
    @pytest.fixture
    def family(self, old: World) -> World:
        for snapshot_id in ("s1", "s2", "s3"):
            old.add_snapshot(snapshot_id, status="deleting")
        return old

    def statuses(self, world: World) -> dict[str, str]:
        return {row["id"]: row["status"] for row in world.db.snapshots.of()}

    def test_the_snapshots_go_first(self, family: World) -> None:
        assert run(family, cascade=True).state == "done"

        assert driver_calls(family) == [
            "remove_export",
            *["delete_snapshot"] * 3,
            "delete_volume",
        ]
        assert self.statuses(family) == {}
        assert family.db.quota.used == EMPTY
        assert family.driver.objects == set()
        assert family.notified().count("snapshot.delete.start") == 3
        assert family.notified().count("snapshot.delete.end") == 3

    def test_a_snapshot_in_another_status_stops_it_before_anything(self, family: World) -> None:
        family.snapshot("s2")["status"] = "available"

        outcome = run(family, cascade=True)

        assert outcome.failure.check(errors.InvalidSnapshot)
        assert family.volume()["status"] == "error_deleting"
        assert self.statuses(family) == {
            "s1": "error_deleting", "s2": "available", "s3": "error_deleting",
        }  # fmt: skip
        assert family.driver.calls == []

    @pytest.mark.parametrize(
        ("error", "snapshot", "volume", "message"),
        [
            (SnapshotIsBusy("depended on"), "available", "available", ("010", "015")),
            (RuntimeError(), "error_deleting", "error_deleting", ("010", "016")),
        ],
        ids=["busy", "other"],
    )
    def test_one_that_fails_does_not_keep_the_others(
        self, family: World, error: Exception, snapshot: str, volume: str, message: Any
    ) -> None:
        def fail(snapshot: Any) -> None:
            if snapshot.id == "s2":
                raise error

        family.driver.plan["delete_snapshot"] = fail

        run(family, cascade=True)

        assert family.volume()["status"] == volume
        assert self.statuses(family) == {"s2": snapshot}
        assert family.messaged() == [message]
        assert family.driver.objects == {"volume-v1", "snapshot-s2"}

    @pytest.mark.parametrize("method", ["remove_export", "delete_snapshot"])
    @pytest.mark.parametrize("error", RAISED)
    def test_no_snapshot_stays_deleting(
        self, family: World, method: str, error: BaseException
    ) -> None:
        family.driver.plan[method] = error

        run(family, cascade=True)

        assert family.volume()["status"] == "error_deleting"
        assert set(self.statuses(family).values()) == {"error_deleting"}
