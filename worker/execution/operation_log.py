# SPDX-License-Identifier: Apache-2.0
"""The log lines of an operation: one at its start, one at its end, one traceback at most."""

from __future__ import annotations

import logging

from drivers.interface.errors import ResourceBusy
from flows.engine.flow_run import Outcome
from flows.errors import FlowError
from worker.rpc.operation import Operation

LOG = logging.getLogger("worker.operation")


def log_start(operation: Operation, resumed: bool, revert: FlowError | None) -> None:
    """Log the start of an operation, and whether it is a further attempt."""
    how = f"is reverted: {revert}" if revert else "resumed" if resumed else "started"
    LOG.info("%s %s", operation, how)


def log_end(operation: Operation, outcome: Outcome, seconds: float, next_step: str) -> None:
    """Log the end of an operation and its duration.

    An error of the driver is logged with its traceback; a refusal by the operation
    itself, and a busy resource, in one line.

    :param next_step: of an operator, where a revert failed.
    """
    failure = outcome.failure
    if outcome.waits_for is not None:
        LOG.info("%s waits for the operation that holds %s", operation, outcome.waits_for)
    elif outcome.state == "suspended":
        LOG.warning("%s suspended after %.3f s; it resumes at the next start", operation, seconds)
    elif failure is None:
        LOG.info("%s done in %.3f s", operation, seconds)
    elif failure.check(ResourceBusy):
        LOG.warning("%s reverted after %.3f s: %s", operation, seconds, failure.exception_str)
    elif failure.check(FlowError):
        LOG.error("%s failed after %.3f s: %s", operation, seconds, failure.exception_str)
    else:
        # The summary of the error is appended by the log's formatter.
        LOG.error("%s failed after %.3f s", operation, seconds, exc_info=failure.exc_info)
    if outcome.revert_failures:
        steps = "; ".join(f"{step}: {text}" for step, text in outcome.revert_failures.items())
        text = "%s was not reverted entirely, something may be left: %s; %s"
        LOG.error(text, operation, steps, next_step)


def next_step(flow: str, *, has_all: bool) -> str:
    """Return the advice to an operator where effects of an operation may be left.

    :param has_all: whether the journal has all that a repetition of the reverts needs: the flow
        has ended there, and its secrets were not removed.
    """
    if has_all:
        return f"look, then: holdfast flow revert {flow}"
    return f"remove its remains on the backend: flow {flow} cannot be reverted again"
