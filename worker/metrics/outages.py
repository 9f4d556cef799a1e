# SPDX-License-Identifier: Apache-2.0
"""Outages of the systems that this process uses: which last, and since when."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from worker.metrics import definitions
from worker.metrics.measurements import MEASURED


class KnownOutages:
    """The outages of this process, by the kind of the system.

    Several connections to one system may miss it at the same time.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lasting: Counter[str] = Counter()
        self._since: dict[str, float] = {}
        self._waiting: Counter[str] = Counter()

    def begin(self, system: str, since: float) -> None:
        """Note that an outage has begun.

        :param since: in monotonic seconds.
        """
        MEASURED.count(definitions.OUTAGES, system)
        with self._guard:
            self._lasting[system] += 1
            self._since.setdefault(system, since)

    def end(self, system: str) -> None:
        """Note that an outage is over."""
        with self._guard:
            self._lasting[system] -= 1
            if self._lasting[system] <= 0:
                del self._lasting[system]
                self._since.pop(system, None)

    @contextmanager
    def waiting(self, system: str) -> Iterator[None]:
        """Wait for the end of an outage inside the block."""
        with self._guard:
            self._waiting[system] += 1
        try:
            yield
        finally:
            with self._guard:
                self._waiting[system] -= 1

    def waits(self) -> dict[str, int]:
        """Return how many threads wait for each system; 0 for one that was waited for."""
        with self._guard:
            return dict(self._waiting)

    def lasting(self) -> dict[str, float]:
        """Return the seconds that each outage has lasted so far."""
        now = time.monotonic()
        with self._guard:
            return {system: max(0.0, now - since) for system, since in self._since.items()}


OUTAGES = KnownOutages()
"""The outages that this process has noticed."""
