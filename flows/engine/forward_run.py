# SPDX-License-Identifier: Apache-2.0
"""The steps of a new flow, one after another, without taskflow's engine.

The engine builds a graph, a runtime and a state machine for each flow, which is most of its cost,
and a line of steps that all succeed needs none of them. So the steps of such a flow are called
here. The same states are written through the same backend, in the same order. Whatever is not
plain success is the engine's: a failure, a suspension, a resume and the reverts. It continues from
the flow detail that this has left, as from that of an interrupted flow. A test compares both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from oslo_utils import uuidutils
from taskflow import states, task
from taskflow.flow import Flow
from taskflow.patterns import linear_flow
from taskflow.persistence.models import FlowDetail, TaskDetail
from taskflow.types.failure import Failure

from flows.lifecycle import Step

LOG = logging.getLogger(__name__)

_EXTRACTION = (IndexError, KeyError, ValueError, TypeError)
"""Errors of a result that has not all the parts which its step provides."""

Notify = Callable[[str, dict[str, Any]], None]
"""Called after each change of a step's state, with the state and the step's name."""


class HandedOver(Exception):  # noqa: N818 - it is no error
    """taskflow's engine is to continue."""


@dataclass(frozen=True)
class PlannedStep:
    """A step of a line.

    :param version: its version in the journal.
    """

    step: Step
    version: str


class Line:
    """The steps of a flow that is one line.

    :param steps: in their order.
    """

    def __init__(self, steps: Collection[Step]) -> None:
        self.steps = [PlannedStep(one, ".".join(map(str, one.version))) for one in steps]
        self._needed = frozenset(_needed(steps))

    @classmethod
    def of(cls, flow: Flow) -> Line | None:
        """Return the line of a flow; None for one that only taskflow's engine can run."""
        if type(flow) is not linear_flow.Flow or flow.retry is not None:
            return None
        steps = list(flow)
        plain = all(isinstance(one, Step) and _is_plain(one) for one in steps)
        return cls(steps) if plain and len({one.name for one in steps}) == len(steps) else None

    def takes(self, given: Collection[str]) -> bool:
        """Return whether each step gets its arguments; where not, the engine says which."""
        return self._needed.issubset(given)


def _is_plain(step: Step) -> bool:
    kind = type(step)
    return (
        not step.inject
        and kind.pre_execute is task.Task.pre_execute
        and kind.post_execute is task.Task.post_execute
    )


def _needed(steps: Collection[Step]) -> Iterator[str]:
    """Yield the arguments of steps, and of their reverts, that no earlier step provides."""
    provided: set[str] = set()
    for step in steps:
        for rebind, optional in (
            (step.rebind, step.optional),
            (step.revert_rebind, step.revert_optional),
        ):
            for arg, name in rebind.items():
                if arg not in optional and name not in provided:
                    yield name
        provided |= step.save_as.keys()


def execute(step: Step, arguments: Mapping[str, Any]) -> Any:
    """Execute a step; return its result, or the failure in which it ended."""
    try:
        return step.execute(**arguments)
    except Exception:  # noqa: BLE001 - a driver may raise anything at all
        return Failure()


class ForwardRun:
    """A new flow that is run until it ends, or until taskflow's engine has to continue.

    :param given: the arguments of the flow, and its context.
    """

    def __init__(
        self,
        line: Line,
        detail: FlowDetail,
        backend: Any,
        given: Mapping[str, Any],
        notify: Notify,
    ) -> None:
        self._line = line
        self._detail = detail
        self._backend = backend
        self._given = given
        self._notify = notify
        self._atoms: dict[str, TaskDetail] = {}
        self._provided: dict[str, Any] = {}
        self._lacking: set[str] = set()
        """Names that a step should have provided."""

    def run(self, is_suspended: Callable[[], bool]) -> None:
        """Run the steps to the end of the flow.

        :param is_suspended: whether to run no further step; asked before each.
        :raises HandedOver: the engine is to continue.
        :raises StorageFailure: the journal did not take a write.
        """
        try:
            self._begin()
            for planned in self._line.steps:
                if is_suspended():
                    raise HandedOver
                self._run_step(planned.step)
            self.set_state(states.SUCCESS)
        except HandedOver:
            raise
        except Exception:
            self.set_state(states.FAILURE)
            raise

    def result(self, name: str) -> Any:
        """Return a result of a flow that has ended.

        :raises HandedOver: no step has provided it; the engine says so.
        """
        if name not in self._lacking:
            for step in (one.step for one in self._line.steps):
                if name in step.save_as:  # of several, taskflow returns the first one
                    found, index = self._atoms[step.name].results, step.save_as[name]
                    return found if index is None else found[index]
        raise HandedOver

    def set_state(self, state: str) -> None:
        """Note the state of the flow."""
        self._detail.state = state
        self._backend.update_flow_details(self._detail)

    def set_progress(self, step: str, fraction: float) -> None:
        """Note the progress of a step."""
        if fraction not in (0.0, 1.0):
            self.add_to_meta(step, {"progress": fraction})

    def add_to_meta(self, step: str, more: Mapping[str, Any]) -> None:
        """Add fields to the meta of a step."""
        atom = self._atoms[step]
        changed = atom.copy()
        changed.meta.update(more)
        self._save(atom, changed)

    def _begin(self) -> None:
        # A new detail each: other threads iterate over the steps of the one that runs.
        begun = self._detail.copy()
        for planned in self._line.steps:
            atom = TaskDetail(planned.step.name, uuidutils.generate_uuid())
            atom.state, atom.version = states.PENDING, planned.version
            begun.add(atom)
            self._atoms[atom.name] = atom
        self._detail.update(begun)
        self.set_state(states.RUNNING)

    def _run_step(self, step: Step) -> None:
        atom = self._atoms[step.name]
        changed = atom.copy()
        changed.state = states.RUNNING
        self._save(atom, changed)
        self._changed(atom)
        result = execute(step, dict(self._arguments(step)))
        if isinstance(result, Failure):
            self._put(atom, states.FAILURE, result)
            raise HandedOver
        self._note_provided(step, result)
        self._put(atom, states.SUCCESS, result)

    def _arguments(self, step: Step) -> Iterator[tuple[str, Any]]:
        """Yield the arguments of a step: those of the flow, and the latest results."""
        for arg, name in step.rebind.items():
            if name in self._given:
                yield arg, self._given[name]
            elif name in self._lacking:
                raise HandedOver
            elif name in self._provided:
                yield arg, self._provided[name]

    def _note_provided(self, step: Step, result: Any) -> None:
        for name, index in step.save_as.items():
            try:
                self._provided[name] = result if index is None else result[index]
            except _EXTRACTION:
                LOG.warning("%s did not provide %s", step.name, name)
                self._lacking.add(name)

    def _put(self, atom: TaskDetail, state: str, result: Any) -> None:
        changed = atom.copy()
        changed.put(state, result)
        self._save(atom, changed)
        self._changed(atom)

    def _save(self, atom: TaskDetail, changed: TaskDetail) -> None:
        # The step is in its new state only when the backend has taken that.
        atom.update(self._backend.update_atom_details(changed))

    def _changed(self, atom: TaskDetail) -> None:
        try:
            self._notify(atom.state, {"task_name": atom.name})
        except Exception:
            LOG.exception("an observer failed at %s of %s", atom.name, self._detail.name)
