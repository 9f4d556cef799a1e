# SPDX-License-Identifier: Apache-2.0
"""The reasons why operations wait, as far as the journal shows them.

A first step that runs is not in the journal. So operations that could run count as running, the
oldest first, until as many run as the process runs at once. Data transfers, which have threads and
limits of their own, are counted apart; quick operations count as others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from worker.journal.entries.listed_entry import JournalEntry

TURN = "turn"
"""Another operation on one of its resources was accepted before it."""

PROJECT = "project"
"""As many operations of its project run as ``project_operations_max`` allows."""

THREAD = "thread"
"""All threads are in use, or as many as ``operations_max`` of the backend allows."""

_RUN = ("RUNNING", "REVERTING")


def reasons(
    entries: Iterable[JournalEntry], threads: Callable[[str], int], most: Callable[[str], int]
) -> dict[str, str]:
    """Return the reason of each operation that waits.

    :param entries: all that have not ended, the oldest first.
    :param threads: returns how many operations of a kind the process of a slot runs at once.
    :param most: returns how many operations of a project a process runs at once; 0 for any.
    """
    found: dict[str, str] = {}
    slots: dict[str, _Slot] = {}
    for entry in entries:
        if entry.slot not in slots:
            slots[entry.slot] = _Slot(threads(entry.slot))
        reason = slots[entry.slot].add(entry, most)
        if reason is not None:
            found[entry.flow] = reason
    return found


class _Slot:
    """The operations of one process."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._taken: dict[str, bool] = {}
        """Names of locks, and whether one is taken exclusively."""
        self._running: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        """How many operations of each project run: data transfers, and others."""

    def add(self, entry: JournalEntry, most: Callable[[str], int]) -> str | None:
        """Add the next operation; return the reason why it waits."""
        exclusive, shared = _names(entry.meta, "locks"), _names(entry.meta, "shared")
        behind = any(name in self._taken for name in exclusive)
        behind = behind or any(self._taken.get(name, False) for name in shared)
        for name in shared:
            self._taken.setdefault(name, False)
        self._taken |= dict.fromkeys(exclusive, True)
        project, running = _project(entry.meta), self._running[entry.meta.get("moves_data") is True]
        if entry.state not in _RUN:
            if behind:
                return TURN
            if (limit := most(project)) and running[project] >= limit:
                return PROJECT
            if running.total() >= self._threads:
                return THREAD
        running[project] += 1
        return None


def _names(meta: Mapping[str, Any], key: str) -> list[str]:
    names = meta.get(key)
    return [one for one in names if isinstance(one, str)] if isinstance(names, list) else []


def _project(meta: Mapping[str, Any]) -> str:
    request = meta.get("request")
    found = request.get("project_id") if isinstance(request, Mapping) else None
    return found if isinstance(found, str) else ""
