# SPDX-License-Identifier: Apache-2.0
"""Heartbeats and capability reports, by which schedulers choose a backend."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from worker.outage_log import OutageLog
from worker.rpc.bus_state import BUS_STATE
from worker.rpc.clients.sender import BusUnavailable

LOG = logging.getLogger(__name__)

REPORT_PAUSE = 1.0
"""Shortest time between two reports that operations request, in seconds."""

PRUNE_PAUSE = 600.0
"""Time between two prunings of the journal, in seconds."""


class ReportedBackend(Protocol):
    """The backend of the service."""

    name: str
    host: str

    @property
    def initialized(self) -> bool:
        """Whether the driver is up; without it nothing is reported."""

    @property
    def report_wanted(self) -> threading.Event:
        """Set when a report is requested before its time."""


UNSENT = "no capability report of %(service)s: %(reason)s"
SENT = "capability reports of %(service)s are sent again after %(seconds).0f s"


class Reporter:
    """Two threads: one writes heartbeats, the other one sends capability reports.

    A broker with a resource alarm accepts no report for as long as it lasts, and a driver may
    take long for its statistics: neither may stop the heartbeats of a working process.

    :param heartbeat: writes the heartbeat; raises while the database is unreachable.
    :param send: sends a capability report.
    :param report_alive: called every second, to show a watchdog that the process lives.
    :param prune: called every ten minutes, to remove old journal entries.
    :param check: called every second by the thread of the reports, before it asks the driver.
    """

    def __init__(
        self,
        backend: ReportedBackend,
        heartbeat: Callable[[], None],
        send: Callable[[], None],
        *,
        report_interval: float,
        stats_interval: float,
        report_alive: Callable[[], None] = lambda: None,
        prune: Callable[[], None] = lambda: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._check = check
        self._backend = backend
        self._heartbeat = heartbeat
        self._send = send
        self._report_interval = report_interval
        self._stats_interval = stats_interval
        self._report_alive = report_alive
        self._prune = prune
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._heartbeat_loop, name="heartbeats", daemon=True),
            threading.Thread(target=self._report_loop, name="reports", daemon=True),
        ]
        self._missed_since: float | None = None
        self._unsent = OutageLog(backend.name, LOG, lost=UNSENT, back=SENT)

    def start(self) -> None:
        """Start the threads; they send the first heartbeat and report at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads, within a second; a report that the bus does not accept is left."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5)

    def publish(self) -> None:
        """Send a capability report; a failure is logged, the last report stays in effect."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - the next report replaces it
            if isinstance(error, BusUnavailable) and BUS_STATE.is_away:
                LOG.debug(UNSENT, {"service": self._backend.name, "reason": error})
            else:  # a bus that is away has a line of its own
                self._unsent.begin(error)
        else:
            self._unsent.end()

    def _heartbeat_loop(self) -> None:
        next_heartbeat = 0.0
        next_prune = time.monotonic() + PRUNE_PAUSE
        while not self._stop.is_set():
            self._report_alive()
            now = time.monotonic()
            if self._backend.initialized and now >= next_heartbeat:
                self._try_heartbeat()
                next_heartbeat = now + self._report_interval
            if now >= next_prune:
                self._try_prune()
                next_prune = now + PRUNE_PAUSE
            self._stop.wait(REPORT_PAUSE)

    def _report_loop(self) -> None:
        next_report = 0.0
        while not self._stop.is_set():
            self._check()
            now = time.monotonic()
            due = now >= next_report or self._backend.report_wanted.is_set()
            if self._backend.initialized and due:
                self._backend.report_wanted.clear()
                self.publish()
                next_report = now + self._stats_interval
            self._stop.wait(REPORT_PAUSE)

    def _try_prune(self) -> None:
        try:
            self._prune()
        except Exception as error:  # noqa: BLE001 - the next pruning makes up for it
            LOG.warning("old journal entries were not removed: %s", error)

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
            LOG.info("heartbeats of %s resume after %.0f s", self._backend.host, away)
            self._missed_since = None
