# SPDX-License-Identifier: Apache-2.0
"""A backend is frozen and thawed, fails over and comes back."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import (
    InvalidReplicationTarget,
    VolumeBackendAPIException,
    VolumeDriverException,
)
from flows import errors
from flows.engine.flow_run import Outcome
from flows.host import failover, freeze
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World


def row(world: World, *names: str) -> tuple[Any, ...]:
    return tuple(world.service.row[name] for name in names)


class TestFreeze:
    @pytest.mark.parametrize(
        "answer", [True, False, VolumeDriverException("no"), NotImplementedError()]
    )
    def test_whatever_the_driver_says(self, world: World, answer: Any) -> None:
        world.driver.plan["freeze_backend"] = answer

        assert world.call(freeze.freeze) is True
        assert row(world, "disabled", "disabled_reason") == (True, "frozen")

    def test_another_error_is_told(self, world: World) -> None:
        world.driver.plan["freeze_backend"] = OSError("no")
        with pytest.raises(VolumeBackendAPIException, match="freeze_backend of backend"):
            world.call(freeze.freeze)

        assert row(world, "disabled") == (False,)

    def test_a_thawed_backend_is_enabled(self, world: World) -> None:
        world.service.row |= {"disabled": True, "disabled_reason": "frozen"}

        assert world.call(freeze.thaw) is True
        assert row(world, "disabled", "disabled_reason") == (False, "")

    def test_an_unwilling_driver_keeps_it_frozen(self, world: World) -> None:
        world.service.row |= {"disabled": True, "disabled_reason": "frozen"}
        world.driver.plan["thaw_backend"] = VolumeDriverException("no")

        assert world.call(freeze.thaw) is False
        assert row(world, "disabled", "disabled_reason") == (True, "frozen")

    @pytest.mark.parametrize("factory", [freeze.freeze, freeze.thaw])
    def test_a_driver_that_is_not_up(self, world: World, factory: Any) -> None:
        world.driver_up = False
        with pytest.raises(errors.DriverNotInitialized):
            world.call(factory)


def fail_over(world: World, target: str | None = "second", **how: Any) -> Outcome:
    return world.run(failover.flow, secondary_id=target, **how)


class TestFailover:
    @pytest.fixture(autouse=True)
    def _volumes(self, world: World) -> None:
        for name, status in {
            "r1": "enabled",
            "r2": "failed-over",
            "n1": "disabled",
            "n2": "not-capable",
            "n3": None,
        }.items():
            world.add_volume(name, replication_status=status, status="in-use")
            world.add_snapshot(f"s-{name}", name)
        world.add_group("group", "available", replication_status="enabled")

    def told(self, world: World, answer: Any) -> None:
        world.driver.plan["failover_host"] = answer

    def volumes(self, world: World, *names: str) -> dict[str, tuple[Any, ...]]:
        rows = world.db.volumes.rows
        columns = ("status", "previous_status", "replication_status")
        return {name: tuple(rows[name][c] for c in columns) for name in names}

    def test_the_service_and_its_processes(self, world: World) -> None:
        self.told(world, ("chosen", [], []))
        assert fail_over(world, None).state == "done"

        written = {
            "replication_status": "failed-over",
            "active_backend_id": "chosen",
            "disabled": True,
            "disabled_reason": "failed-over",
        }
        assert written.items() <= world.service.row.items()
        assert world.service.told == [written]

    @pytest.mark.parametrize("cluster", [None, "c@b"])
    def test_what_a_driver_is_given(self, world: World, cluster: str | None) -> None:
        world.service.row["cluster_name"] = cluster
        fail_over(world)

        (call,) = world.driver.called("failover_host")
        assert [volume.id for volume in call["volumes"]] == ["r1", "r2"]
        assert [group.id for group in call["groups"]] == ["g1"]
        assert call["secondary"] == "second"
        assert len(world.driver.called("failover")) == (1 if cluster else 0)

    def test_what_is_not_replicated_is_lost(self, world: World) -> None:
        fail_over(world)

        lost = self.volumes(world, "n1", "n2", "n3")
        assert set(lost.values()) == {("error", "in-use", "not-capable")}
        assert {world.snapshot(f"s-{n}")["status"] for n in ("n1", "n2", "n3")} == {"error"}
        assert world.snapshot("s-r1")["status"] == "available"

    @pytest.mark.parametrize(
        ("updates", "ends"),
        [
            (None, ("in-use", None, "failed-over")),
            ({}, ("in-use", None, "failed-over")),
            ({"replication_status": "failed-over"}, ("in-use", None, "failed-over")),
            ({"replication_status": "disabled"}, ("in-use", None, "disabled")),
            ({"status": "error"}, ("error", "in-use", "failover-error")),
            ({"replication_status": "failover-error"}, ("error", "in-use", "failover-error")),
            ({"status": "available"}, ("available", "in-use", "failed-over")),
            ({"no_such": 1}, ("error", "in-use", "failover-error")),
            ({"provider_id": "x" * 300}, ("error", "in-use", "failover-error")),
            ({"status": "deleted"}, ("error", "in-use", "failover-error")),
            (7, ("error", "in-use", "failover-error")),
        ],
    )
    def test_what_is_told_of_a_volume(self, world: World, updates: Any, ends: Any) -> None:
        self.told(world, ("second", [{"volume_id": "r1", "updates": updates}], []))
        assert fail_over(world).state == "done"

        assert self.volumes(world, "r1", "r2") == {
            "r1": ends,
            "r2": ("in-use", None, "failed-over"),
        }
        broken = "error" if ends[2] == "failover-error" else "available"
        assert world.snapshot("s-r1")["status"] == broken

    @pytest.mark.parametrize(
        ("updates", "ends"),
        [
            ({}, ("available", "failed-over")),
            ({"status": "error"}, ("error", "failover-error")),
            ({"replication_status": "disabled"}, ("available", "disabled")),
            ({"status": "in-use?"}, ("error", "failover-error")),
        ],
    )
    def test_what_is_told_of_a_group(self, world: World, updates: Any, ends: Any) -> None:
        self.told(world, ("second", [], [{"group_id": "g1", "updates": updates}]))
        fail_over(world)
        group = world.db.groups["group"].rows["g1"]

        assert (group["status"], group["replication_status"]) == ends

    @pytest.mark.parametrize("frozen", [False, True])
    def test_back_again(self, world: World, frozen: bool) -> None:
        world.service.row |= {"active_backend_id": "second", "disabled": True, "frozen": frozen}
        self.told(world, ("default", [], []))
        fail_over(world, "default")

        assert row(world, "replication_status", "active_backend_id") == ("enabled", "")
        assert row(world, "disabled", "disabled_reason") == (frozen, "frozen" if frozen else "")
        assert self.volumes(world, "r1", "n1") == {
            "r1": ("in-use", None, "enabled"),
            "n1": ("in-use", None, "disabled"),
        }

    @pytest.mark.parametrize(("active", "status"), [(None, "enabled"), ("second", "failed-over")])
    def test_a_target_that_does_not_exist_costs_nothing(
        self, world: World, active: str | None, status: str
    ) -> None:
        world.service.row["active_backend_id"] = active
        self.told(world, InvalidReplicationTarget("no such target"))
        assert fail_over(world, "none").state == "failed"

        assert row(world, "replication_status", "disabled") == (status, False)
        assert self.volumes(world, "n1") == {"n1": ("in-use", None, "disabled")}

    def test_a_target_that_is_gone_at_a_second_try_may_have_been_used(self, world: World) -> None:
        world.strike_at(0, "after")
        with pytest.raises(Killed):
            fail_over(world)
        world.revive()
        self.told(world, InvalidReplicationTarget("there already"))
        fail_over(world, resumed=True)

        assert row(world, "replication_status", "disabled") == ("failover-error", True)

    @pytest.mark.parametrize(
        "answer",
        [
            OSError("no"),
            None,
            7,
            ("second", []),
            (7, [], []),
            ("second", 7, []),
            ("second", [7], []),
            ("second", [{"updates": {}}], []),
        ],
    )
    def test_a_failure(self, world: World, answer: Any) -> None:
        self.told(world, answer)
        if answer is None:
            self.told(world, lambda **_: None)
        assert fail_over(world).state == "failed"

        assert row(world, "replication_status", "disabled") == ("failover-error", True)
        assert self.volumes(world, "n1", "r1") == {
            "n1": ("error", "in-use", "not-capable"),
            "r1": ("in-use", None, "enabled"),
        }
        failed = {"disabled": True, "replication_status": "failover-error"}
        assert world.service.told == [failed]  # the other hosts of a cluster

    def test_a_failure_on_the_way_back_touches_no_volume(self, world: World) -> None:
        self.told(world, OSError("no"))
        fail_over(world, "default")

        assert row(world, "replication_status", "disabled") == ("failover-error", True)
        assert self.volumes(world, "n1") == {"n1": ("in-use", None, "disabled")}

    def test_a_driver_that_cannot_touches_no_volume(self, world: World) -> None:
        self.told(world, NotImplementedError())
        fail_over(world)

        assert row(world, "replication_status", "disabled") == ("failover-error", True)
        assert self.volumes(world, "n1") == {"n1": ("in-use", None, "disabled")}

    def test_a_backend_that_is_lost_fails_over_all_the_same(self, world: World) -> None:
        world.driver_up = False

        assert fail_over(world).state == "done"

    def test_a_volume_that_nobody_asked_about_is_left_alone(self, world: World) -> None:
        self.told(world, ("second", [{"volume_id": "n1", "updates": {"provider_id": "x"}}], []))
        fail_over(world, "second")

        assert world.volume("n1")["provider_id"] is None
