# SPDX-License-Identifier: Apache-2.0
"""Say once that something is away, and once for how long it was.

Whatever the service rests on is missed by many threads at the same time; each of
them would tell the same story.
"""

from __future__ import annotations

import logging
import threading
import time

SAME = 1.0
"""Seconds after an absence in which errors still belong to it."""


class OutageLog:
    """Whether one thing that all threads share is away.

    :param what: its name, as it begins a line of the log.
    :param log: where that line goes.
    """

    def __init__(self, what: str, log: logging.Logger) -> None:
        self._what = what
        self._log = log
        self._lock = threading.Lock()
        self._back = -SAME
        self.since: float | None = None
        """When it went away, in monotonic seconds; None while it is there."""

    def begin(self, reason: object, since: float | None = None) -> None:
        """Take note that it does not answer.

        :param since: when that began, in monotonic seconds; now if it is not given.
        """
        with self._lock:
            # Who asked before the end may be told of it only now.
            if self.since is None and time.monotonic() - self._back > SAME:
                self.since = time.monotonic() if since is None else since
                self._log.warning("%s is away: %s", self._what, reason)

    def end(self) -> None:
        """Take note that it answers."""
        if self.since is None:  # nearly always, and without a lock
            return
        with self._lock:
            if self.since is not None:
                away = time.monotonic() - self.since
                self.since = None
                self._back = time.monotonic()
                self._log.info("%s is back after %.1f s", self._what, away)
