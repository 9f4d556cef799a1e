# SPDX-License-Identifier: Apache-2.0
"""Weighted fair queue: the next of many waiting items, by project.

This is start-time fair queueing. Each item gets a virtual start: the one of the item before it in
its project plus the reciprocal of the project's weight, and at least the virtual time, which is the
start of the item that was taken last. The item with the earliest start is taken. So projects that
wait are served in turns, by their weights, one that waited for nothing saves up nothing, and the
items of one project stay in their order. Each step costs O(log n) in the number of projects.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from worker.execution.fairness.project_limits import UNLIMITED, ProjectLimits

T = TypeVar("T")

_KEPT = 64
"""Projects without items that are kept at least, before those without a debt are forgotten."""


@dataclass(eq=False)
class _Project(Generic[T]):
    """The waiting items of one project.

    :param start: virtual start of the first item.
    :param end: virtual end of the item that was taken last.
    :param running: how many of its items were taken and are not done.
    :param entry: its valid entry in a heap; 0 for none.
    """

    name: str
    items: deque[T] = field(default_factory=deque)
    start: float = 0.0
    end: float = 0.0
    running: int = 0
    entry: int = 0


_Heap = list[tuple[float, int, _Project[T]]]


class FairQueue(Generic[T]):
    """Items of projects, of which a limited number runs at once. It is not thread-safe.

    :param places: how many items may run at once; called for each decision.
    :param reserved: further places, for items of projects of which none runs.
    :param limits: the weights and limits of projects.
    :param keeps: returns whether no item of a project is taken for the time being. After a change
        :meth:`limits_changed` is called.
    """

    def __init__(
        self,
        places: Callable[[], int],
        reserved: Callable[[], int] = lambda: 0,
        limits: ProjectLimits = UNLIMITED,
        keeps: Callable[[str], bool] = lambda _project: False,
    ) -> None:
        self._places = places
        self._reserved = reserved
        self._limits = limits
        self._keeps = keeps
        self._projects: dict[str, _Project[T]] = {}
        self._idle: _Heap[T] = []
        """Projects that have items, and none that runs."""
        self._busy: _Heap[T] = []
        """Projects that have items, and some that run."""
        self._entries = itertools.count(1)
        self._now = 0.0
        self._waiting = 0
        self._running = 0

    def __len__(self) -> int:
        return self._waiting

    def push(self, project: str, item: T) -> None:
        """Append an item to those of its project."""
        found = self._projects.get(project)
        if found is None:
            found = self._projects[project] = _Project(project)
        found.items.append(item)
        self._waiting += 1
        if len(found.items) == 1:
            found.start = max(self._now, found.end)
            self._list(found)

    def pop(self) -> tuple[str, T] | None:
        """Take the next item that may run now; None where there is none."""
        project = self._next()
        if project is None:
            return None
        item = project.items.popleft()
        self._now = project.start
        project.end = project.start + 1 / self._limits.weight(project.name)
        project.running += 1
        project.entry = 0
        self._waiting -= 1
        self._running += 1
        if project.items:
            project.start = project.end
            self._list(project)
        return project.name, item

    def done(self, project: str) -> None:
        """Note that an item which was taken has ended."""
        found = self._projects[project]
        found.running -= 1
        self._running -= 1
        if found.items:
            if not found.entry or not found.running:
                self._list(found)
        elif not self._running and not self._waiting:
            self._projects.clear()
            self._idle.clear()
            self._busy.clear()
            self._now = 0.0
        elif len(self._projects) > _KEPT:
            self._forget(found)

    def begins(self, project: str) -> bool:
        """Return whether a further item of a project would be taken at once."""
        found = self._projects.get(project)
        idle = found is None or not (found.running or found.items)
        places = self._places() + (self._reserved() if idle else 0)
        may = found is None or (not found.items and self._may_run(found))
        return may and self._running < places

    def limits_changed(self) -> None:
        """Let items run which a limit has kept back that is higher by now.

        Their projects take turns with the others, and do not make up for those that they missed.
        """
        for one in self._projects.values():
            if one.items and not one.entry:
                one.start = max(one.start, self._now)
                self._list(one)

    def limited_projects(self) -> set[str]:
        """Return the projects whose items wait only because of the limit of their project."""
        return {
            one.name
            for one in self._projects.values()
            if one.items and one.running and not self._may_run(one)
        }

    def clear(self) -> list[T]:
        """Remove and return the items that wait."""
        left = [item for one in self._projects.values() for item in one.items]
        for one in self._projects.values():
            one.items.clear()
            one.entry = 0
        self._waiting = 0
        return left

    def _next(self) -> _Project[T] | None:
        """Return the project of the next item."""
        places = self._places()
        if self._running >= places + self._reserved():
            return None
        idle = self._head(self._idle)
        if self._running >= places:
            found = idle
        else:
            heads = [one for one in (idle, self._head(self._busy)) if one is not None]
            found = min(heads, key=lambda one: (one.start, one.entry), default=None)
        return found

    def _head(self, heap: _Heap[T]) -> _Project[T] | None:
        """Return the first project of a heap that may run; entries that do not hold are dropped."""
        while heap:
            _start, entry, project = heap[0]
            if project.entry == entry:
                if self._may_run(project):
                    return project
                project.entry = 0  # its limit was lowered
            heapq.heappop(heap)
        return None

    def _list(self, project: _Project[T]) -> None:
        """Enter a project with items into its heap, unless its limit forbids that."""
        project.entry = 0
        if self._may_run(project):
            project.entry = next(self._entries)
            heap = self._busy if project.running else self._idle
            heapq.heappush(heap, (project.start, project.entry, project))

    def _may_run(self, project: _Project[T]) -> bool:
        if self._keeps(project.name):
            return False
        most = self._limits.most(project.name)
        return not most or project.running < most

    def _forget(self, project: _Project[T]) -> None:
        """Forget a project without items that has no debt: it would begin at the same time."""
        if not project.running and project.end <= self._now:
            del self._projects[project.name]
