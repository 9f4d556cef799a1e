# SPDX-License-Identifier: Apache-2.0
"""Describe one entry of the journal: its tasks, its attempts, and who changed its course."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from taskflow import states

from worker.journal.entries.ended_operation import MASKED
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.tasks import Task, read_tasks
from worker.journal.errors import JournalError
from worker.journal.journal import ENDED, Journal

_FRAME = re.compile(r'File "([^"\n]+)", line (\d+), in (\S+)')
_OURS = re.compile(r"(?:^|/)(?:worker|flows|taskflow)/")


def described(journal: Journal, entry: JournalEntry) -> dict[str, Any]:
    """Return all that the journal has about an operation."""
    kind, _space, resource_id = entry.resource.partition(" ")
    tasks, problem = _tasks(journal, entry)
    ended = entry.state in ENDED
    return {
        "flow": entry.flow,
        "method": entry.method,
        "resource_kind": kind,
        "resource_id": resource_id,
        "state": entry.state,
        "ended": ended,
        "slot": entry.slot,
        "owner": _owner(journal, entry.slot) if not ended else None,
        "request_id": entry.request_id,
        "accepted_at": moment(entry.accepted_at),
        "updated_at": moment(entry.updated_at),
        "took_s": _seconds(entry) if ended else None,
        "attempts": _attempts(entry),
        "operator_requests": _requests(journal, entry.flow),
        "failure": entry.failure,
        "not_undone": _left(entry),
        "can_run_again": entry.meta.get("when_cut_short", "revert") != "revert",
        "can_be_undone_again": entry.state == states.FAILURE and not entry.meta.get(MASKED),
        "problem": problem or None,
        "tasks": [_task(task) for task in tasks],
    }


def put_aside(entry: JournalEntry) -> dict[str, Any]:
    """Return the description of a message that is no operation."""
    return {
        "message": entry.flow,
        "method": entry.method,
        "reason": entry.failure,
        "request_id": entry.request_id,
        "received_at": moment(entry.accepted_at),
    }


def moment(at: datetime.datetime | float | None) -> str | None:
    """Return a time in UTC as text that sorts by time; None for none."""
    if at is None:
        return None
    if isinstance(at, int | float):
        at = datetime.datetime.fromtimestamp(at, datetime.UTC).replace(tzinfo=None)
    return at.isoformat(sep=" ", timespec="milliseconds" if at.microsecond else "seconds")


def _tasks(journal: Journal, entry: JournalEntry) -> tuple[list[Task], str]:
    try:
        return read_tasks(journal, entry)
    except JournalError as error:  # it was forgotten meanwhile
        return [], str(error)


def _task(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "state": task.shown,
        "began_at": moment(task.began),
        "took_s": None if task.took is None else round(task.took, 3),
        "progress": task.progress,
        "failure": task.traceback.strip().rpartition("\n")[2] or None,
        "driver_call": _driver_call(task.traceback),
        "undo_failure": task.left.strip().rpartition("\n")[2] or None,
    }


def _driver_call(traceback: str) -> str | None:
    """Return the first frame below flows and engine, and the last one: where a driver failed."""
    frames = _FRAME.findall(traceback)
    below = 0
    for number, (path, _line, _name) in enumerate(frames):
        below = number + 1 if _OURS.search(path) else below
    if not frames:
        return None
    path, line, name = frames[-1]
    called = frames[below][2] if below < len(frames) else name
    return f"{called}, at {path}:{line}"


def _attempts(entry: JournalEntry) -> dict[str, Any]:
    meta = entry.meta
    return {
        "interruptions": entry.resumes,
        "host_losses": _number(meta, "losses"),
        "interruptions_of_reverts": _number(meta, "reverts"),
        "reverted_because": meta.get("undo") if isinstance(meta.get("undo"), str) else None,
        "suspended": entry.state == states.SUSPENDED,
        "run_again_by_operator": bool(meta.get("reopened")),
    }


def _number(meta: Mapping[str, Any], name: str) -> int:
    value = meta.get(name)
    return value if isinstance(value, int) else 0


def _requests(journal: Journal, flow: str) -> list[dict[str, Any]]:
    return [
        {
            "action": one.action,
            "asked_at": moment(one.asked_at),
            "answer": one.answer,
            "done": one.done,
        }
        for one in journal.requests.of_flow(flow)
    ]


def _owner(journal: Journal, slot: str) -> dict[str, Any] | None:
    """Return the process that owns a slot; None for a journal in a file of one host."""
    found = journal.slots.table.find(slot) if journal.slots.table is not None else None
    if found is None:
        return None
    return {
        "node": found.node,
        "pid": found.pid,
        "lease_expires_in_s": round(found.expires_in, 1),
        "orphaned": found.orphaned,
        "adopted_by": found.adopted_by,
    }


def _left(entry: JournalEntry) -> dict[str, str]:
    left = entry.meta.get("left")
    return {str(k): str(v) for k, v in left.items()} if isinstance(left, Mapping) else {}


def _seconds(entry: JournalEntry) -> float | None:
    if entry.updated_at is None:
        return None
    return round((entry.updated_at - entry.accepted_at).total_seconds(), 3)
