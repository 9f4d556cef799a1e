# SPDX-License-Identifier: Apache-2.0
"""Wait for a journal that is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from flows.errors import ProcessStopping
from worker.journal.persistence import JournalError
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)

RETRY_FIRST = 0.2
RETRY_MAX = 10.0
"""Pauses between two tries, in seconds."""

T = TypeVar("T")


class JournalRetry:
    """Ask the journal until it answers.

    :param stopping: ends the waiting.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._absence = OutageLog("the journal", LOG)

    def insist(self, ask: Callable[[], T]) -> T:
        """Return what is asked for. :raises ProcessStopping: the process is stopping."""
        pause, waited = RETRY_FIRST, False
        while True:
            try:
                answer = ask()
            except JournalError as error:
                waited = True
                self._absence.begin(error)
                if self._stopping.wait(pause):
                    raise ProcessStopping("the journal is away, and the process stops") from error
                pause = min(pause * 2, RETRY_MAX)
                continue
            if waited:  # another one's answer tells nothing: a full disk can be read
                self._absence.end()
            return answer
