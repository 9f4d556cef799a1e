# SPDX-License-Identifier: Apache-2.0
"""The first page: the service, its backends, operations, failures, slots and the last audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.audit import last_run
from worker.cli.access import Access
from worker.cli.explain import activity
from worker.cli.flow import UNDONE
from worker.cli.slots import slot
from worker.metrics import definitions as d
from worker.page.views import lists
from worker.page.views.view import PageView, Visit, attempted

OPERATIONS = 50
"""Operations under way that are shown."""

_RECENT = 10
"""Failures and rejected messages that are shown."""

_CAPACITIES = {
    d.POOL_TOTAL.name: "total",
    d.POOL_FREE.name: "free",
    d.POOL_PROVISIONED.name: "provisioned",
}


def view(access: Access, visit: Visit) -> PageView:
    """Return the page."""
    processes = [one for one in visit.state["processes"] if one]
    values = {
        "pools": list(_pools(processes)),
        "outages": dict(_outages(processes)),
        "services": attempted(lambda: activity.services(access)),
        "activity": attempted(lambda: _activity(access)),
        "failures": attempted(lambda: lists.entries(access, _RECENT, among=UNDONE)),
        "rejected": attempted(lambda: lists.entries(access, _RECENT, rejected=True)),
        "slots": attempted(lambda: _slots(access)),
        "audit": attempted(lambda: _audit(access)),
    }
    return PageView("overview.html", "Overview", values)


def _activity(access: Access) -> dict[str, Any]:
    found = activity.operations(access, OPERATIONS)
    found["not_shown"] = found["running"] + found["waiting"] - len(found["operations"])
    return found


def _pools(processes: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the capacities in bytes of each pool; all processes of a backend report the same."""
    pools: dict[tuple[str, str], dict[str, Any]] = {}
    for process in processes:
        for metric, name in _CAPACITIES.items():
            for labels, value in process["metrics"].get(metric, ()):
                key = str(process["hostname"]), str(labels[0])
                pools.setdefault(key, {"host": key[0], "pool": key[1]})[name] = value
    for _key, pool in sorted(pools.items()):
        total, free = pool.get("total"), pool.get("free")
        used = max(0.0, 1 - free / total) if total and free is not None else None
        yield {**pool, "used": used}


def _outages(processes: list[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Yield the systems that are away, each with the seconds of its longest outage."""
    lasting: dict[str, float] = {}
    for process in processes:
        for labels, seconds in process["metrics"].get(d.OUTAGE_SECONDS.name, ()):
            lasting[labels[0]] = max(lasting.get(labels[0], 0.0), seconds)
    yield from ((system, seconds) for system, seconds in sorted(lasting.items()) if seconds)


def _slots(access: Access) -> list[dict[str, Any]]:
    """Return the slots of a cluster; none for a journal in a file, which one host has alone."""
    if access.journal_file is not None:
        return []
    return [dict(zip(slot.KEYS, row, strict=True)) for row in slot.rows_of(access)]


def _audit(access: Access) -> dict[str, Any] | None:
    found = last_run.read(access.conf.state_path)
    if found is None:
        return None
    drifts = {kind: count for kind, count in sorted(found.counts.items()) if count}
    return {
        "ended_at": found.ended_at,
        "seconds": found.seconds,
        "drifts": drifts,
        "kinds": len(found.counts),
        "unable": dict(found.unable),
        "repaired": len(found.repaired),
    }
