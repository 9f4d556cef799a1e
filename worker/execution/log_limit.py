# SPDX-License-Identifier: Apache-2.0
"""Limit the log lines about bad messages, of which a sender may send any number."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

MOST = 30
"""Lines within a period."""

PERIOD = 60.0
"""Seconds."""


class LogLimit:
    """Logs errors, up to a number within a period, and the number of those that it left out.

    :ivar left_out: lines that were left out, since the start.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self.left_out = 0
        self._logger = logger
        self._clock = clock
        self._guard = threading.Lock()
        self._began = clock()
        self._count = 0

    def error(self, text: str, *args: object) -> None:
        """Log an error, unless too many came in this period."""
        with self._guard:
            more = 0
            if self._clock() - self._began >= PERIOD:
                more = max(0, self._count - MOST)
                self._began, self._count = self._clock(), 0
            self._count += 1
            logs = self._count <= MOST
            self.left_out += not logs
        if more:
            self._logger.error("%d lines about bad messages were left out", more)
        if logs:
            self._logger.error(text, *args)
        elif self._count == MOST + 1:
            self._logger.error("more lines about bad messages are left out for %d s", PERIOD)
