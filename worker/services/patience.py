# SPDX-License-Identifier: Apache-2.0
"""Wait for a journal that is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from worker.persistence import JournalError
from worker.rpc.server import Refused

LOG = logging.getLogger(__name__)

RETRY_FIRST = 0.2
RETRY_MAX = 10.0
"""Pauses between two tries, in seconds."""

T = TypeVar("T")


class Patience:
    """Ask the journal until it answers.

    :param stopping: ends the waiting.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping

    def insist(self, ask: Callable[[], T]) -> T:
        """Return what is asked for. :raises Refused: we are stopping."""
        pause, away_since = RETRY_FIRST, None
        while True:
            try:
                answer = ask()
            except JournalError as error:
                if away_since is None:
                    away_since = time.monotonic()
                    LOG.warning("the journal is away: %s", error)
                if self._stopping.wait(pause):
                    raise Refused from error
                pause = min(pause * 2, RETRY_MAX)
                continue
            if away_since is not None:
                LOG.info("the journal is back after %.1f s", time.monotonic() - away_since)
            return answer
