# SPDX-License-Identifier: Apache-2.0
"""Threads that run resumed operations: when the driver is up, and suspects in small groups.

An operation that crashes its process interrupts all others that are inside a step then. They
are resumed together once. Those that are interrupted again are suspects, and the cause is
found by group testing: each suspect is resumed in a group of at most a quarter of the size of
the group in which it was interrupted. A group starts when the one before it has ended, or has
run for some time without a crash. So each crash leaves a quarter of the suspects, and the one
that is interrupted alone is the cause. Suspects of the largest groups go first, as these are
most likely not the cause.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from worker.execution.fairness.fair_executor import FairExecutor
from worker.execution.fairness.project_limits import UNLIMITED, ProjectLimits
from worker.journal.interruptions import Interruption

LOG = logging.getLogger(__name__)

THREADS = 16
"""Threads for resumed operations, beside those for new ones."""

SPLIT = 4
"""Each group of suspects is by this factor smaller than the one in which they crashed."""

QUIET_TIME = 5.0
"""Seconds without an end of an operation after which the next group starts beside it, for those
that were interrupted twice; twice as long for each interruption more, as the cause takes longer."""

SUSPECT_TIME = 60.0
"""Longest time until the next group starts, in seconds."""

Work = Callable[[], None]


class Resumed(Protocol):
    """An operation that is to be resumed.

    :param group_size: is set to the number of operations that run together when it starts.
    :param project: whose operation it is.
    """

    group_size: int
    project: str


@dataclass(frozen=True)
class ResumeCandidate:
    """An operation that is to be resumed, with the size of its last group.

    :param interruptions: how often it was interrupted without progress.
    :param group_size: the number of operations in its last group; 0 for one that is no suspect.
    """

    run: Resumed
    interruptions: int = 0
    group_size: int = 0

    @classmethod
    def of(cls, run: Resumed, found: Interruption, most: int) -> ResumeCandidate:
        """Return the candidate that follows from an operation's entry in the journal.

        :param most: how many losses of hosts in a row do not count.
        """
        size = max(1, found.group_size) if found.is_suspect(most) else 0
        return cls(run, found.counted(most), size)

    @property
    def largest(self) -> int:
        """The largest group in which it is resumed as a suspect."""
        return max(1, -(-self.group_size // SPLIT))


@dataclass(frozen=True)
class PendingWork:
    """Work that waits for the driver."""

    candidate: ResumeCandidate
    pool: FairExecutor
    work: Work


def groups(suspects: Iterable[PendingWork]) -> Iterator[list[PendingWork]]:
    """Yield the groups in the order in which they run, each as small as its members need."""
    group: list[PendingWork] = []
    order = sorted(
        suspects, key=lambda one: (-one.candidate.group_size, one.candidate.interruptions)
    )
    for one in order:
        if group and len(group) >= one.candidate.largest:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


class ResumePool:
    """Runs resumed operations beside new ones, those of each project in fair turns.

    :param limits: of the projects.
    """

    def __init__(self, limits: ProjectLimits = UNLIMITED) -> None:
        self.executor = FairExecutor("resumed", THREADS, limits=limits)
        self._guard = threading.Lock()
        self._waiting: list[PendingWork] | None = []
        self._closed = False

    def submit(
        self,
        candidate: ResumeCandidate,
        work: Callable[..., None],
        *args: Any,
        pool: FairExecutor | None = None,
    ) -> None:
        """Run work on a thread, or keep it until :meth:`start`.

        :param pool: other threads for it, as data transfers have them.
        """
        one = PendingWork(candidate, pool or self.executor, functools.partial(work, *args))
        with self._guard:
            if self._waiting is not None:
                self._waiting.append(one)
                return
        candidate.run.group_size = candidate.largest
        self._submit([one])

    def hold(self) -> None:
        """Keep work until the next :meth:`start`: operations that are adopted together."""
        with self._guard:
            if self._waiting is None:
                self._waiting = []

    def start(self) -> None:
        """Run the work that was kept: the driver is up."""
        with self._guard:
            waiting, self._waiting = self._waiting or [], None
        together = [one for one in waiting if not one.candidate.group_size]
        suspects = list(groups(one for one in waiting if one.candidate.group_size))
        running = self._begin(together, set())
        if suspects:
            count = sum(len(group) for group in suspects)
            LOG.warning(
                "%d operations were interrupted again: resumed in %d groups", count, len(suspects)
            )
            threading.Thread(
                target=self._run_groups, args=(running, suspects), name="suspects", daemon=True
            ).start()

    def close(self) -> None:
        """Start no work any more."""
        self._closed = True
        self.executor.close()

    def _run_groups(self, running: set[Future[None]], suspects: list[list[PendingWork]]) -> None:
        for group in suspects:
            most = max(one.candidate.interruptions for one in group)
            running = _left(running, min(SUSPECT_TIME, QUIET_TIME * 2 ** max(0, most - 2)))
            if self._closed:
                return
            running = self._begin(group, running)

    def _begin(self, group: list[PendingWork], running: set[Future[None]]) -> set[Future[None]]:
        """Start a group beside the operations that still run; return all that run then."""
        for one in group:
            one.candidate.run.group_size = len(group) + len(running)
        return running | set(self._submit(group))

    def _submit(self, group: list[PendingWork]) -> list[Future[None]]:
        """Let all wait for their turns before the first begins; return how they end."""
        works: dict[FairExecutor, list[tuple[str, Work]]] = {}
        for one in group:
            works.setdefault(one.pool, []).append((one.candidate.run.project, one.work))
        try:
            return [ended for pool, found in works.items() for ended in pool.submit_all(found)]
        except RuntimeError:
            LOG.debug("not started before the stop: the others stay in the journal")
            return []


def _left(running: set[Future[None]], quiet: float) -> set[Future[None]]:
    """Wait until all have ended, or none for some time; return those that still run."""
    until = time.monotonic() + SUSPECT_TIME
    while running and time.monotonic() < until:
        ended, running = wait(running, quiet, FIRST_COMPLETED)
        if not ended:
            break
    return running
