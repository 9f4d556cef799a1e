# SPDX-License-Identifier: Apache-2.0
"""Wait at the start for a database that does not answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from flows import repeat
from flows.errors import Unavailable
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds between two attempts."""

LOST = "the start waits for %(service)s: %(reason)s"
BACK = "%(service)s answers after %(seconds).0f s, the start continues"

T = TypeVar("T")


def when_available(
    ask: Callable[[], T],
    stopping: threading.Event,
    on: type[Exception] = Unavailable,
    system: str = "the database",
) -> T:
    """Return an answer of a database; wait for one that does not answer.

    :param on: the error that means that.
    :param system: names the database in the log.
    :raises ProcessStopping: the process stops meanwhile.
    """

    outage = OutageLog(system, LOG, "start", lost=LOST, back=BACK)

    def failed(error: BaseException, _pause: float) -> None:
        if on is not Unavailable:  # worker.db.outage has a line of its own for it
            outage.begin(error)

    answer = repeat.until_stopped(
        ask, stopping.wait, on=on, first=PAUSE, longest=PAUSE, failed=failed
    )
    outage.end()
    return answer
