# SPDX-License-Identifier: Apache-2.0
"""Let what was cut short go on: when the driver is up, and what may be to blame alone.

An operation that ends its process takes with it whatever runs beside it. Those that
were cut short together go on together once; who is cut short a second time is a
suspect, and goes on alone, the least suspected first. So the guilty one kills nobody
but itself, and the others are not given up for its sake.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

LOG = logging.getLogger(__name__)

AT_ONCE = 16
"""Threads for what was cut short, beside those for what the bus brings."""

ALONE = 60.0
"""Seconds that a suspect is given before the next one begins beside it."""

Work = Callable[[], None]


class ResumePool:
    """Runs what is resumed, beside new operations."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="resumed")
        self._suspects = ThreadPoolExecutor(1, thread_name_prefix="suspects")
        self._guard = threading.Lock()
        self._waiting: list[tuple[int, ThreadPoolExecutor, Work]] | None = []

    def start(
        self,
        times: int,
        work: Callable[..., None],
        *args: Any,
        pool: ThreadPoolExecutor | None = None,
    ) -> None:
        """Run work, or keep it until :meth:`begin`.

        :param times: how often it was cut short before this time.
        :param pool: threads for it, where new work of its kind has some of its own.
        """
        bound, pool = functools.partial(work, *args), pool or self._pool
        with self._guard:
            if self._waiting is not None:
                self._waiting.append((times, pool, bound))
                return
        self._submit(times, pool, bound)

    def begin(self) -> None:
        """Let what waits go on: the driver is up."""
        with self._guard:
            waiting, self._waiting = self._waiting, None
        for times, pool, work in sorted(waiting or (), key=lambda one: one[0]):
            self._submit(times, pool, work)

    def close(self) -> None:
        """Begin nothing more."""
        for pool in (self._suspects, self._pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, times: int, pool: ThreadPoolExecutor, work: Work) -> None:
        try:
            if times:
                self._suspects.submit(self._run_alone, pool, work)
            else:
                pool.submit(work)
        except RuntimeError:
            LOG.debug("not begun before the stop: the journal has it")

    def _run_alone(self, pool: ThreadPoolExecutor, work: Work) -> None:
        try:
            running: Future[None] = pool.submit(work)
        except RuntimeError:
            return
        wait([running], ALONE)
