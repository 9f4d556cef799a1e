# SPDX-License-Identifier: Apache-2.0
"""Replication of groups: refusals and notifications.

Answers of drivers and their effects are tested through the bus
(``tests/functional/operations/groups/test_replication.py``).
"""

from __future__ import annotations

from typing import Any

import pytest

from flows import errors
from flows.engine.flow_run import Outcome
from flows.group import replicate
from tests.unit.flows.every_cast import group_cases as cases
from tests.unit.flows.world.world import World

ALL = pytest.mark.parametrize(
    ("factory", "during"),
    [
        (replicate.enable, "enabling"),
        (replicate.disable, "disabling"),
        (replicate.failover, "failing-over"),
    ],
)


def run(world: World, factory: Any, *, attached: bool = True, **how: Any) -> Outcome:
    targets: list[Any] = ["second"] if factory is replicate.failover else []
    args = {"kind": "group", **cases.ARGS, "targets": targets, "allow_attached": attached}
    return world.run(factory, **{**args, **how})


def ends(world: World) -> dict[str, tuple[Any, Any]]:
    rows = {**world.db.groups["group"].rows, **world.db.volumes.rows}
    return {name: (row["status"], row["replication_status"]) for name, row in rows.items()}


@ALL
def test_whom_is_told(world: World, factory: Any, during: str) -> None:
    cases.replicating(world, during)
    run(world, factory)
    event = factory().name

    start = [f"group.{event}.start", *[f"volume.{event}.start"] * 2]
    end = [f"group.{event}.end", *[f"volume.{event}.end"] * 2]
    assert world.notified() == start + end


@ALL
def test_a_group_in_another_replication_status_is_left_alone(
    world: World, factory: Any, during: str
) -> None:
    cases.replicating(world, during)
    world.db.groups["group"].rows["g1"]["replication_status"] = "enabled"
    outcome = run(world, factory)

    assert outcome.failure is not None
    assert outcome.failure.check(errors.InvalidGroup)
    assert ends(world)["g1"] == ("available", "enabled")
    assert ends(world)["v1"] == ("available", during)


@ALL
def test_a_volume_in_another_one_fails_the_group(world: World, factory: Any, during: str) -> None:
    cases.replicating(world, during)
    world.volume("v2")["replication_status"] = "enabled"
    outcome = run(world, factory)

    assert outcome.failure is not None
    assert outcome.failure.check(errors.InvalidVolume)
    assert ends(world) == {
        "g1": ("error", "error"),
        "v1": ("available", "error"),
        "v2": ("available", "enabled"),
    }
    assert world.driver.calls == []


@ALL
@pytest.mark.parametrize("status", [None, "enabling", "error"])
def test_columns_of_volumes_are_stored_though_one_fails(
    world: World, factory: Any, during: str, status: str | None
) -> None:
    cases.replicating(world, during)
    entry = {"id": "v1", "provider_id": "kept"}
    entries = [{**entry, "replication_status": status} if status else entry]
    entries += [{"id": "v2", "replication_status": "error"}]
    method = {"enabling": "enable", "disabling": "disable"}.get(during, "failover")
    world.driver.plan[f"{method}_replication"] = ({"replication_status": "error"}, entries)
    run(world, factory)

    assert world.volume("v1")["provider_id"] == "kept"
    assert ends(world)["v1"][1] == "error"


@pytest.mark.parametrize("attached", [False, True])
def test_volumes_in_use_are_moved_only_where_that_is_allowed(world: World, attached: bool) -> None:
    cases.replicating(world, "failing-over")
    world.volume("v1")["status"] = "in-use"
    run(world, replicate.failover, attached=attached)

    wanted = ("in-use", "failed-over" if attached else "error")
    assert ends(world)["v1"] == wanted


def test_a_group_of_another_backend_is_refused(world: World) -> None:
    cases.replicating(world, "enabling")
    world.db.groups["group"].rows["g1"]["host"] = "node@other"
    run(world, replicate.enable)

    assert ends(world)["g1"] == ("available", "enabling")


def test_a_driver_that_is_not_up(world: World) -> None:
    cases.replicating(world, "enabling")
    world.driver_up = False
    run(world, replicate.enable)

    assert set(ends(world).values()) == {("error", "error")}


def test_it_is_to_be_asked_for_again(world: World) -> None:
    begin = next(iter(replicate.enable().iter_nodes()))[0]

    with pytest.raises(errors.InvalidInput, match="again"):
        begin.reopen(world.context(), {"kind": "group", "resource_id": "g1"})
