# SPDX-License-Identifier: Apache-2.0
"""The engine: outcomes, shapes, suspension, outages."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from taskflow import states
from taskflow.exceptions import StorageFailure

from drivers.interface.errors import VolumeIsBusy
from flows import errors, factories
from flows.engine import flow_run
from flows.engine.flow_run import FlowRun
from flows.errors import OperationCancelled, ProcessStopping
from tests.unit.flows.engine import recording_flows
from tests.unit.flows.engine.recording_flows import (
    FAULTS,
    NOTES,
    answering,
    flow,
    run,
    seen,
    shaped,
)
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World


@pytest.fixture(autouse=True)
def _clean() -> None:
    recording_flows.forget()


class TestOutcome:
    def test_done(self, world: World) -> None:
        assert run(world) == flow_run.Outcome("done")
        assert seen() == ["one", "two", "three"]

    def test_an_answer(self, world: World) -> None:
        outcome = flow_run.run_in_memory(answering, {"word": "yes"}, world.context())

        assert outcome.result == {"word": "yes"}

    def test_a_failure_undoes_backwards_and_is_told(self, world: World) -> None:
        FAULTS["in two"] = VolumeIsBusy("v1 is attached")

        outcome = run(world)

        assert outcome is not None and outcome.state == "failed"
        assert outcome.failure is not None and outcome.failure.check(VolumeIsBusy)
        assert seen() == ["one", "two", "undo two failed: available", "undo one done: available"]

    def test_a_revert_that_raises_does_not_stop_the_others(self, world: World) -> None:
        FAULTS["in three"] = RuntimeError("first")
        FAULTS["undoing two"] = SystemExit("second")

        outcome = run(world)

        assert outcome is not None and outcome.failure is not None
        assert outcome.failure.exception_str == "first"
        assert seen()[-1] == "undo one done: error"

    def test_a_factory_with_parameters_gives_each_its_shape(self, world: World) -> None:
        world.run(shaped, count=2)
        NOTES.append("-")
        World(world.driver.directory).run(shaped, count=1)

        assert seen() == ["step 0", "step 1", "-", "step 0"]

    def test_a_flow_inside_a_flow_of_the_same_shape(self, world: World) -> None:
        def nested() -> None:
            World(world.driver.directory).run(flow)

        FAULTS["in two"] = nested

        outcome = run(world)

        assert outcome is not None and outcome.state == "done"
        assert seen() == ["one", "two", "one", "two", "three", "three"]

    def test_a_shape_is_used_again_after_a_kill(self, world: World) -> None:
        FAULTS["in two"] = Killed()
        assert run(world) is None

        outcome = World(world.driver.directory).run(flow)

        assert outcome.state == "done"


class TestFactoryNames:
    def test_a_factory_is_found_by_its_path(self) -> None:
        assert factories.factory_of(factories.path_of(flow)) is flow

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "flows",
            "no.such.module:flow",
            "flows.engine.flow_run:nothing",
            "flows.engine.compiled_flows:RESULT",
        ],
    )
    def test_an_unknown_path(self, path: str) -> None:
        with pytest.raises(LookupError):
            factories.factory_of(path)


class TestStep:
    def test_supervision_may_ask_before_it_runs(self, world: World) -> None:
        FAULTS["in two"] = Killed()
        assert run(world) is None

        running = flow_run.FlowRun(flow, {}, world.context(), world.journal.load(), world.journal)

        assert running.step is None


class TestProgress:
    def test_only_what_moves_is_progress(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = iter(range(100))
        monkeypatch.setattr(flow_run.time, "monotonic", lambda: next(clock))
        running = flow_run.FlowRun(flow, {}, world.context(), world.journal.load(), world.journal)
        moved = []
        for fraction in (0.1, 0.1, 0.2, 0.2, 0.2):
            running._advance(fraction)
            moved.append(running.changed_at)

        assert [later > sooner for sooner, later in pairwise(moved)] == [False, True, False, False]


class TestBandwidth:
    @staticmethod
    def _running(world: World, seconds: float, asked: list[int]) -> flow_run.FlowRun:
        def wait(size: int) -> float:
            asked.append(size)
            return seconds

        detail, journal = world.journal.load(), world.journal
        return flow_run.FlowRun(flow, {}, world.context(), detail, journal, bandwidth=wait)

    def test_a_copy_waits_for_the_bytes_that_it_moved_and_this_is_no_stall(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flow_run, "THROTTLE_STEP", 0.01)
        asked: list[int] = []
        running = self._running(world, 0.05, asked)
        began = running.changed_at
        running._ctx.pace.moved(4096)

        assert asked == [4096] and running.changed_at >= began + 0.05

    @pytest.mark.parametrize("end", ["suspend", "cancel"])
    def test_one_that_is_to_end_does_not_wait(self, world: World, end: str) -> None:
        running = self._running(world, 3600.0, [])
        if end == "suspend":
            running.suspend()
        else:
            running.cancel(OperationCancelled("no more"))

        running._ctx.pace.moved(4096)  # returns


class TestSuspend:
    def test_a_copy_ends_at_its_next_report(self, world: World) -> None:
        running = flow_run.FlowRun(flow, {}, world.context(), world.journal.load(), world.journal)
        running._advance(0.1)
        running.suspend()

        with pytest.raises(ProcessStopping):
            running._advance(0.2)

    def test_it_stops_at_the_next_boundary_and_goes_on_later(self, world: World) -> None:
        running = flow_run.FlowRun(flow, {}, world.context(), world.journal.load(), world.journal)
        FAULTS["in two"] = running.suspend

        assert running.run() == flow_run.Outcome("suspended")
        world.journal.flush()
        assert seen() == ["one", "two"]

        assert run(world, resumed=True) == flow_run.Outcome("done")
        assert seen() == ["one", "two", "three again"]

    def test_while_undoing(self, world: World) -> None:
        running = flow_run.FlowRun(flow, {}, world.context(), world.journal.load(), world.journal)
        FAULTS["in three"] = VolumeIsBusy("busy")
        FAULTS["undoing three"] = running.suspend

        assert running.run().state == "suspended"
        world.journal.flush()
        outcome = run(world, resumed=True)

        assert outcome is not None and outcome.failure is not None
        assert outcome.failure.check(VolumeIsBusy)
        assert seen()[-2:] == ["undo two done: available", "undo one done: available"]

    @pytest.mark.parametrize(
        ("faults", "last"),
        [
            pytest.param({"in two": Killed()}, "three again", id="in a step"),
            pytest.param({"in three": Killed()}, "three again", id="in the last step"),
            pytest.param(
                {"in three": VolumeIsBusy("busy"), "undoing two": Killed()},
                "undo one done: available",
                id="while undoing",
            ),
            pytest.param(
                {"in three": VolumeIsBusy("busy"), "undoing one": Killed()},
                "undo one done: available",
                id="while undoing the first step",
            ),
        ],
    )
    def test_before_the_interrupted_step_runs_again(
        self, world: World, faults: dict[str, Any], last: str
    ) -> None:
        """The service stops at the moment of its start."""
        FAULTS.update(faults)
        assert run(world) is None
        NOTES.clear()
        running = FlowRun(
            flow, {}, world.context(resumed=True), world.journal.load(), world.journal
        )
        running.suspend()

        assert running.run() == flow_run.Outcome("suspended")
        world.journal.flush()
        assert seen() == []
        assert world.journal.load().state == states.SUSPENDED

        outcome = run(world, resumed=True)

        assert outcome is not None and outcome.state == ("done" if "again" in last else "failed")
        assert seen()[-1] == last


class TestOutages:
    def test_a_journal_that_takes_no_write_is_no_failure_of_the_operation(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> None:
            raise StorageFailure("away")

        FAULTS["in two"] = lambda: monkeypatch.setattr(world.journal, "flush", away)

        with pytest.raises(StorageFailure):
            world.run(flow)
        assert not [note for note in seen() if note.startswith("undo")]

        monkeypatch.undo()
        assert run(world, resumed=True) == flow_run.Outcome("done")

    def test_a_database_that_is_away_is_waited_for(self, world: World) -> None:
        FAULTS["in two"] = errors.Unavailable("away")

        assert run(world) == flow_run.Outcome("done")
        assert seen() == ["one", "two", "two again", "three"]

    def test_also_while_undoing(self, world: World) -> None:
        FAULTS["in two"] = RuntimeError()
        FAULTS["undoing two"] = errors.Unavailable("away")

        run(world)

        assert seen()[-3:] == [*["undo two failed: error"] * 2, "undo one done: error"]

    @pytest.mark.parametrize("where", ["in two", "undoing two"])
    def test_until_the_process_stops(self, world: World, where: str) -> None:
        FAULTS["in three"] = RuntimeError()

        def away() -> BaseException:
            world.stopping.set()
            return errors.Unavailable("away")

        FAULTS[where] = away
        with pytest.raises(ProcessStopping):
            world.run(flow)
        NOTES.clear()
        world.stopping.clear()

        assert run(world, resumed=True) is not None
        assert seen()[0] in ("two again", "undo two done: error")
