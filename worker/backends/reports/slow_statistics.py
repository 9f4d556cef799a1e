# SPDX-License-Identifier: Apache-2.0
"""Warn of statistics that take longer than the period in which they are fetched."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG = logging.getLogger(__name__)


class StatisticsTimer:
    """Times the statistics of one backend.

    The log has a line when they begin to be late, one with the time that they took, and one
    when they are in time again.

    :param backend: the backend's name.
    :param period: seconds between two requests for statistics.
    """

    def __init__(
        self, backend: str, period: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()  # a call may ask for statistics beside the reports
        self._running: dict[int, float] = {}
        self._late = False
        self._timed = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time one request."""
        thread, began = threading.get_ident(), self._clock()
        with self._lock:
            self._running[thread] = began
        try:
            yield
        finally:
            with self._lock:
                del self._running[thread]
                self._ended(self._clock() - began)

    def check(self) -> None:
        """Warn of a request that has not ended in its period; called all the time."""
        with self._lock:
            oldest = min(self._running.values(), default=None)
            if oldest is None or self._late or self._clock() - oldest <= self._period:
                return
            self._late = True
        LOG.warning(
            "the statistics of backend %s have not come for %.0f s; the scheduler keeps the last"
            " report, heartbeats continue: look at the storage",
            *(self._backend, self._period),
        )

    def _ended(self, took: float) -> None:
        if took > self._period:
            if not self._timed:
                LOG.warning(
                    "the statistics of backend %s took %.0f s, longer than their period of %.0f s:"
                    " raise backend_stats_polling_interval, or look at the storage",
                    *(self._backend, took, self._period),
                )
            self._late = self._timed = True
        elif self._late:
            LOG.info("the statistics of backend %s come in time again: %.0f s", self._backend, took)
            self._late = self._timed = False
