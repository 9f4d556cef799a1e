# SPDX-License-Identifier: Apache-2.0
"""Log a repeated failure once: the outage of a service, and an attempt that is repeated.

Many threads miss a shared service at the same time, and each of them would log the same: an
outage has one line at its start, and one at its end. An attempt that fails at each repetition
has one line for each reason.
"""

from __future__ import annotations

import logging
import re
import threading
import time

from worker.metrics.outages import OUTAGES

SAME = 1.0
"""Seconds after an outage in which errors still belong to it."""

_VARYING = re.compile(r"\d+|0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}")
"""Parts in which two texts of one reason differ: times, ports, ids."""


class OutageLog:
    """Whether one service that all threads share is away.

    :param service: its name, as it stands in the lines.
    :param log: the logger of these lines.
    :param system: the kind of the service, for monitoring.
    :param lost: the line at the start, with ``service`` and ``reason``.
    :param back: the line at the end, with ``service`` and ``seconds``.
    """

    def __init__(
        self,
        service: str,
        log: logging.Logger,
        system: str,
        *,
        lost: str = "%(service)s is away: %(reason)s",
        back: str = "%(service)s is back after %(seconds).1f s",
    ) -> None:
        self._service = service
        self._log = log
        self._system = system
        self._lost_line, self._back_line = lost, back
        self._lock = threading.Lock()
        self._back = -SAME
        self.since: float | None = None
        """When the outage began, in monotonic seconds; None while the service answers."""

    def begin(self, reason: object, since: float | None = None) -> None:
        """Note that the service does not answer.

        :param since: when that began, in monotonic seconds; now if it is not given.
        """
        with self._lock:
            # A call that began before the end of an outage may fail only now.
            if self.since is None and time.monotonic() - self._back > SAME:
                self.since = time.monotonic() if since is None else since
                OUTAGES.begin(self._system, self.since)
                self._log.warning(self._lost_line, {"service": self._service, "reason": reason})

    def end(self) -> None:
        """Note that the service answers."""
        if self.since is None:  # nearly always, and without a lock
            return
        with self._lock:
            if self.since is not None:
                away = time.monotonic() - self.since
                self.since = None
                OUTAGES.end(self._system)
                self._back = time.monotonic()
                self._log.info(self._back_line, {"service": self._service, "seconds": away})


class FailureLog:
    """Log why something fails: once for as long as the reason is the same.

    :param log: the logger.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._last: str | None = None

    def failed(
        self,
        reason: object,
        line: str,
        *args: object,
        level: int = logging.ERROR,
        error: BaseException | None = None,
    ) -> None:
        """Log a failure; only for debugging where the one before it had the same reason.

        :param error: whose traceback follows the line.
        """
        kind = _VARYING.sub("", str(reason))
        known, self._last = kind == self._last, kind
        if known:
            level, error = logging.DEBUG, None
        self._log.log(level, line, *args, exc_info=error)

    def succeeded(self) -> None:
        """Let the next failure be logged, whatever its reason is."""
        self._last = None
