# SPDX-License-Identifier: Apache-2.0
"""Time from a fault to the first call of the host that took an operation over."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.cluster.backend.history import Line
from tests.cluster.checks.calls import Interval, intervals
from tests.cluster.checks.evidence import Struck

SLACK = 0.5
"""Seconds by which a call may seem to have begun after the fault that interrupted it."""


@dataclass(frozen=True)
class Takeover:
    """One operation that another host resumed.

    :param disturbed: whether a second fault struck one of the two hosts meanwhile.
    """

    request: str
    fault: str
    seconds: float
    life: str
    before: str
    after: str
    disturbed: bool = False


def takeovers(lines: Iterable[Line], faults: Sequence[Struck]) -> list[Takeover]:
    """Return the operations that were interrupted on one host and resumed on another."""
    calls: defaultdict[tuple[str, str], list[Interval]] = defaultdict(list)
    for call in intervals(lines):
        if call.first.request:
            calls[call.first.request, call.first.resource].append(call)
    found = []
    for tries in calls.values():
        for one, other in zip(tries, tries[1:], strict=False):
            if one.finished or one.first.host == other.first.host:
                continue
            fault = _fault_of(one, other, faults)
            if fault is not None and not fault.orderly:
                found.append(_takeover(one, other, fault, faults))
    return found


def _takeover(one: Interval, other: Interval, fault: Struck, faults: Sequence[Struck]) -> Takeover:
    both = (one.first.host, other.first.host)
    second = [
        more
        for more in faults
        if more is not fault
        and not set(both).isdisjoint(more.hosts)
        and more.began <= other.began
        and more.ended >= fault.began
    ]
    return Takeover(
        one.first.request,
        fault.kind,
        other.began - fault.began,
        one.first.life,
        *both,
        disturbed=bool(second),
    )


def _fault_of(call: Interval, after: Interval, faults: Sequence[Struck]) -> Struck | None:
    """Return the first fault of the call's host between its begin and the next try."""
    mine = [
        one
        for one in faults
        if call.first.host in one.hosts and call.began - SLACK <= one.began <= after.began
    ]
    return min(mine, key=lambda one: one.began, default=None)


def figures(found: Sequence[Takeover]) -> dict[str, float | None]:
    """Return the median, the 99th percentile and the longest time of takeovers.

    A takeover is the first operation that another host resumes after the end of a process. Its
    other operations may wait for each other, as those on one volume do on any host. Takeovers
    that a second fault has disturbed are shown apart: no host takes over in an outage of the
    database.
    """
    calm = _first([one for one in found if not one.disturbed])
    disturbed = _first([one for one in found if one.disturbed])
    return {
        "takeover_p50_s": _share(calm, 0.5),
        "takeover_p99_s": _share(calm, 0.99),
        "takeover_max_s": _share(calm, 1.0),
        "disturbed_p50_s": _share(disturbed, 0.5),
        "disturbed_max_s": _share(disturbed, 1.0),
        "resumed_max_s": _share([one.seconds for one in found], 1.0),
    }


def _first(found: Sequence[Takeover]) -> list[float]:
    """Return the seconds of the first operation of each process that ended."""
    first: dict[str, float] = {}
    for one in found:
        first[one.life] = min(one.seconds, first.get(one.life, one.seconds))
    return list(first.values())


def _share(seconds: Sequence[float], part: float) -> float | None:
    """Return the time within which a part of all took place."""
    if not seconds:
        return None
    return round(sorted(seconds)[math.ceil(part * len(seconds)) - 1], 1)
