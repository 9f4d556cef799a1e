# SPDX-License-Identifier: Apache-2.0
"""Notifications to systemd: the service is ready, it waits for a system, it is alive."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time

from worker import notify_socket

LOG = logging.getLogger(__name__)

_STATUS = 300
"""Bytes of the status text of a child process."""

_SERVING = "takes operations"

_FROZEN = 5.0
"""Seconds by which a pause of our own is too long if all processes were frozen: the children have
time for a heartbeat then."""


class Watchdog:
    """Send ``READY=1`` once, and ``WATCHDOG=1`` while every child process is alive.

    Child processes write the times of their heartbeats to shared memory; the supervising
    process sends the notifications.

    :param address: ``$NOTIFY_SOCKET``; empty when systemd does not expect notifications.
    :param interval: seconds between two notifications.
    :param count: the number of child processes.
    :param stall: seconds without a heartbeat after which a child counts as hung.
    """

    def __init__(self, address: str, interval: float, count: int, stall: float) -> None:
        self._address = address
        self._interval = interval
        self._stall = stall
        self._heartbeats = multiprocessing.Array("d", count, lock=False)
        self._waits = [multiprocessing.Array("c", _STATUS, lock=False) for _ in range(count)]

    @classmethod
    def from_environment(cls, count: int, stall: float) -> Watchdog:
        """Remove the socket from the environment, so that no child process or library uses it."""
        address = os.environ.pop(notify_socket.VARIABLE, "")
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0") or 0)
        # systemd expects a notification in half of its limit; without a limit, READY=1 is sent too.
        interval = microseconds / 1e6 / 3 if microseconds else 1.0
        return cls(address, max(0.2, min(interval, 10.0)), count, stall)

    def record_heartbeat(self, child: int, waits: str = "") -> None:
        """Record a heartbeat of a child process; called by the child.

        :param waits: the systems that it waits for; empty if it takes operations.
        """
        self._waits[child].value = waits.encode()[: _STATUS - 1]
        self._heartbeats[child] = time.monotonic()

    def record_refusal(self, child: int, text: str) -> None:
        """Record why a child process refuses to start; called by the child."""
        self._waits[child].value = text.encode()[: _STATUS - 1]

    def show_status(self) -> None:
        """Send the texts of the child processes now, in the supervising process."""
        self._notify(f"STATUS={self._status()}")

    def start(self) -> None:
        """Start sending, in the supervising process."""
        if self._address:
            threading.Thread(target=self._loop, name="watchdog", daemon=True).start()

    def _loop(self) -> None:
        ready, silent = False, False
        shown: str | None = None
        thawed, wakes = 0.0, time.monotonic()
        while True:
            oldest, now = min(self._heartbeats), time.monotonic()
            if now - wakes > _FROZEN:
                thawed = now
            if oldest and not ready:
                self._notify("READY=1")
                ready = True
            if ready and (status := self._status()) != shown:
                self._notify(f"STATUS={status or _SERVING}")
                shown = status
            if oldest and now - max(oldest, thawed) < self._stall:
                self._notify("WATCHDOG=1")
                silent = False
            elif ready and not silent:
                LOG.error("a child process shows no life; systemd will restart the service")
                silent = True
            pause = 0.1 if not ready else self._interval
            wakes = time.monotonic() + pause
            time.sleep(pause)

    def _status(self) -> str:
        texts = {bytes(text.value).decode(errors="ignore") for text in self._waits}
        return "; ".join(sorted(texts - {""}))

    def _notify(self, state: str) -> None:
        notify_socket.send(self._address, state)
