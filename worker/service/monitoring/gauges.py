# SPDX-License-Identifier: Apache-2.0
"""Present values of one process, read from its parts once a second; nothing is waited for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from oslo_utils import units

from worker.compat import libc
from worker.metrics import definitions as d
from worker.metrics import operation_counts
from worker.metrics.measurements import Series
from worker.metrics.outages import OUTAGES
from worker.service.parts import Parts

POOLS = 200
"""Pools of a backend that are shown."""

Value = tuple[d.Metric, tuple[str, ...], float]


def of(parts: Parts, now: float) -> Iterator[Value]:
    """Yield the values of a process.

    :param now: in monotonic seconds.
    """
    yield d.DRIVER_UP, (), float(parts.backend.initialized)
    yield d.CASTS_WAITING, (), parts.intake.waiting
    yield d.CASTS_DEFERRED, (), parts.intake.deferred
    yield d.THREADS_WAITING, (), parts.base.limiter.waiting
    yield d.LOCKS_HELD, (), sum(held > 0 for held, _waits in parts.base.locks.held_names().values())
    yield from _operations(parts, now)
    yield from _transfers(parts)
    yield from _reports(parts, now)
    yield from _lease(parts)
    yield from _pools(getattr(parts.backend, "stats", dict)())


def of_outages() -> Iterator[Value]:
    """Yield the outages, also during a start."""
    lasting, waits = OUTAGES.lasting(), OUTAGES.waits()
    for system in {*d.SYSTEMS, *lasting}:
        yield d.OUTAGE_SECONDS, (system,), lasting.get(system, 0.0)
    for system, threads in waits.items():
        yield d.OUTAGE_WAITS, (system,), threads


def series(values: Iterable[Value]) -> dict[str, Series]:
    """Return values as a snapshot has them."""
    found: dict[str, Series] = {}
    for metric, labels, value in values:
        found.setdefault(metric.name, []).append([list(labels), value])
    return found


def _operations(parts: Parts, now: float) -> Iterator[Value]:
    running: Counter[str] = Counter()
    waiting: Counter[tuple[str, str]] = parts.operations.calls.waiting()
    projects = {state: Counter[str]() for state in ("running", "waiting")}
    oldest: dict[str, float] = {}
    limited = parts.operations.limited_projects()
    for run in parts.operations.runs():
        method = run.operation.method
        oldest[method] = max(oldest.get(method, 0.0), now - run.since)
        reason = run.waits_for
        projects["waiting" if reason else "running"][run.project] += 1
        if not reason:
            running[method] += 1
        else:
            is_limited = reason == "thread" and run.project in limited
            waiting[method, "project" if is_limited else reason] += 1
    yield from ((d.RUNNING, (method,), number) for method, number in running.items())
    yield from ((d.WAITING, labels, number) for labels, number in waiting.items())
    yield from ((d.OLDEST, (method,), age) for method, age in oldest.items())
    for state, counts in projects.items():
        yield d.PROJECTS, (state,), len(counts)
        yield d.PROJECT_MOST, (state,), max(counts.values(), default=0)


def _transfers(parts: Parts) -> Iterator[Value]:
    running: Counter[str] = Counter()
    rates: Counter[str] = Counter()
    left: dict[str, float] = {}
    for flow in parts.operations.flows():
        if not flow.transfer.size:
            continue
        operation_counts.count_moved(flow)
        running[flow.name] += 1
        rates[flow.name] += int(flow.transfer.rate)
        if (remaining := flow.transfer.remaining) is not None:
            left[flow.name] = max(left.get(flow.name, 0.0), remaining)
    yield from ((d.TRANSFERS, (method,), number) for method, number in running.items())
    yield from ((d.TRANSFER_RATE, (method,), rate) for method, rate in rates.items())
    yield from ((d.TRANSFER_LEFT, (method,), seconds) for method, seconds in left.items())


def _reports(parts: Parts, now: float) -> Iterator[Value]:
    reporter = parts.reporter
    if parts.base.identity.first and reporter.beaten is not None:
        yield d.HEARTBEAT_AGE, (), now - reporter.beaten
    if reporter.sent is not None:
        yield d.REPORT_AGE, (), now - reporter.sent


def _lease(parts: Parts) -> Iterator[Value]:
    if (slot := parts.base.slot) is None:
        return
    process = str(parts.base.identity.number)
    yield d.EPOCH, (process,), slot.lease.ownership.epoch
    if (until := slot.lease.until) is not None:
        yield d.LEASE_LEFT, (process,), until - libc.now()


def _pools(stats: Mapping[str, Any]) -> Iterator[Value]:
    """Yield the capacities of pools; 'unknown' and 'infinite' are left out."""
    pools = stats.get("pools") or ([stats] if stats else [])
    for pool in pools[:POOLS]:
        name = str(pool.get("pool_name") or pool.get("volume_backend_name") or "")
        for metric, field, unit in (
            (d.POOL_TOTAL, "total_capacity_gb", units.Gi),
            (d.POOL_FREE, "free_capacity_gb", units.Gi),
            (d.POOL_PROVISIONED, "provisioned_capacity_gb", units.Gi),
            (d.POOL_RATIO, "max_over_subscription_ratio", 1),
        ):
            value = _number(pool.get(field))
            if value is not None:
                yield metric, (name,), value * unit


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
