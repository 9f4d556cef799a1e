# SPDX-License-Identifier: Apache-2.0
"""Repeat calls of a service that is away, and log its outage once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from flows import repeat
from flows.errors import ProcessStopping
from worker.journal.errors import JournalUnavailable
from worker.journal.slots.conflicts import repeated
from worker.metrics.outages import OUTAGES
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)

RETRY_FIRST = 0.2
RETRY_MAX = 10.0
"""First and longest pause between two attempts, in seconds."""

RETRY_MAX_OF_CALL = 1.0
"""Longest pause where the wait has an end: a caller waits for the answer."""

T = TypeVar("T")


class OutageRetry:
    """Repeat calls of one service until they succeed.

    :param service: its name, as it begins a log line.
    :param errors: mean that the service is away.
    :param stopping: ends the pauses.
    :param outage: logs its outages, where others notice them as well.
    :param system: its kind, for monitoring.
    """

    def __init__(
        self,
        service: str,
        errors: type[Exception] | tuple[type[Exception], ...],
        stopping: threading.Event,
        outage: OutageLog | None = None,
        *,
        system: str = "locks",
    ) -> None:
        self.stopping = stopping
        self._system = system
        self._errors = errors
        self._outage = outage or OutageLog(service, LOG, system)

    def until_available(self, ask: Callable[[], T], patience: float | None = None) -> T:
        """Return the result of a call.

        :param patience: seconds after which the service's error is raised; None for any wait.
        :raises ProcessStopping: the process is stopping.
        """
        waited = False
        deadline = None if patience is None else time.monotonic() + patience

        def failed(error: BaseException, pause: float) -> None:
            nonlocal waited
            waited = True
            self._outage.begin(error)
            if deadline is not None and time.monotonic() + pause > deadline:
                raise error

        def wait(seconds: float) -> bool:
            with OUTAGES.waiting(self._system):
                return self.stopping.wait(seconds)

        longest = RETRY_MAX if deadline is None else RETRY_MAX_OF_CALL
        answer = repeat.until_stopped(
            ask, wait, on=self._errors, first=RETRY_FIRST, longest=longest, failed=failed
        )
        # Another thread's success proves nothing: a journal on a full disk can be read.
        if waited:
            self._outage.end()
        return answer


class GrowingPauses:
    """Pauses between attempts at one operation, each twice as long as the one before it.

    :param stopping: ends a pause.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._next = RETRY_FIRST

    def wait(self, reason: object) -> None:
        """Wait for the next attempt. :raises ProcessStopping: the process is stopping."""
        seconds, self._next = self._next, min(2 * self._next, RETRY_MAX)
        if self._stopping.wait(seconds):
            raise ProcessStopping(str(reason))


class JournalRetry(OutageRetry):
    """Repeat calls of the journal."""

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__("the journal", JournalUnavailable, stopping, system="journal")

    def until_available(self, ask: Callable[[], T], patience: float | None = None) -> T:
        """Return the result of a call; a conflict of two transactions is no outage."""
        return super().until_available(repeated(ask), patience)
