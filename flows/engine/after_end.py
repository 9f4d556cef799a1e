# SPDX-License-Identifier: Apache-2.0
"""The remaining steps of an operation that has ended: its resource shows no claim of it.

The process was killed, or an answer of the database was lost, between the final status and
the end of the flow. Only steps that may run after the end of their operation are run.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

from taskflow import states
from taskflow.exceptions import StorageFailure
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from flows.context import OperationContext
from flows.engine.compiled_flows import Shape
from flows.engine.undo import UNDONE
from flows.errors import RunInterrupted
from flows.lifecycle import Step

LOG = logging.getLogger(__name__)


class EndedOperation:
    """An operation that has ended before its flow did."""

    def __init__(
        self, shape: Shape, detail: FlowDetail, ctx: OperationContext, args: Mapping[str, Any]
    ) -> None:
        self._shape = shape
        self._detail = detail
        self._ctx = ctx
        self._args = args

    def run(self) -> Failure | None:
        """Run the steps that may run after the end; return the failure that the flow ended in."""
        found = {atom.name: atom for atom in self._detail}
        known = self._known(found)
        self._remove_temporary(found, known)
        for atom in found.values():
            if atom.state in UNDONE and atom.failure is not None:
                failure: Failure = atom.failure
                return failure
        complete = True
        for name, step in self._shape.steps.items():
            if name in found and found[name].state == states.SUCCESS:
                continue
            if complete and (step.runs_after_end or step.only_notifies):
                args = {arg: known.get(name) for arg, name in step.rebind.items()}
                self._run_after_end(step, functools.partial(step.execute, **args))
            elif name not in self._shape.bookkeeping:
                complete = False
        return None

    def _remove_temporary(self, found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        begun = {name for name, atom in found.items() if atom.state != states.PENDING}
        for step in self._shape.steps.values() if begun else ():
            call = functools.partial(step.remove_temporary, self._ctx, known, begun)
            self._run_after_end(step, call)

    def _known(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, and the results of the steps that have ended."""
        known = {**self._args, "ctx": self._ctx}
        for name, step in self._shape.steps.items():
            atom = found.get(name)
            if atom is not None and atom.state == states.SUCCESS:
                known |= _provided(step, atom.results)
        return known

    def _run_after_end(self, step: Step, call: Callable[[], object]) -> None:
        try:
            call()
        except (RunInterrupted, StorageFailure):
            raise
        except Exception as error:  # noqa: BLE001 - a driver may raise anything at all
            LOG.warning("%s, after the end of %s: %s", step.name, self._detail.name, error)


def _provided(step: Step, result: Any) -> dict[str, Any]:
    """Return the results of a step by the names under which it provides them."""
    return {
        name: result if index is None else result[index] for name, index in step.save_as.items()
    }
