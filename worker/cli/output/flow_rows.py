# SPDX-License-Identifier: Apache-2.0
"""The rows of ``holdfast flow list``, and the fields of ``holdfast flow show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oslo_utils import timeutils

from worker.cli.access import Access, plain
from worker.cli.explain import activity
from worker.cli.flow import UNDER_WAY, UNDONE
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.tasks import Task, current_task, read_tasks

HEADS = ("Flow", "Method", "Resource", "State", "Task", "Age (s)", "Resumes", "Waits for")


def rows(access: Access, entries: Sequence[JournalEntry]) -> list[tuple[Any, ...]]:
    """Return a row for each operation."""
    under_way = any(entry.state in UNDER_WAY for entry in entries)
    reasons = activity.waiting(access) if under_way else {}
    return [(*_row(access, entry), reasons.get(entry.flow, "")) for entry in entries]


def shown(access: Access, entry: JournalEntry, *, traceback: bool) -> dict[str, Any]:
    """Return the fields of an operation.

    :param traceback: whether those of its errors are among them.
    """
    tasks, problem = read_tasks(access.journal, entry)
    found: dict[str, Any] = {
        "flow": entry.flow,
        "method": entry.method,
        "resource": entry.resource,
        "state": entry.state,
        "slot": entry.slot,
        "request": entry.request_id or "",
        "accepted": plain(entry.accepted_at),
        "updated": plain(entry.updated_at),
        "resumes": entry.resumes,
        "failure": entry.failure or "",
    }
    if problem:
        found["problem"] = problem
    left = entry.meta.get("left")
    if isinstance(left, Mapping):
        found |= {f"left by {step}": text for step, text in left.items()}
    found |= {f"task {task.name}": _state_and_times(task) for task in tasks}
    if traceback:
        failed = [task for task in tasks if task.traceback]
        found |= {f"traceback of {task.name}": task.traceback for task in failed}
        unreverted = [task for task in tasks if task.left]
        found |= {f"traceback of undoing {task.name}": task.left for task in unreverted}
    return found


def _row(access: Access, entry: JournalEntry) -> tuple[Any, ...]:
    age = int((timeutils.utcnow() - entry.accepted_at).total_seconds())
    task = ""
    if entry.state in (*UNDER_WAY, *UNDONE):  # the one that runs, or that failed
        task = str(current_task(access.journal, entry, ended=entry.state in UNDONE))
    return (
        entry.flow,
        entry.method,
        entry.resource,
        entry.state,
        task,
        age,
        entry.resumes,
    )


def _state_and_times(task: Task) -> str:
    parts = [task.shown]
    if task.began_text:
        parts.append(f"began {task.began_text}")
    if task.took_text:
        parts.append(f"took {task.took_text}")
    return ", ".join(parts)
