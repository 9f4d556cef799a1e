# SPDX-License-Identifier: Apache-2.0
"""Leave interrupted operations to other hosts where the set-up of the driver hangs, or fails on.

The process owns its slot meanwhile, so that no other host adopts them. A set-up that hangs
cannot be ended, but its process can: after a start without operations the set-up may take as
long as it needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

SET_UP_TIME = 60.0
"""Seconds that a set-up may take while other hosts serve; most take less than ten."""

PAUSE = 5.0
"""Seconds between two looks after that: other hosts may start later."""


def watch(
    is_up: Callable[[], bool],
    others_serve: Callable[[], bool],
    leave: Callable[[], object],
    stopping: threading.Event,
) -> None:
    """Look on a thread of its own until the driver is up or the process stops.

    :param leave: called at most once.
    """
    threading.Thread(
        target=look,
        args=(is_up, others_serve, leave, stopping.wait),
        name="late-driver",
        daemon=True,
    ).start()


def look(
    is_up: Callable[[], bool],
    others_serve: Callable[[], bool],
    leave: Callable[[], object],
    wait: Callable[[float], bool],
) -> None:
    """Look until the driver is up or the wait is ended.

    :param wait: for some seconds; returns whether the process stops.
    """
    pause = SET_UP_TIME
    while not wait(pause) and not is_up():
        if others_serve():
            leave()
            return
        pause = PAUSE
