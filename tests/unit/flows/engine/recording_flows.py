# SPDX-License-Identifier: Apache-2.0
"""Flows that only record their steps, and fail where a test says."""

from __future__ import annotations

from typing import Any, ClassVar

from taskflow.patterns import linear_flow

from drivers.interface.errors import VolumeIsBusy
from flows.engine import flow_run
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_interrupted
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World

NOTES: list[Any] = []
FAULTS: dict[str, Any] = {}
STATUSES = Statuses(("busy",), "done", {VolumeIsBusy: "available", Exception: "error"})


def forget() -> None:
    """Forget notes and faults."""
    NOTES.clear()
    FAULTS.clear()


def strike(where: str, **details: Any) -> None:
    NOTES.append(where)
    fault = FAULTS.pop(where, None)
    if callable(fault) and not isinstance(fault, type):
        fault = fault(**details)
    if fault is not None:
        raise fault


class Noting(Step):
    def execute(self, ctx: Any) -> str:
        NOTES.append(f"{self.name} again" if ctx.resumed else self.name)
        strike(f"in {self.name}")
        return self.name

    def revert(self, ctx: Any, result: Any, flow_failures: Any) -> None:
        how = (
            "cut short" if was_interrupted(result) else "done" if result == self.name else "failed"
        )
        NOTES.append(f"undo {self.name} {how}: {STATUSES.after(cause_of(flow_failures))}")
        strike(f"undoing {self.name}")


class Delicate(Noting):
    second_try_is_safe: ClassVar[bool] = False


class Answering(Step):
    default_provides = "result"

    def execute(self, ctx: Any, word: str) -> dict[str, Any]:
        return {"word": word}


@registered
def flow() -> linear_flow.Flow:
    return linear_flow.Flow("three").add(Noting("one"), Noting("two"), Noting("three"))


@registered
def delicate() -> linear_flow.Flow:
    return linear_flow.Flow("delicate").add(Noting("one"), Delicate("two"), Noting("three"))


@registered
def answering() -> linear_flow.Flow:
    return linear_flow.Flow("answering").add(Answering("answer"))


@registered
def shaped(count: int) -> linear_flow.Flow:
    return linear_flow.Flow("shaped").add(*(Noting(f"step {n}") for n in range(count)))


def seen() -> list[str]:
    """Return the steps that ran, without the points of faults."""
    return [note for note in NOTES if not note.startswith(("in ", "undoing "))]


def run(world: World, factory: Any = flow, **how: Any) -> flow_run.Outcome | None:
    try:
        return world.run(factory, **how)
    except Killed:
        return None
