# SPDX-License-Identifier: Apache-2.0
"""Choose the steps that taskflow's engine reverts, and mark them as failed."""

from __future__ import annotations

from taskflow import states
from taskflow.types.failure import Failure

from flows.compat.taskflow import Engine
from flows.engine.compiled_flows import Shape
from flows.errors import FlowError, OperationInterrupted
from flows.lifecycle import Step

UNDONE = (states.FAILURE, states.REVERTING, states.REVERTED, states.REVERT_FAILURE)
"""States of the steps of a flow that is being reverted, or was."""


def undo(engine: Engine, shape: Shape, revert: FlowError | None) -> None:
    """Mark steps as failed, which makes the engine revert the finished ones.

    :param revert: the reason to revert everything; None: only steps without a safe second try.
    """
    engine.compile()
    engine.prepare()
    _pass_over(engine, shape)
    for step in _to_undo(engine, shape, revert is not None):
        cause = revert or OperationInterrupted(f"interrupted in {step.name}")
        engine.storage.save(step.name, Failure.from_exception(cause), states.FAILURE)


def _pass_over(engine: Engine, shape: Shape) -> None:
    """Give steps that the journal of an earlier version lacks no result (see ``passed_over``)."""
    state_of = {name: engine.storage.get_atom_state(name) for name in shape.steps}
    if any(state in UNDONE for state in state_of.values()):
        return  # none of them is run
    begun = False
    for name, step in reversed(shape.steps.items()):
        if state_of[name] != states.PENDING:
            begun = True
        elif begun and step.passed_over:
            engine.storage.save(name, None, states.SUCCESS)


def _to_undo(engine: Engine, shape: Shape, everything: bool) -> list[Step]:
    """Return the steps that count as failed.

    A flow whose reverts have begun continues them anyway, and one of which all is done
    but the notification continues with that.
    """
    state_of = engine.storage.get_atom_state
    found = [(step, state_of(name)) for name, step in shape.steps.items()]
    if all(step.only_notifies or state == states.SUCCESS for step, state in found):
        return []
    interrupted = [step for step, state in found if state == states.RUNNING]
    if not everything:
        return [step for step in interrupted if not step.second_try_is_safe]
    if interrupted or any(state in UNDONE for _step, state in found):
        return interrupted
    return [step for step, state in found if state == states.PENDING][:1]
