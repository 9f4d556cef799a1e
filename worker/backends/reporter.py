# SPDX-License-Identifier: Apache-2.0
"""Heartbeats and capability reports: what makes a scheduler choose this backend."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

LOG = logging.getLogger(__name__)

REPORT_PAUSE = 1.0
"""Shortest time between two reports that operations asked for, in seconds."""

TIDY_PAUSE = 600.0
"""Time between two looks for what can be forgotten, in seconds."""


class ReportedBackend(Protocol):
    """Whose service is reported of."""

    name: str
    host: str

    @property
    def initialized(self) -> bool:
        """Whether its driver takes requests: without it there is nothing to tell."""

    @property
    def report_wanted(self) -> threading.Event:
        """Set when a report is due before its time."""


class Reporter:
    """One thread that keeps the service's row alive and the scheduler informed.

    :param heartbeat: writes the row's heartbeat; raises when the database is away.
    :param send: sends a capability report.
    :param beat: called every second, for a watchdog.
    :param tidy: called every ten minutes, to forget what is old.
    """

    def __init__(
        self,
        backend: ReportedBackend,
        heartbeat: Callable[[], None],
        send: Callable[[], None],
        *,
        report_interval: float,
        stats_interval: float,
        beat: Callable[[], None] = lambda: None,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self._backend = backend
        self._heartbeat = heartbeat
        self._send = send
        self._report_interval = report_interval
        self._stats_interval = stats_interval
        self._beat = beat
        self._tidy = tidy
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reports", daemon=True)
        self._missed_since: float | None = None

    def start(self) -> None:
        """Begin; the first heartbeat and report go out at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, within a second."""
        self._stop.set()
        self._backend.report_wanted.set()
        self._thread.join(5)

    def publish(self) -> None:
        """Fetch statistics and report them; a failure is logged, the last report stands."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - the next report makes up for it
            LOG.warning("no capability report of %s: %s", self._backend.name, error)

    def _loop(self) -> None:
        next_beat = next_report = 0.0
        next_tidy = time.monotonic() + TIDY_PAUSE
        while not self._stop.is_set():
            self._beat()
            now = time.monotonic()
            if self._backend.initialized:
                if now >= next_beat:
                    self._try_heartbeat()
                    next_beat = now + self._report_interval
                if now >= next_report or self._backend.report_wanted.is_set():
                    self._backend.report_wanted.clear()
                    self.publish()
                    next_report = now + self._stats_interval
            if now >= next_tidy:
                self._try_tidy()
                next_tidy = now + TIDY_PAUSE
            self._stop.wait(REPORT_PAUSE)

    def _try_tidy(self) -> None:
        try:
            self._tidy()
        except Exception as error:  # noqa: BLE001 - what is old can wait for the next time
            LOG.warning("what is old was not forgotten: %s", error)

    def _try_heartbeat(self) -> None:
        try:
            self._heartbeat()
        except Exception as error:  # noqa: BLE001 - the next heartbeat makes up for it
            if self._missed_since is None:
                self._missed_since = time.monotonic()
                LOG.warning("no heartbeat of %s: %s", self._backend.host, error)
            return
        if self._missed_since is not None:
            away = time.monotonic() - self._missed_since
            LOG.info("heartbeats of %s go on after %.0f s", self._backend.host, away)
            self._missed_since = None
