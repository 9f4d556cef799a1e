# SPDX-License-Identifier: Apache-2.0
"""Checks of one process: each returns why it fails, or "". None of them waits for anything.

A process is alive while its loops pass. A loop that waits for a system in an outage is no reason
for a restart, which would interrupt every operation and mend nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from flows.errors import DriverNotInitialized
from flows.storable_errors import text_of
from worker.metrics.beats import BEATS
from worker.metrics.outages import OUTAGES
from worker.rpc.bus_state import BUS_STATE
from worker.rpc.consumer_check import STALLED
from worker.service.monitoring.probes import Probe
from worker.service.parts import Parts
from worker.service.start_stop import DRAINED, Service

LOOPS: Mapping[str, tuple[float, str]] = {
    "signs-of-life": (30.0, ""),
    "casts": (120.0, "journal"),
    "requests": (60.0, "journal"),
    "heartbeats": (120.0, "database"),
    "consumer-check": (120.0, "bus"),
    "journal-watch": (120.0, "journal"),
    "lease": (60.0, "leases"),
}
"""Seconds that a pass of each loop may take, and the system for which it may wait longer."""

REPORTS_MISSED = 3
"""Capability reports that are missed before a process is not ready."""

REPORTS_LEAST = 60.0
"""Seconds for which a missing report is no fault, at least."""


def alive(service: Service, now: float) -> dict[str, str]:
    """Return the checks that fail where only a restart helps."""
    lasting, ages = OUTAGES.lasting(), BEATS.ages(now)
    found = {
        name: _late(ages[name], limit, away in lasting)
        for name, (limit, away) in LOOPS.items()
        if name in ages
    }
    for number, listener in enumerate(service.listeners):
        found[f"listener-{number}"] = _late(now - listener.passed, STALLED, BUS_STATE.is_away)
    return found


def ready(service: Service, probes: Mapping[str, Probe], now: float) -> dict[str, str]:
    """Return the checks that fail while operations are not accepted, or fail.

    :param probes: of the journal and the database.
    """
    if (parts := service.built) is None:
        return {"start": service.waits or "its parts are being built"}
    if service.drains:
        return {"start": DRAINED}
    if service.stops:
        return {"start": "it stops"}
    lasting = OUTAGES.lasting()
    return {
        "start": "",
        "bus": _bus(service, parts),
        **{name: _away(lasting, name) or one.fault for name, one in probes.items()},
        "driver": _driver(parts),
        "reports": _reports(parts, now),
    }


def _late(age: float, limit: float, excused: bool) -> str:
    return f"its last pass was {age:.0f} s ago" if age > limit and not excused else ""


def _away(lasting: Mapping[str, float], system: str) -> str:
    since = lasting.get(system)
    return "" if since is None else f"away for {since:.0f} s"


def _bus(service: Service, parts: Parts) -> str:
    if BUS_STATE.is_away:
        return "the broker is away"
    if not service.consumes:
        return "it does not consume messages yet"
    if missing := parts.base.consumers.missing:
        return f"the broker has no consumers of {', '.join(missing)}"
    return ""


def _driver(parts: Parts) -> str:
    try:
        parts.backend.require_driver()
    except DriverNotInitialized as error:
        return text_of(error)
    return ""


def _reports(parts: Parts, now: float) -> str:
    reporter = parts.reporter
    if (sent := reporter.sent) is None:
        return "no capability report was sent yet"
    limit = max(REPORTS_LEAST, REPORTS_MISSED * reporter.stats_interval)
    return f"the last one was sent {now - sent:.0f} s ago" if now - sent > limit else ""
