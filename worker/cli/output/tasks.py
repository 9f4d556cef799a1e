# SPDX-License-Identifier: Apache-2.0
"""The tasks of a flow as a person is shown them: state, begin and time taken."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskflow import states
from taskflow.flow import Flow
from taskflow.types.failure import Failure

from flows import factories
from flows.lifecycle import error_name
from worker.journal.journal import Journal, JournalEntry


@dataclass(frozen=True)
class Task:
    """One task.

    :param began: seconds since the epoch, None when it has not begun.
    :param took: seconds, None while it runs.
    :param traceback: where it failed; empty if it did not.
    :param progress: the part that is done, from 0 to 1; None where it is unknown.
    :param left: where its undoing failed, with the error's class and text.
    """

    name: str
    state: str = states.PENDING
    began: float | None = None
    took: float | None = None
    traceback: str = ""
    left: str = ""
    progress: float | None = None

    @property
    def shown(self) -> str:
        """The state; the task that failed is marked apart from those that were reverted."""
        if self.left:
            return "NOT UNDONE"
        if self.state == states.RUNNING and self.progress is not None:
            return f"{self.state} {self.progress:.0%}"
        return "FAILED" if self.traceback and self.state == states.REVERTED else self.state

    @property
    def began_text(self) -> str:
        """The time of day when it began, in UTC."""
        if self.began is None:
            return ""
        began = datetime.datetime.fromtimestamp(self.began, datetime.UTC)
        return f"{began:%H:%M:%S}.{began.microsecond // 1000:03d}"

    @property
    def took_text(self) -> str:
        """How long it took."""
        return "" if self.took is None else f"{self.took:.3f} s"


def tasks_of(journal: Journal, entry: JournalEntry) -> list[Task]:
    """Return a flow's tasks in their order, those that have not begun too.

    :raises JournalError: the flow is not there any more.
    """
    if entry.state == states.SUCCESS:
        kept = entry.meta.get("tasks", ())
        return [Task(name, states.SUCCESS, *_times(began, ended)) for name, began, ended in kept]
    known = {atom.name: _task(atom) for atom in journal.load(entry.flow)}
    return [known.get(name, Task(name)) for name in _names(entry, known)]


def flow_of(entry: JournalEntry) -> Flow | None:
    """Build an entry's flow; None for an entry without one, or of another version."""
    try:
        return build(entry.meta["factory"], entry.meta.get("args", {}))
    except (KeyError, LookupError):
        return None


def build(path: str, args: Mapping[str, Any]) -> Flow:
    """Build a flow for looking at. :raises LookupError: there is no such factory."""
    factory = factories.factory_of(path)
    try:
        return factory(**{name: args.get(name) for name in factories.parameters_of(factory)})
    except TypeError as error:
        raise LookupError(f"{path} makes no flow: {error}") from error


def _task(atom: Any) -> Task:
    began, took = _times(atom.meta.get("began"), atom.meta.get("ended"))
    if atom.state in (states.RUNNING, states.REVERTING):
        took = None
    traceback = _traceback(atom.failure) if atom.failure is not None else ""
    reverted = atom.revert_results
    left = reverted.get("traceback", "") if isinstance(reverted, Mapping) else ""
    return Task(atom.name, atom.state, began, took, traceback, left, atom.meta.get("progress"))


def _traceback(failure: Failure) -> str:
    """Return the stack of the failure and, last, its error, as Python prints them."""
    return f"{failure.traceback_str or ''}{error_name(failure)}: {failure.exception_str}"


def _names(entry: JournalEntry, known: Mapping[str, Task]) -> list[str]:
    flow = flow_of(entry)
    if flow is not None:
        names = [node.name for node, _data in flow.iter_nodes()]
        if set(known) <= set(names):
            return names
    return sorted(known, key=lambda name: known[name].began or 0)


def _times(began: float | None, ended: float | None) -> tuple[float | None, float | None]:
    took = ended - began if began is not None and ended is not None else None
    return began, took
