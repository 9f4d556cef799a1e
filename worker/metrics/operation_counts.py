# SPDX-License-Identifier: Apache-2.0
"""The numbers of an operation at its end: result, time, reverts, bytes."""

from __future__ import annotations

from flows.engine.flow_run import FlowRun, Outcome
from flows.errors import FlowError, OperationCancelled, OperationTimedOut
from worker.metrics.definitions import (
    LEFTOVERS,
    OPERATION_SECONDS,
    OPERATIONS,
    REVERTED,
    TRANSFERRED,
)
from worker.metrics.measurements import MEASURED

RESULTS = ("done", "failed", "suspended")


def count_end(method: str, outcome: Outcome, seconds: float, revert: FlowError | None) -> None:
    """Count an operation that has ended, or was suspended; not one that waits for another.

    :param revert: why it was reverted in place of being continued.
    """
    if outcome.waits_for is not None:
        return
    for result in RESULTS:  # a series that begins at 1 has no increase
        MEASURED.count(OPERATIONS, method, result, by=int(result == outcome.state))
    if outcome.state == "suspended":
        return
    MEASURED.observe(OPERATION_SECONDS, seconds, method)
    if outcome.state == "failed":
        MEASURED.count(REVERTED, method, _cause(revert))
    if outcome.revert_failures:
        MEASURED.count(LEFTOVERS)


def count_moved(flow: FlowRun) -> None:
    """Count the bytes that a flow has moved since the last call."""
    if flow.transfer.size and (moved := flow.transfer.take()):
        MEASURED.count(TRANSFERRED, flow.name, by=moved)


def _cause(revert: FlowError | None) -> str:
    if revert is None:
        return "failure"
    if isinstance(revert, OperationCancelled):
        return "cancelled"
    return "timeout" if isinstance(revert, OperationTimedOut) else "interrupted"
