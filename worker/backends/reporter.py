# SPDX-License-Identifier: Apache-2.0
"""Heartbeats and capability reports, by which schedulers choose a backend."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from worker.metrics.beats import BEATS
from worker.metrics.definitions import HEARTBEATS, REPORTS
from worker.metrics.measurements import MEASURED
from worker.outage_log import OutageLog
from worker.rpc.bus_state import BUS_STATE
from worker.rpc.clients.sender import BusUnavailable

LOG = logging.getLogger(__name__)

REPORT_PAUSE = 1.0
"""Shortest time between two reports that operations request, in seconds."""

PRUNE_PAUSE = 600.0
"""Time between two prunings of the journal, in seconds."""

STOP_LIMIT = 5.0
"""Seconds that a stop waits for the threads."""


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
    """Four threads: signs of life, heartbeats, capability reports, and pruning of the journal.

    A broker with a resource alarm accepts no report for as long as it lasts, a driver may take
    long for its statistics, and a database may hang: none of them may stop the others, or have
    the watchdog kill a working process.

    :param heartbeat: writes the heartbeat; raises while the database is unreachable.
    :param send: sends a capability report.
    :param report_alive: called every second, to show a watchdog that the process lives.
    :param check_late: called every second, to warn of statistics that take too long.
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
        check_late: Callable[[], None] = lambda: None,
        prune: Callable[[], None] = lambda: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._check = check
        self._backend = backend
        self._heartbeat = heartbeat
        self._send = send
        self._report_interval = report_interval
        self.stats_interval = stats_interval
        """Seconds between two capability reports."""
        self.sent: float | None = None
        """When the last capability report was sent, in monotonic seconds."""
        self.beaten: float | None = None
        """When the last heartbeat was written."""
        self._report_alive = report_alive
        self._check_late = check_late
        self._prune = prune
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=loop, name=name, daemon=True)
            for name, loop in (
                ("signs-of-life", self._life_loop),
                ("heartbeats", self._heartbeat_loop),
                ("reports", self._report_loop),
                ("pruning", self._prune_loop),
            )
        ]
        self._missed_since: float | None = None
        self._unsent = OutageLog(backend.name, LOG, "reports", lost=UNSENT, back=SENT)

    def start(self) -> None:
        """Start the threads; they send the first heartbeat and report at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads; one that waits for a driver, the bus or a database is left."""
        self._stop.set()
        until = time.monotonic() + STOP_LIMIT
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def publish(self) -> None:
        """Send a capability report; a failure is logged, the last report stays in effect."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - the next report replaces it
            MEASURED.count(REPORTS, "failed")
            if isinstance(error, BusUnavailable) and BUS_STATE.is_away:
                LOG.debug(UNSENT, {"service": self._backend.name, "reason": error})
            else:  # a bus that is away has a line of its own
                self._unsent.begin(error)
        else:
            self.sent = time.monotonic()
            MEASURED.count(REPORTS, "sent")
            self._unsent.end()

    def _life_loop(self) -> None:
        while not self._stop.is_set():
            BEATS.beat("signs-of-life")
            self._report_alive()
            self._check_late()
            self._stop.wait(REPORT_PAUSE)

    def _heartbeat_loop(self) -> None:
        next_heartbeat = 0.0
        while not self._stop.is_set():
            BEATS.beat("heartbeats")
            now = time.monotonic()
            if self._backend.initialized and now >= next_heartbeat:
                self._try_heartbeat()
                next_heartbeat = now + self._report_interval
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
                next_report = now + self.stats_interval
            self._stop.wait(REPORT_PAUSE)

    def _prune_loop(self) -> None:
        while not self._stop.wait(PRUNE_PAUSE):
            try:
                self._prune()
            except Exception as error:  # noqa: BLE001 - the next pruning makes up for it
                LOG.warning("old journal entries were not removed: %s", error)

    def _try_heartbeat(self) -> None:
        try:
            self._heartbeat()
        except Exception as error:  # noqa: BLE001 - the next heartbeat makes up for it
            MEASURED.count(HEARTBEATS, "failed")
            if self._missed_since is None:
                self._missed_since = time.monotonic()
                LOG.warning("no heartbeat of %s: %s", self._backend.host, error)
            return
        self.beaten = time.monotonic()
        MEASURED.count(HEARTBEATS, "sent")
        if self._missed_since is not None:
            away = time.monotonic() - self._missed_since
            LOG.info("heartbeats of %s resume after %.0f s", self._backend.host, away)
            self._missed_since = None
