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
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.stored_operation import UNREADABLE, reason_of
from worker.journal.errors import JournalError, UnreadableEntry
from worker.journal.journal import Journal

_END_OF_TIME = 1 << 36
"""Seconds since the epoch in the year 4147; dates have no year 10000."""


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

    :raises UnreadableEntry: they cannot be read.
    :raises JournalError: the flow is not there any more.
    """
    try:
        if entry.state == states.SUCCESS:
            kept = entry.meta.get("tasks", ())
            return [Task(str(name), states.SUCCESS, *_times(*times)) for name, *times in kept]
        known = {atom.name: _task(atom) for atom in journal.load(entry.flow)}
        return [known.get(name, Task(name)) for name in _names(entry, known)]
    except UNREADABLE as error:
        raise UnreadableEntry(f"the tasks cannot be read: {reason_of(error)}") from error


def read_tasks(journal: Journal, entry: JournalEntry) -> tuple[list[Task], str]:
    """Return a flow's tasks, and why its entry is not that of a known operation, or "".

    :raises JournalError: the flow is not there any more.
    """
    problem = unknown(entry) or ""
    try:
        return tasks_of(journal, entry), problem
    except UnreadableEntry as error:
        return [], problem or str(error)


def current_task(journal: Journal, entry: JournalEntry, *, ended: bool) -> str:
    """Return the task that runs, or the one that failed; or why it is unknown.

    :param ended: whether the flow has ended.
    """
    try:
        tasks, problem = read_tasks(journal, entry)
    except JournalError:  # it was forgotten meanwhile
        return ""
    if problem:
        return problem
    if ended:
        return next((task.name for task in tasks if task.traceback), "")
    # The last write is the beginning of a task; that of the first task is not written.
    going = [task.name for task in tasks if task.state in (states.RUNNING, states.REVERTING)]
    return going[0] if going else next((t.name for t in tasks if t.state == states.PENDING), "")


def unknown(entry: JournalEntry) -> str | None:
    """Return why an entry's operation is unknown to this version; None for a known one."""
    if "factory" not in entry.meta:
        return None
    try:
        factories.factory_of(entry.meta["factory"])
    except LookupError as error:
        return f"unknown operation: {error.args[0]}"
    return None


def flow_of(entry: JournalEntry) -> Flow | None:
    """Build an entry's flow; None for an entry without one, or of another version."""
    try:
        return build(entry.meta["factory"], entry.meta.get("args", {}))
    except LookupError:
        return None


def build(path: object, args: Mapping[str, Any]) -> Flow:
    """Build the flow of a registered factory. :raises LookupError: there is none."""
    factory = factories.factory_of(path)
    try:
        return factory(**{name: args.get(name) for name in factories.parameters_of(factory)})
    except (TypeError, ValueError, AttributeError) as error:
        raise LookupError(f"{path} makes no flow: {error}") from error


def _task(atom: Any) -> Task:
    began, took = _times(atom.meta.get("began"), atom.meta.get("ended"))
    if atom.state in (states.RUNNING, states.REVERTING):
        took = None
    traceback = _traceback(atom.failure) if atom.failure is not None else ""
    reverted = atom.revert_results
    left = reverted.get("traceback", "") if isinstance(reverted, Mapping) else ""
    progress = atom.meta.get("progress")
    part = float(progress) if isinstance(progress, int | float) else None
    return Task(atom.name, atom.state, began, took, traceback, str(left), part)


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


def _times(began: object, ended: object) -> tuple[float | None, float | None]:
    first, last = _seconds(began), _seconds(ended)
    return first, last - first if first is not None and last is not None else None


def _seconds(value: object) -> float | None:
    """Return a stored time; None for one that no clock shows."""
    if isinstance(value, int | float) and 0 <= value < _END_OF_TIME:
        return float(value)
    return None
