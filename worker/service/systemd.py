# SPDX-License-Identifier: Apache-2.0
"""Tell systemd that the service is ready, and that all its processes are alive."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import threading
import time

LOG = logging.getLogger(__name__)


class Watchdog:
    """Feeds ``WATCHDOG=1`` while every child shows life, and tells ``READY=1`` once.

    Children share their last signs of life in memory; the supervising process
    sends the notifications.

    :param address: ``$NOTIFY_SOCKET``; empty when nobody listens.
    :param interval: seconds between two feeds.
    :param count: the number of children.
    :param stall: seconds without a sign of life that are too long.
    """

    def __init__(self, address: str, interval: float, count: int, stall: float) -> None:
        self._address = address
        self._interval = interval
        self._stall = stall
        self._beats = multiprocessing.Array("d", count, lock=False)

    @classmethod
    def from_environment(cls, count: int, stall: float) -> Watchdog:
        """Take over the notification socket, so that no child or library answers instead."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0") or 0)
        # systemd wants a feed in half of its limit; without one, "ready" still is told.
        interval = microseconds / 1e6 / 3 if microseconds else 1.0
        return cls(address, max(0.2, min(interval, 10.0)), count, stall)

    def beat(self, child: int) -> None:
        """Show that a child is alive; called by the child."""
        self._beats[child] = time.monotonic()

    def start(self) -> None:
        """Begin feeding, in the supervising process."""
        if self._address:
            threading.Thread(target=self._loop, name="watchdog", daemon=True).start()

    def _loop(self) -> None:
        ready, silent = False, False
        while True:
            oldest = min(self._beats)
            if oldest and not ready:
                self._notify(b"READY=1")
                ready = True
            if time.monotonic() - oldest < self._stall:
                self._notify(b"WATCHDOG=1")
                silent = False
            elif ready and not silent:
                LOG.error("a child process shows no life; systemd will restart the service")
                silent = True
            time.sleep(0.1 if not ready else self._interval)

    def _notify(self, state: bytes) -> None:
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.sendto(state, address)
        except OSError as error:
            LOG.debug("systemd was not told %s: %s", state, error)
