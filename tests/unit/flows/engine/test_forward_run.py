# SPDX-License-Identifier: Apache-2.0
"""Steps that are run without taskflow's engine, compared with the engine alone.

Random lines of steps fail, are suspended, cancelled and killed at random points, and the journal
refuses writes or is away; then they are resumed until they end. Both ways have to leave the same
records in the journal, the same states and results, and to call the same steps and observers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from taskflow import states
from taskflow.exceptions import NotFound, StorageFailure
from taskflow.patterns import graph_flow, linear_flow
from taskflow.persistence import models
from taskflow.retry import Times
from taskflow.task import FunctorTask

from drivers.interface.errors import VolumeIsBusy
from flows.context import OperationContext
from flows.engine import compiled_flows
from flows.engine.flow_run import FlowRun
from flows.engine.forward_run import Line
from flows.engine.no_persistence import NO_PERSISTENCE
from flows.errors import (
    OperationCancelled,
    OperationDeferred,
    OperationInterrupted,
    RunInterrupted,
)
from flows.factories import registered
from flows.lifecycle import Step
from tests.unit.flows.engine import recording_flows
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World
from worker.journal.errors import JournalRefused, JournalUnavailable, ProgressRefused
from worker.journal.progress import FlowProgress

ATTEMPTS_MAX = 12
ACTS = ["fail", "kill", "suspend", "cancel", "defer", "progress", "checkpoint", "lack", "abort"]


class Judged(Step):
    """A step that does as the scenario says at each of its calls."""

    def execute(self, ctx: Any, **arguments: Any) -> Any:
        SCENE.act(self, "execute", arguments)
        return SCENE.result(self)

    def revert(self, ctx: Any, result: Any, flow_failures: Any, **arguments: Any) -> None:
        SCENE.act(self, "revert", {**arguments, "result": result, "flow_failures": flow_failures})


@registered
def judged(steps: list[dict[str, Any]]) -> linear_flow.Flow:
    """Return the flow of a scenario."""
    made = []
    for number, one in enumerate(steps):
        step = Judged(f"step{number}", provides=one["provides"], requires=one["requires"])
        vars(step).update(one["traits"])
        made.append(step)
    return linear_flow.Flow("judged").add(*made)


@dataclass
class Rows:
    """Statements of a journal in memory."""

    faults: dict[int, str]
    flow: str | None = None
    atoms: dict[str, str] = field(default_factory=dict)
    writes: list[Any] = field(default_factory=list)
    _pending: list[Any] = field(default_factory=list)
    _count: int = 0

    @contextmanager
    def writing(self, durably: bool) -> Iterator[Any]:
        self._count += 1
        self._pending = [durably]
        yield self
        fault = self.faults.get(self._count)
        if fault == "refused":
            raise JournalRefused("too large")
        if fault == "away":
            raise JournalUnavailable("away")
        self.writes.append(self._pending)
        for kind, name, value in self._pending[1:]:
            if kind == "flow":
                self.flow = value
            else:
                self.atoms[name] = value

    def set_flow(self, _cursor: Any, _flow: str, state: str) -> None:
        if state != self.flow:  # the engine, when it takes over, says again that the flow runs
            self._pending.append(("flow", None, state))

    def update_atoms(self, _cursor: Any, atoms: list[Any]) -> None:
        self._pending += [("update", one.name, _text(one)) for one in atoms]

    def insert_atoms(self, _cursor: Any, _flow: str, atoms: list[Any], again: bool) -> None:
        self._pending += [("insert", one.name, _text(one)) for one in atoms]

    def load(self) -> models.FlowDetail:
        """Return the flow as it was written."""
        detail = models.FlowDetail("judged", "6f1c0000-0000-0000-0000-000000000000")
        detail.meta, detail.state = {}, self.flow or states.PENDING
        for name, text in self.atoms.items():
            detail.add(models.TaskDetail.from_dict({**json.loads(text), "uuid": name}))
        return detail

    def progress(self, detail: models.FlowDetail) -> FlowProgress:
        statements: Any = self
        return FlowProgress(
            statements, lambda: self.writing(False), lambda: self.writing(True), detail
        )


class Scene:
    """One way through a scenario."""

    def __init__(self, scenario: dict[str, Any], ctx: OperationContext) -> None:
        self._scenario = scenario
        self._ctx = ctx
        self._calls = 0
        self._lacks = False
        self.notes: list[Any] = []
        self.running: FlowRun | None = None

    def act(self, step: Step, method: str, arguments: dict[str, Any]) -> None:
        """Note a call of a step, and do what the scenario has for it."""
        self._calls += 1
        self.notes.append([method, step.name, _shown(arguments)])
        act = self._scenario["acts"].get(self._calls)
        running = self.running
        assert running is not None
        self._lacks = act == "lack"
        if act == "suspend":
            running.suspend()
        elif act == "cancel":
            running.cancel(OperationCancelled("an operator"))
        elif act == "progress":
            running._advance(0.25)
        elif act == "checkpoint":
            running._note_checkpoint(0.5)
        elif act == "abort":
            running.suspend()
            running._advance(0.75)
        elif act in _RAISED:
            raise _RAISED[act]()

    def result(self, step: Step) -> Any:
        """Return the result of a step."""
        if self._lacks or not step.save_as:
            return None
        if None in step.save_as.values():
            return f"{step.name} {self._calls}"
        return [f"{step.name} {self._calls} {n}" for n in range(len(step.save_as))]

    def run(self) -> list[Any]:
        """Run the flow until it ends, and return all that can be seen of it."""
        rows, cause = Rows(self._scenario["faults"]), None
        detail, backend, resumed = rows.load(), None, False
        for _attempt in range(ATTEMPTS_MAX):
            progress = rows.progress(detail)
            ctx = replace(self._ctx, resumed=resumed)
            args = {"steps": self._scenario["steps"], "word": "given"}
            self.running = FlowRun(judged, args, ctx, detail, backend or progress, self._observe)
            ended = self._attempt(progress, cause)
            if ended:
                break
            resumed = True
            if self.notes[-1] == "ProgressRefused":
                detail.state, backend = states.RUNNING, NO_PERSISTENCE
                cause = OperationInterrupted("its progress cannot be stored")
            else:
                detail = rows.load()
        return [self.notes, rows.writes, rows.atoms, rows.flow]

    def _attempt(self, progress: FlowProgress, cause: OperationInterrupted | None) -> bool:
        assert self.running is not None
        detail, outcome = self.running._detail, None
        try:
            outcome = self.running.run(revert=cause)
            if self.running._backend is progress:
                progress.flush()
        except (StorageFailure, RunInterrupted) as error:
            self.notes.append([_text(atom) for atom in detail])
            refused = isinstance(error, ProgressRefused)
            self.notes.append("ProgressRefused" if refused else type(error).__name__)
            return False
        except NotFound as error:  # a result that no step has provided
            self.notes.append(str(error))
            return True
        shown = outcome.state, outcome.result, outcome.waits_for, str(outcome.failure)
        self.notes.append([shown, detail.state, [_text(atom) for atom in detail]])
        self.notes.append("the end")
        return outcome.state != "suspended"

    def _observe(self, _detail: Any, task: str, state: str) -> None:
        self.notes.append([task, state])


SCENE: Scene
_RAISED: dict[Any, Callable[[], BaseException]] = {
    "fail": lambda: VolumeIsBusy("v1 is attached"),
    "kill": Killed,
    "defer": lambda: OperationDeferred("volume-v1"),
}


def _shown(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str, sort_keys=True))


def _text(atom: Any) -> str:
    """Return a record of a step without what differs at each run."""
    row = atom.to_dict()
    row.pop("uuid")
    row["meta"] = {k: bool(v) if k in ("began", "ended") else v for k, v in row["meta"].items()}
    for name in ("failure", "revert_failure"):
        if row[name]:
            row[name] = {**row[name], "traceback_str": None}
    return json.dumps(row, sort_keys=True)


_NAMES = st.sampled_from(["a", "b"])
_STEP = st.fixed_dictionaries(
    {
        "provides": st.one_of(st.none(), _NAMES, st.just(["a", "b"]), st.just(["result", "a"])),
        "requires": st.lists(st.sampled_from(["a", "b", "word"]), unique=True, max_size=3),
        "traits": st.fixed_dictionaries(
            {name: st.booleans() for name in ("bookkeeping", "second_try_is_safe")}
        ),
    }
)
_SCENARIO = st.fixed_dictionaries(
    {
        "steps": st.lists(_STEP, min_size=1, max_size=5),
        "acts": st.dictionaries(st.integers(1, 9), st.sampled_from(ACTS), max_size=3),
        "faults": st.dictionaries(
            st.integers(1, 9), st.sampled_from(["away", "refused"]), max_size=1
        ),
    }
)


def _compare(scenario: dict[str, Any], ctx: OperationContext, patch: pytest.MonkeyPatch) -> None:
    global SCENE  # the steps of a flow are made from JSON
    SCENE = Scene(scenario, ctx)
    forward = SCENE.run()
    with patch.context() as only_engine:
        only_engine.setattr(compiled_flows.Line, "of", lambda _flow: None)
        SCENE = Scene(scenario, ctx)
        engine = SCENE.run()

    assert forward == engine


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(scenario=_SCENARIO)
def test_both_ways_are_the_same_at_each_step(
    scenario: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ctx = World(Path("unused")).context()
    with pytest.MonkeyPatch.context() as patch:
        _compare(scenario, ctx, patch)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_both_ways_are_the_same_with_one_event_at_each_step(
    at: int, act: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        {"provides": ["a", "b"], "requires": ["word"], "traits": {"bookkeeping": True}},
        {"provides": "b", "requires": ["a", "b"], "traits": {}},
        {"provides": ["result", "a"], "requires": ["a", "b"], "traits": {}},
    ]
    _compare({"steps": steps, "acts": {at: act}, "faults": {}}, world.context(), monkeypatch)


def test_a_line_that_succeeds_needs_no_engine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.engine.flow_run.Engine", None)

    assert recording_flows.run(world) is not None


@pytest.mark.parametrize(
    "flow",
    [
        graph_flow.Flow("graph"),
        linear_flow.Flow("retried", retry=Times(2)),
        linear_flow.Flow("nested").add(linear_flow.Flow("inside")),
        linear_flow.Flow("foreign").add(FunctorTask(print, "a")),
        linear_flow.Flow("injected").add(Judged("a", inject={"word": 1})),
        linear_flow.Flow("twice").add(Judged("a"), Judged("a")),
    ],
    ids=lambda flow: flow.name,
)
def test_other_flows_are_the_engines(flow: Any) -> None:
    assert Line.of(flow) is None
