# SPDX-License-Identifier: Apache-2.0
"""Choose the points at which a case is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.interface.errors import BackupDriverException, VolumeBackendAPIException
from flows import errors
from flows.backup import continue_
from flows.lifecycle import Step
from flows.volume import revert
from flows.volume.migration import complete, migrate, retype
from tests.faults.kill.cases.case import Case
from tests.journals.interruption import Interruption
from tests.journals.service import MAX_RESUMES
from worker.journal.journal import Journal

IN_EACH_STEP = ("create", "complete a migration", "migrate by copy", "retype by migration")
"""Cases that are interrupted in each of their steps."""

_AFTER_EACH_ERROR = ("create, to be rescheduled",)
"""Further cases in which the error decides about more than a status."""

_STOPPED = ("create", "migrate by copy", "restore backup")
"""Cases that are suspended, cancelled, and interrupted too often."""

_FAILED = ("create", "extend", "delete", "restore backup")
"""Cases that fail, and that an operator resumes then."""

_BROKEN: Mapping[Any, str] = {
    revert.flow: "restore",
    migrate.flow: "copy",
    retype.flow: "copy",
    complete.completion: "rename",
    continue_.flow: "keep",
}
"""Steps that fail, where it is not the last one before ``finish``."""

_GENERAL = (Exception, errors.FlowError, errors.OperationInterrupted)
_USUAL = {"volume": VolumeBackendAPIException, "backup": BackupDriverException}
_REASON = "an operator cancelled it"

Then = Callable[[Journal, str], None]


@dataclass(frozen=True)
class Point:
    """Where a case is interrupted.

    :param request: an operator's, see :class:`tests.journals.recording.Entry`.
    :param then: done to the journal's flow after the interruption.
    """

    name: str
    interruption: Interruption
    request: str = ""
    then: Then = lambda _journal, _flow: None


@dataclass(frozen=True)
class Run:
    """A case that was run without an interruption.

    :param again: runs it anew and returns the state of its flow, and its outcome.
    """

    kind: str
    case: Case
    steps: Sequence[Step]
    again: Callable[[Interruption], tuple[str, dict[str, Any]]]

    @property
    def usual(self) -> type[BaseException]:
        """The error that drivers raise most."""
        return _USUAL[self.kind]

    @property
    def broken(self) -> str:
        """The step that fails: the last one before the point of no return."""
        known = _BROKEN.get(self.case.factory)
        last = [s.name for s in self.steps if s.name != "finish" and not s.only_notifies]
        return str(known or (last or [self.steps[-1].name])[-1])


def points(run: Run, messages: set[type[BaseException]], *, first: bool) -> list[Point]:
    """Return where a case is interrupted.

    :param messages: errors that are known to change the message for the user; a case in
        which one does nothing else is not interrupted for it. Errors are added.
    :param first: whether it is the first case of its flow, which is interrupted most.
    """
    name, broken, usual = run.case.name, run.broken, run.usual
    steps = [step.name for step in run.steps]
    if not first:
        found = _significant(run, messages) if name in _AFTER_EACH_ERROR else []
        return [_in(broken), *(_before_undoing(broken, error) for error in found)]
    among = steps if name in IN_EACH_STEP else dict.fromkeys([broken, steps[-1]])
    undone = Interruption(broken=(broken, usual), at=("undoing", steps[0]))
    last = [Point(f"undoing {steps[0]} after {usual.__name__}", undone)]
    return [
        Point("before its first step", Interruption(at=("before", steps[0]))),
        *(_in(step) for step in among),
        *(_before_undoing(broken, error) for error in _significant(run, messages)),
        *(last if len(steps) > 1 else []),
        *(_stopped(broken, steps[len(steps) // 2]) if name in _STOPPED else []),
        *(_failed(broken, usual) if name in _FAILED else []),
        *(_stuck(broken, usual) if name == "create" else []),
    ]


def _significant(run: Run, messages: set[type[BaseException]]) -> list[type[BaseException]]:
    """Return the usual error, and those that lead to another outcome than that one."""
    first = Interruption(broken=(run.broken, run.usual))
    _state, end = run.again(first)
    found = [run.usual]
    for error in sorted(first.checked - {run.usual, *_GENERAL}, key=lambda one: one.__name__):
        _state, other = run.again(Interruption(broken=(run.broken, error)))
        differ = {name for name in end.keys() | other.keys() if end.get(name) != other.get(name)}
        if differ - {"messages"} or (differ and error not in messages):
            messages.add(error)
            found.append(error)
    return found


def _in(step: str) -> Point:
    return Point(f"in {step}", Interruption(at=("in", step)))


def _before_undoing(step: str, error: type[BaseException]) -> Point:
    interruption = Interruption(at=("before undoing", step), broken=(step, error))
    return Point(f"undoing {step} after {error.__name__}", interruption)


def _stopped(broken: str, middle: str) -> list[Point]:
    killed = Interruption(at=("in", broken))
    return [
        Point("suspended by a stop", Interruption(stop=middle)),
        Point("cancelled by an operator", killed, then=_cancelled),
        Point("interrupted too often", killed, then=_resumed(MAX_RESUMES)),
        Point("interrupted too often, undone too", killed, then=_resumed(2 * MAX_RESUMES + 1)),
    ]


def _failed(broken: str, error: type[BaseException]) -> list[Point]:
    failed = Interruption(broken=(broken, error))
    return [Point("failed, and resumed by an operator", failed, request="resume")]


def _stuck(broken: str, error: type[BaseException]) -> list[Point]:
    stuck = Interruption(broken=(broken, error), stuck=broken)
    return [Point("failed, and undone again by an operator", stuck, request="revert")]


def _cancelled(journal: Journal, flow: str) -> None:
    journal.request_revert(journal.load(flow), _REASON)


def _resumed(times: int) -> Then:
    def resumed(journal: Journal, flow: str) -> None:
        for _ in range(times):
            journal.count_interruption(journal.load(flow))

    return resumed
