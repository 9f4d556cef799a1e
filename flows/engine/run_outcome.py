# SPDX-License-Identifier: Apache-2.0
"""Outcomes of runs of flows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from taskflow import states
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from flows.compat.taskflow import Engine
from flows.engine.compiled_flows import RESULT, Shape
from flows.errors import OperationInterrupted
from flows.lifecycle import UNDO_FAILED

OutcomeState = Literal["done", "failed", "suspended"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    :param state: ``done``; ``failed`` (reverted); ``suspended`` (resumes later).
    :param waits_for: the lock of the operation whose end resumes a suspended one; None where
        the next start does.
    :param failure: the cause of the reverts.
    :param result: the flow's result ``result``, for calls.
    :param revert_failures: steps that could not be reverted: class and text of each error.
    """

    state: OutcomeState
    failure: Failure | None = None
    result: Any = None
    revert_failures: Mapping[str, str] = field(default_factory=dict)
    waits_for: str | None = None


def outcome_of(engine: Engine, error: Exception | None, shape: Shape) -> Outcome:
    """Return how the run of an engine ended.

    :param error: that ended the run.
    """
    state = engine.storage.get_flow_state()
    if state == states.SUSPENDED:
        return Outcome("suspended")
    if error is None and state == states.SUCCESS:
        return Outcome("done", result=engine.storage.fetch(RESULT) if shape.has_result else None)
    revert_failures = dict(_undo_failures(engine.detail))
    for failure in engine.storage.get_execute_failures().values():
        return Outcome("failed", failure, revert_failures=revert_failures)
    cause = error or OperationInterrupted(f"flow ended in {state}")
    return Outcome("failed", Failure.from_exception(cause), revert_failures=revert_failures)


def _undo_failures(detail: FlowDetail) -> Iterator[tuple[str, str]]:
    for atom in detail:
        result = atom.revert_results
        if isinstance(result, Mapping) and UNDO_FAILED in result:
            yield atom.name, result[UNDO_FAILED]
