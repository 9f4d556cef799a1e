# SPDX-License-Identifier: Apache-2.0
"""Every task of every cast breaks once, before and after its work."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from flows import lifecycle
from flows.errors import Invalid
from tests.unit.flows.every_cast.cases import CASES, Case, assert_settled
from tests.unit.flows.world.world import World


def tasks(first: int = 0) -> list[Any]:
    return [
        pytest.param(case, type(step), id=f"{case.name}-{step.name}")
        for case in CASES
        for step, _ in list(case.factory().iter_nodes())[first:]
    ]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("case", "kind"), tasks())
def test_a_task_that_breaks_leaves_nothing_behind(
    case: Case, kind: Any, moment: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kind.execute

    @functools.wraps(whole)  # taskflow reads the signature
    def broken(self: Any, **kwargs: Any) -> Any:
        if moment == "after":
            whole(self, **kwargs)
        raise RuntimeError(f"broken {moment} its end")

    args = case.start(world)
    monkeypatch.setattr(kind, "execute", broken)
    outcome = world.run(case.factory, **args)

    assert outcome.state == "failed"
    assert_settled(world, case)
    if kind.__name__.startswith("Begin"):
        assert world.driver.calls == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_first_task_that_refuses_leaves_everything_as_it_is(
    case: Case, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = case.start(world)
    first = next(step for step, _ in case.factory().iter_nodes())

    @functools.wraps(type(first).execute)
    def refuses(self: Any, **_: Any) -> Any:
        raise Invalid("not like this")

    monkeypatch.setattr(type(first), "execute", refuses)
    assert world.run(case.factory, **args).state == "failed"

    assert_untouched(world)


@pytest.mark.parametrize(("case", "kind"), tasks(first=1))
def test_a_revert_that_breaks_does_not_keep_the_others(
    case: Case, kind: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first task's revert writes the status, so it must be reached."""
    steps = [step for step, _ in case.factory().iter_nodes()]
    args = case.start(world)

    monkeypatch.setattr(type(steps[-1]), "execute", _broken(type(steps[-1]).execute))
    monkeypatch.setattr(kind, "revert", lifecycle._undo(_broken(kind.revert)))
    world.run(case.factory, **args)

    statuses = {row["status"] for row in world.db.volumes.of()}
    assert not statuses & {"creating", "deleting", "extending", "reverting", "unmanaging"}


def _broken(method: Any) -> Any:
    @functools.wraps(method)
    def broken(self: Any, **_: Any) -> Any:
        raise RuntimeError("broken")

    return broken


def assert_untouched(world: World) -> None:
    """The resource was never ours: nothing was asked of the driver, nothing written."""
    assert world.driver.calls == []
    statuses = {row["status"] for row in world.db.volumes.of()}
    statuses |= {row["status"] for row in world.db.snapshots.of()}
    assert not {status for status in statuses if status.startswith("error")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_work_row_is_claimed_before_the_driver_works(case: Case, world: World) -> None:
    args = case.start(world)
    there = dict(world.db.work)
    claimed: dict[Any, str] = {}

    def note(**_: Any) -> None:
        claimed.update(world.db.work)

    for method in ("create_volume", "create_snapshot", "delete_volume", "unmanage"):
        world.driver.plan[method] = note
    world.run(case.factory, **args)

    if claimed:
        assert claimed.keys() >= there.keys()
        # A mark is the number of the operation (flows.claims).
        assert all(one == "ours" or isinstance(one, int) for one in claimed.values())
