# SPDX-License-Identifier: Apache-2.0
"""The checks of one process: a loop that waits in an outage is no reason for a restart."""

from __future__ import annotations

import logging
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from flows.errors import DriverNotInitialized
from worker.journal.errors import JournalUnavailable
from worker.metrics.beats import BEATS
from worker.metrics.outages import OUTAGES
from worker.outage_log import OutageLog
from worker.service.monitoring import process_checks
from worker.service.monitoring.probes import SLOW, Probe
from worker.service.monitoring.process_checks import LOOPS


class Backend:
    """A backend whose driver is up, or not."""

    fault = ""

    def require_driver(self) -> None:
        if self.fault:
            raise DriverNotInitialized(self.fault)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without beats and outages of other tests."""
    monkeypatch.setattr(BEATS, "_passed", {})
    monkeypatch.setattr(OUTAGES, "_since", {})
    monkeypatch.setattr(OUTAGES, "_lasting", Counter())


@pytest.fixture
def service() -> Any:
    """A service that is ready."""
    parts = SimpleNamespace(
        base=SimpleNamespace(consumers=SimpleNamespace(missing=())),
        backend=Backend(),
        reporter=SimpleNamespace(sent=time.monotonic(), stats_interval=60.0),
    )
    return SimpleNamespace(
        built=parts, waits="", drains=False, stops=False, consumes=True, listeners=[]
    )


def reasons(service: Any, **probes: Any) -> dict[str, str]:
    """Return the checks of readiness that fail."""
    found = process_checks.ready(service, probes, time.monotonic())
    return {name: reason for name, reason in found.items() if reason}


def test_a_service_that_takes_operations_is_ready(service: Any) -> None:
    assert reasons(service, journal=Probe("journal", lambda: None)) == {}


@pytest.mark.parametrize(
    ("place", "values", "wanted"),
    [
        ("", {"built": None, "waits": "waits for the bus"}, {"start": "waits for the bus"}),
        ("", {"stops": True}, {"start": "it stops"}),
        ("", {"consumes": False}, {"bus": "it does not consume messages yet"}),
        (
            "built.base.consumers",
            {"missing": ["q1", "q2"]},
            {"bus": "the broker has no consumers of q1, q2"},
        ),
        ("built.backend", {"fault": "no array"}, {"driver": "no array"}),
        ("built.reporter", {"sent": None}, {"reports": "no capability report was sent yet"}),
    ],
)
def test_each_reason_is_named(
    service: Any, place: str, values: dict[str, Any], wanted: dict[str, str]
) -> None:
    target = service
    for name in filter(None, place.split(".")):
        target = getattr(target, name)
    vars(target).update(values)

    assert reasons(service) == wanted


def test_reports_may_be_missed_but_not_for_long(service: Any) -> None:
    reporter = service.built.reporter
    reporter.sent = time.monotonic() - 179
    assert reasons(service) == {}

    reporter.sent = time.monotonic() - 182
    assert reasons(service) == {"reports": "the last one was sent 182 s ago"}


def test_an_outage_and_a_probe_that_fails_are_named(service: Any) -> None:
    def refuse() -> None:
        raise JournalUnavailable("disk full")

    probe = Probe("journal", refuse)
    probe.once()
    assert reasons(service, journal=probe) == {"journal": "disk full"}

    outage = OutageLog("the journal", logging.getLogger("x"), "journal")
    outage.begin("disk full", time.monotonic() - 7)
    assert reasons(service, journal=probe) == {"journal": "away for 7 s"}
    outage.end()

    probe._use = lambda: None
    probe.once()
    assert reasons(service, journal=probe) == {}


def test_a_probe_that_does_not_return_is_a_fault() -> None:
    found: list[str] = []
    probe = Probe("journal", lambda: found.append(probe.fault))
    probe.once()
    probe._begun = time.monotonic() - SLOW - 1

    assert found == [""]
    assert probe.fault == "it has not answered for 31 s"


@pytest.mark.parametrize(("loop", "away"), [(loop, away) for loop, (_s, away) in LOOPS.items()])
def test_a_late_loop_is_not_alive_unless_its_system_is_away(
    service: Any, loop: str, away: str
) -> None:
    BEATS.beat(loop)
    now = time.monotonic() + LOOPS[loop][0] + 1
    late = {loop: f"its last pass was {LOOPS[loop][0] + 1:.0f} s ago"}

    assert process_checks.alive(service, time.monotonic()) == {loop: ""}
    assert process_checks.alive(service, now) == late
    if away:
        OUTAGES.begin(away, 0.0)
        assert process_checks.alive(service, now) == {loop: ""}
        OUTAGES.end(away)
    BEATS.end(loop)
    assert process_checks.alive(service, now) == {}


def test_a_listener_that_hangs_is_not_alive(service: Any) -> None:
    now = time.monotonic()
    service.listeners = [SimpleNamespace(passed=now), SimpleNamespace(passed=now - 61)]

    found = process_checks.alive(service, now)

    assert found == {"listener-0": "", "listener-1": "its last pass was 61 s ago"}
