# SPDX-License-Identifier: Apache-2.0
"""Read the present activity: unfinished operations, recent failures, states of services."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg
from oslo_utils import timeutils

from drivers.interface.records import Record
from worker.cli.access import Access
from worker.cli.explain import waiting_reasons
from worker.cli.flow import UNDER_WAY, UNDONE
from worker.conf import ConfigError, backends
from worker.execution.fairness.project_limits import ProjectLimits
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.tasks import Task, read_tasks
from worker.journal.errors import JournalError

_MOST = 20_000
"""Operations that are read: as many as wait in one process by default."""

_SHOWN = 1000
"""Operations that are returned."""

_WITH_TASKS = 100
"""Operations whose tasks are read, the oldest ones."""

_RECENT = datetime.timedelta(hours=1)

_ACTIVE = ("RUNNING", "REVERTING")


def read(access: Access) -> dict[str, Any]:
    """Return the operations, the oldest first, with counts, and the services.

    :raises JournalError: the journal cannot be read.
    """
    return {
        "at": str(timeutils.utcnow()),
        **operations(access),
        "services": [
            {name: one[name] for name in ("binary", "host", "state", "disabled", "frozen")}
            for one in services(access)
        ],
    }


def operations(access: Access, most: int = _SHOWN) -> dict[str, Any]:
    """Return the operations that have not ended, the oldest first, and counts.

    :param most: operations that are described; running ones come before those that wait.
    :raises JournalError: the journal cannot be read.
    """
    entries = _unfinished(access)
    active = [one for one in entries if one.state in _ACTIVE]
    with_tasks = {one.flow for one in active[:_WITH_TASKS]}
    reasons = _reasons(access, entries)
    waiting = [one for one in entries if one.state not in _ACTIVE]
    return {
        "running": len(active),
        "waiting": len(waiting),
        "waiting_for": {
            reason: sum(one == reason for one in reasons.values())
            for reason in (waiting_reasons.TURN, waiting_reasons.PROJECT, waiting_reasons.THREAD)
        },
        "failed_last_hour": _failed(access),
        "operations": [
            _operation(access, one, tasks=one.flow in with_tasks, waits_for=reasons.get(one.flow))
            for one in (*active, *waiting)[:most]
        ],
    }


def waiting(access: Access) -> dict[str, str]:
    """Return why operations wait, by their ids."""
    return _reasons(access, _unfinished(access))


def _unfinished(access: Access) -> list[JournalEntry]:
    """Return the operations that have not ended, the oldest first."""
    return access.journal.entries(among=UNDER_WAY, limit=_MOST)[::-1]


def _reasons(access: Access, entries: Sequence[JournalEntry]) -> dict[str, str]:
    limits = ProjectLimits.of(access.conf)
    return waiting_reasons.reasons(entries, functools.partial(places, access.conf), limits.most)


def places(conf: cfg.ConfigOpts, slot: str) -> int:
    """Return how many operations of each kind the process of a slot runs at once."""
    threads = int(conf.executor_thread_pool_size)
    name = slot.rpartition("/")[0].partition("@")[2]
    try:
        most = backends.operations_max(conf, name) if name in (conf.enabled_backends or ()) else 0
    except ConfigError:
        most = 0  # the service runs with values from before they were made wrong
    return min(most, threads) if most else threads


def _operation(
    access: Access, entry: JournalEntry, *, tasks: bool, waits_for: str | None
) -> dict[str, Any]:
    task = _current(access, entry) if tasks else None
    return {
        "flow": entry.flow,
        "method": entry.method,
        "resource": entry.resource,
        "state": entry.state,
        "slot": entry.slot,
        "waits_for": waits_for,
        "task": task.name if task else None,
        "progress": task.progress if task else None,
        "age_s": max(0, int((timeutils.utcnow() - entry.accepted_at).total_seconds())),
        "interruptions": entry.resumes,
    }


def _current(access: Access, entry: JournalEntry) -> Task | None:
    """Return the task that runs, or the one that begins."""
    try:
        tasks, _problem = read_tasks(access.journal, entry)
    except JournalError:  # it was forgotten meanwhile
        return None
    going = [task for task in tasks if task.state in _ACTIVE]
    return next(iter((*going, *(task for task in tasks if task.state == "PENDING"))), None)


def _failed(access: Access) -> int:
    since = timeutils.utcnow() - _RECENT
    entries = access.journal.entries(among=UNDONE, limit=_MOST)
    return sum(1 for one in entries if (one.updated_at or one.accepted_at) >= since)


def services(access: Access) -> list[dict[str, Any]]:
    """Return the services of the database."""
    return [_service(access, row) for row in access.records.services.list()]


def _service(access: Access, row: Record) -> dict[str, Any]:
    beat = row.updated_at or row.created_at
    age = (timeutils.utcnow() - beat).total_seconds() if beat else None
    return {
        "binary": row.binary,
        "host": row.host,
        "state": "up" if access.is_up(row) else "down",
        "disabled": bool(row.disabled),
        "disabled_reason": row.disabled_reason,
        "frozen": bool(row.frozen),
        "cluster": row.cluster_name,
        "heartbeat_age_s": None if age is None else max(0, int(age)),
    }
