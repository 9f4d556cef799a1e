# SPDX-License-Identifier: Apache-2.0
"""The engine: outcomes, resumes, reverts, outages; on flows that only note what they do."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from taskflow.exceptions import StorageFailure
from taskflow.patterns import linear_flow

from drivers.interface.errors import VolumeIsBusy
from flows import engine, errors
from flows.lifecycle import Interrupted, Statuses, Step, cause_of, was_cut_short
from tests.unit.flows.world import Killed, World

NOTES: list[Any] = []
FAULTS: dict[str, Any] = {}
STATUSES = Statuses(("busy",), "done", {VolumeIsBusy: "available", Exception: "error"})


@pytest.fixture(autouse=True)
def _clean() -> None:
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
        how = "cut short" if was_cut_short(result) else "done" if result == self.name else "failed"
        NOTES.append(f"undo {self.name} {how}: {STATUSES.after(cause_of(flow_failures))}")
        strike(f"undoing {self.name}")


class Delicate(Noting):
    second_try_is_safe: ClassVar[bool] = False


class Answering(Step):
    default_provides = "result"

    def execute(self, ctx: Any, word: str) -> dict[str, Any]:
        return {"word": word}


def flow() -> linear_flow.Flow:
    return linear_flow.Flow("three").add(Noting("one"), Noting("two"), Noting("three"))


def delicate() -> linear_flow.Flow:
    return linear_flow.Flow("delicate").add(Noting("one"), Delicate("two"), Noting("three"))


def answering() -> linear_flow.Flow:
    return linear_flow.Flow("answering").add(Answering("answer"))


def shaped(count: int) -> linear_flow.Flow:
    return linear_flow.Flow("shaped").add(*(Noting(f"step {n}") for n in range(count)))


def seen() -> list[str]:
    """Return what ran, without the places where faults can be."""
    return [note for note in NOTES if not note.startswith(("in ", "undoing "))]


def run(world: World, factory: Any = flow, **how: Any) -> engine.Outcome | None:
    try:
        return world.run(factory, **how)
    except Killed:
        return None


class TestOutcome:
    def test_done(self, world: World) -> None:
        assert run(world) == engine.Outcome("done")
        assert seen() == ["one", "two", "three"]

    def test_an_answer(self, world: World) -> None:
        outcome = engine.run_in_memory(answering, {"word": "yes"}, world.context())

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
        assert engine.factory_of(engine.path_of(flow)) is flow

    @pytest.mark.parametrize(
        "path", ["", "flows", "no.such.module:flow", "flows.engine:nothing", "flows.engine:RESULT"]
    )
    def test_an_unknown_path(self, path: str) -> None:
        with pytest.raises(LookupError):
            engine.factory_of(path)


class TestResume:
    def test_an_interrupted_task_runs_again_and_a_finished_one_does_not(self, world: World) -> None:
        FAULTS["in two"] = Killed()
        run(world)
        NOTES.clear()

        assert run(world, resumed=True) == engine.Outcome("done")

        assert seen() == ["two again", "three again"]

    def test_one_whose_second_try_is_unsafe_is_undone(self, world: World) -> None:
        FAULTS["in two"] = Killed()
        run(world, delicate)
        NOTES.clear()

        outcome = run(world, delicate, resumed=True)

        assert outcome is not None and outcome.failure is not None
        assert outcome.failure.check(errors.OperationInterrupted)
        assert seen() == ["undo two cut short: error", "undo one done: error"]

    def test_an_unsafe_one_that_was_not_interrupted_runs(self, world: World) -> None:
        FAULTS["in three"] = Killed()
        run(world, delicate)

        outcome = run(world, delicate, resumed=True)

        assert outcome is not None and outcome.state == "done"

    def test_a_kill_while_undoing_goes_on_undoing(self, world: World) -> None:
        FAULTS["in three"] = VolumeIsBusy("busy")
        FAULTS["undoing two"] = Killed()
        run(world)
        NOTES.clear()

        outcome = run(world, resumed=True)

        assert outcome is not None and outcome.failure is not None
        assert outcome.failure.check(VolumeIsBusy)
        assert seen() == ["undo two done: available", "undo one done: available"]


class TestRevert:
    """A flow that was cut short too often is undone instead of resumed."""

    @pytest.mark.parametrize(
        ("killed", "undone"),
        [
            ("one", ["undo one cut short: error"]),
            ("two", ["undo two cut short: error", "undo one done: error"]),
            (
                "three",
                ["undo three cut short: error", "undo two done: error", "undo one done: error"],
            ),
        ],
    )
    def test_from_where_it_was_cut_short(
        self, world: World, killed: str, undone: list[str]
    ) -> None:
        FAULTS[f"in {killed}"] = Killed()
        run(world)
        NOTES.clear()

        outcome = run(world, resumed=True, revert=True)

        assert outcome is not None and outcome.failure is not None
        assert outcome.failure.check(errors.OperationInterrupted)
        assert seen() == undone

    def test_one_that_never_started_still_reaches_its_first_task(self, world: World) -> None:
        run(world, resumed=True, revert=True)

        assert seen() == ["undo one cut short: error"]

    def test_one_that_is_being_undone_goes_on(self, world: World) -> None:
        FAULTS["in two"] = VolumeIsBusy("busy")
        FAULTS["undoing two"] = Killed()
        run(world)
        NOTES.clear()

        outcome = run(world, resumed=True, revert=True)

        assert outcome is not None and outcome.failure is not None
        assert outcome.failure.check(VolumeIsBusy)
        assert seen() == ["undo two failed: available", "undo one done: available"]

    def test_one_that_had_ended_stays_ended(self, world: World) -> None:
        run(world)
        world.journal.flush()
        NOTES.clear()

        assert run(world, resumed=True, revert=True) == engine.Outcome("done")
        assert seen() == []


class TestSuspend:
    def test_it_stops_at_the_next_boundary_and_goes_on_later(self, world: World) -> None:
        running = engine.Running(flow, {}, world.context(), world.journal.load(), world.journal)
        FAULTS["in two"] = running.suspend

        assert running.run() == engine.Outcome("suspended")
        world.journal.flush()
        assert seen() == ["one", "two"]

        assert run(world, resumed=True) == engine.Outcome("done")
        assert seen() == ["one", "two", "three again"]

    def test_while_undoing(self, world: World) -> None:
        running = engine.Running(flow, {}, world.context(), world.journal.load(), world.journal)
        FAULTS["in three"] = VolumeIsBusy("busy")
        FAULTS["undoing three"] = running.suspend

        assert running.run().state == "suspended"
        world.journal.flush()
        outcome = run(world, resumed=True)

        assert outcome is not None and outcome.failure is not None
        assert outcome.failure.check(VolumeIsBusy)
        assert seen()[-2:] == ["undo two done: available", "undo one done: available"]


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
        assert run(world, resumed=True) == engine.Outcome("done")

    def test_a_database_that_is_away_is_waited_for(self, world: World) -> None:
        FAULTS["in two"] = errors.Unavailable("away")

        assert run(world) == engine.Outcome("done")
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
        with pytest.raises(Interrupted):
            world.run(flow)
        NOTES.clear()
        world.stopping.clear()

        assert run(world, resumed=True) is not None
        assert seen()[0] in ("two again", "undo two done: error")
