# SPDX-License-Identifier: Apache-2.0
"""The engine: steps that resume after a kill, and steps that are reverted instead."""

from __future__ import annotations

import pytest

from drivers.interface.errors import VolumeIsBusy
from flows import errors
from flows.engine import flow_run
from tests.unit.flows.engine import recording_flows
from tests.unit.flows.engine.recording_flows import FAULTS, NOTES, delicate, run, seen
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World


@pytest.fixture(autouse=True)
def _clean() -> None:
    recording_flows.forget()


class TestResume:
    def test_an_interrupted_task_runs_again_and_a_finished_one_does_not(self, world: World) -> None:
        FAULTS["in two"] = Killed()
        run(world)
        NOTES.clear()

        assert run(world, resumed=True) == flow_run.Outcome("done")

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

        assert run(world, resumed=True, revert=True) == flow_run.Outcome("done")
        assert seen() == []

    def test_one_that_an_operator_asks_for_once_more_has_a_key_of_its_own(
        self, world: World
    ) -> None:
        """Its first run has left checkpoints, and the resource was the user's since."""
        detail, keys = world.journal.load(), []
        for meta in ({}, {"reopened": True}, {"reopened": "a"}, {"reopened": "b"}):
            detail.meta = meta
            running = flow_run.FlowRun(delicate, {}, world.context(), detail, world.journal)
            keys.append(running._ctx.pace.key)

        assert keys[:2] == [detail.uuid] * 2
        assert len(set(keys)) == 3
