# SPDX-License-Identifier: Apache-2.0
"""Threads that run resumed operations: when the driver is up, and suspects one at a time.

An operation that crashes its process interrupts all others that run beside it. Those that
were interrupted together are resumed together once. An operation that was interrupted twice
is a suspect, and suspects run one at a time, those with the fewest resumes first. So the
one that crashes interrupts only itself, and the others do not reach ``max_resumes``.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

LOG = logging.getLogger(__name__)

THREADS = 16
"""Threads for resumed operations, beside those for new ones."""

SUSPECT_TIME = 60.0
"""Seconds that a suspect runs before the next one starts beside it."""

Work = Callable[[], None]


class ResumePool:
    """Runs resumed operations beside new ones."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="resumed")
        self._one_at_a_time = ThreadPoolExecutor(1, thread_name_prefix="suspects")
        self._guard = threading.Lock()
        self._waiting: list[tuple[int, ThreadPoolExecutor, Work]] | None = []

    def submit(
        self,
        resumes: int,
        work: Callable[..., None],
        *args: Any,
        pool: ThreadPoolExecutor | None = None,
    ) -> None:
        """Run work on a thread, or keep it until :meth:`start`.

        :param resumes: how often it was interrupted before.
        :param pool: other threads for it, as data transfers have them.
        """
        bound, pool = functools.partial(work, *args), pool or self._pool
        with self._guard:
            if self._waiting is not None:
                self._waiting.append((resumes, pool, bound))
                return
        self._submit(resumes, pool, bound)

    def start(self) -> None:
        """Run the work that was kept: the driver is up."""
        with self._guard:
            waiting, self._waiting = self._waiting, None
        for resumes, pool, work in sorted(waiting or (), key=lambda one: one[0]):
            self._submit(resumes, pool, work)

    def close(self) -> None:
        """Start no work any more."""
        for pool in (self._one_at_a_time, self._pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, resumes: int, pool: ThreadPoolExecutor, work: Work) -> None:
        try:
            if resumes:
                self._one_at_a_time.submit(self._run_alone, pool, work)
            else:
                pool.submit(work)
        except RuntimeError:
            LOG.debug("not started before the stop; it stays in the journal")

    def _run_alone(self, pool: ThreadPoolExecutor, work: Work) -> None:
        try:
            running: Future[None] = pool.submit(work)
        except RuntimeError:
            return
        wait([running], SUSPECT_TIME)
