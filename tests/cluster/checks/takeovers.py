# SPDX-License-Identifier: Apache-2.0
"""Time from a fault to the first call of the host that took an operation over."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.cluster.checks.calls import Interval, intervals
from tests.cluster.checks.evidence import Evidence, Struck

SLACK = 0.5
"""Seconds by which a call may seem to have begun after the fault that interrupted it."""


@dataclass(frozen=True)
class Takeover:
    """One operation that another host resumed."""

    request: str
    fault: str
    seconds: float
    life: str
    before: str
    after: str


def takeovers(evidence: Evidence) -> list[Takeover]:
    """Return the operations that were interrupted on one host and resumed on another."""
    calls: defaultdict[tuple[str, str], list[Interval]] = defaultdict(list)
    for call in intervals(evidence.lines):
        if call.first.request:
            calls[call.first.request, call.first.resource].append(call)
    found = []
    for (request, _resource), tries in calls.items():
        for one, other in zip(tries, tries[1:], strict=False):
            if one.finished or one.first.host == other.first.host:
                continue
            fault = _fault_of(one, other, evidence.faults)
            if fault is not None and not fault.orderly:
                seconds = other.began - fault.began
                both = (one.first.host, other.first.host)
                found.append(Takeover(request, fault.kind, seconds, one.first.life, *both))
    return found


def _fault_of(call: Interval, after: Interval, faults: Sequence[Struck]) -> Struck | None:
    """Return the first fault of the call's host between its begin and the next try."""
    mine = [
        one
        for one in faults
        if call.first.host in one.hosts and call.began - SLACK <= one.began <= after.began
    ]
    return min(mine, key=lambda one: one.began, default=None)


def figures(found: Sequence[Takeover]) -> dict[str, float | None]:
    """Return the median and the longest time, and the longest of any operation.

    A takeover is the first operation that another host resumes after the end of a process. Its
    other operations may wait for each other, as those on one volume do on any host.
    """
    first: dict[str, float] = {}
    for one in found:
        first[one.life] = min(one.seconds, first.get(one.life, one.seconds))
    return {
        "takeover_p50_s": round(statistics.median(first.values()), 1) if first else None,
        "takeover_max_s": round(max(first.values()), 1) if first else None,
        "resumed_max_s": round(max(one.seconds for one in found), 1) if found else None,
    }
