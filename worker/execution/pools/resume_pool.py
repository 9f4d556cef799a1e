# SPDX-License-Identifier: Apache-2.0
"""Threads that run resumed operations: when the driver is up, and suspects in small groups.

An operation that crashes its process interrupts all others that are inside a step then. They
are resumed together once. Those that are interrupted again are suspects, and the cause is
found by group testing: each suspect is resumed in a group of at most a quarter of the one in
which it was interrupted, and a group starts when the one before it has ended or runs quietly.
So each crash leaves a quarter of the suspects, and the one that is interrupted alone is the
cause. Suspects of the largest groups go first, as these are most likely innocent.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

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

    :param company: is set to the number of operations that run together when it starts.
    """

    company: int


@dataclass(frozen=True)
class Place:
    """An operation's place in the order of resumes.

    :param interruptions: how often it was interrupted without progress.
    :param company: the number of operations in its last group; 0 for one that is no suspect.
    """

    run: Resumed
    interruptions: int = 0
    company: int = 0

    @classmethod
    def of(cls, run: Resumed, found: Interruption) -> Place:
        """Return the place that follows from an operation's entry in the journal."""
        return cls(run, found.count, max(1, found.company) if found.suspect else 0)

    @property
    def largest(self) -> int:
        """The largest group in which it is resumed as a suspect."""
        return max(1, -(-self.company // SPLIT))


@dataclass(frozen=True)
class Waiting:
    """Work that waits for the driver."""

    place: Place
    pool: ThreadPoolExecutor
    work: Work


def groups(suspects: Iterable[Waiting]) -> Iterator[list[Waiting]]:
    """Yield the groups in the order in which they run; no place gets more company than allowed."""
    group: list[Waiting] = []
    order = sorted(suspects, key=lambda one: (-one.place.company, one.place.interruptions))
    for one in order:
        if group and len(group) >= one.place.largest:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


class ResumePool:
    """Runs resumed operations beside new ones."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="resumed")
        self._guard = threading.Lock()
        self._waiting: list[Waiting] | None = []
        self._closed = False

    def submit(
        self,
        place: Place,
        work: Callable[..., None],
        *args: Any,
        pool: ThreadPoolExecutor | None = None,
    ) -> None:
        """Run work on a thread, or keep it until :meth:`start`.

        :param pool: other threads for it, as data transfers have them.
        """
        one = Waiting(place, pool or self._pool, functools.partial(work, *args))
        with self._guard:
            if self._waiting is not None:
                self._waiting.append(one)
                return
        place.run.company = place.largest
        self._submit(one)

    def start(self) -> None:
        """Run the work that was kept: the driver is up."""
        with self._guard:
            waiting, self._waiting = self._waiting or [], None
        together = [one for one in waiting if not one.place.company]
        suspects = list(groups(one for one in waiting if one.place.company))
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
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run_groups(self, running: set[Future[None]], suspects: list[list[Waiting]]) -> None:
        for group in suspects:
            most = max(one.place.interruptions for one in group)
            running = _left(running, min(SUSPECT_TIME, QUIET_TIME * 2 ** max(0, most - 2)))
            if self._closed:
                return
            running = self._begin(group, running)

    def _begin(self, group: list[Waiting], running: set[Future[None]]) -> set[Future[None]]:
        """Start a group beside what still runs; return all that run then."""
        for one in group:
            one.place.run.company = len(group) + len(running)
        begun = {self._submit(one) for one in group}
        return running | {one for one in begun if one is not None}

    def _submit(self, one: Waiting) -> Future[None] | None:
        try:
            return one.pool.submit(one.work)
        except RuntimeError:
            LOG.debug("not started before the stop; it stays in the journal")
            return None


def _left(running: set[Future[None]], quiet: float) -> set[Future[None]]:
    """Wait until all have ended, or none for some time; return those that still run."""
    until = time.monotonic() + SUSPECT_TIME
    while running and time.monotonic() < until:
        ended, running = wait(running, quiet, FIRST_COMPLETED)
        if not ended:
            break
    return running
