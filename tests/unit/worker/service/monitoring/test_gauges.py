# SPDX-License-Identifier: Apache-2.0
"""Present values of a process, from its parts."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from flows.engine.moved_data import Transfer
from worker.compat import libc
from worker.metrics import definitions as d
from worker.metrics.outages import OUTAGES
from worker.service.monitoring import gauges

GIB = 2**30


def run(method: str, since: float, waits_for: str = "turn", *, project: str = "p1") -> Any:
    """Return an operation."""
    operation = SimpleNamespace(method=method)
    state = SimpleNamespace(
        waits_for=waits_for, has_begun=not waits_for, has_turn=waits_for != "turn", project=project
    )
    return SimpleNamespace(operation=operation, since=since, **vars(state))


@pytest.fixture
def parts() -> Any:
    """The parts of a process that has nothing to do."""
    operations = SimpleNamespace(
        runs=list,
        flows=list,
        limited_projects=set,
        calls=SimpleNamespace(waiting=lambda: Counter()),
    )
    identity = SimpleNamespace(first=True, number=3)
    return SimpleNamespace(
        base=SimpleNamespace(
            identity=identity,
            slot=None,
            limiter=SimpleNamespace(waiting=5),
            locks=SimpleNamespace(held_names=lambda: {"a": (1, 2), "b": (0, 1)}),
        ),
        backend=SimpleNamespace(initialized=True),
        intake=SimpleNamespace(waiting=7, deferred=2),
        operations=operations,
        reporter=SimpleNamespace(beaten=90.0, sent=None),
    )


def values(parts: Any) -> dict[tuple[str, ...], float]:
    return {(m.name, *labels): value for m, labels, value in gauges.of(parts, 100.0)}


def test_operations_wait_for_a_turn_a_thread_or_a_lock_or_run(parts: Any) -> None:
    runs = [
        run("create_volume", 40.0, ""),
        run("create_volume", 70.0, "thread"),
        run("create_volume", 80.0),
        run("delete_volume", 99.0),
        run("delete_volume", 99.0, "lock"),
    ]
    parts.operations.runs = lambda: runs
    runs += [run("create_volume", 90.0, "thread", project="p2") for _ in range(3)]
    parts.operations.limited_projects = lambda: {"p2"}
    parts.operations.calls.waiting = lambda: Counter({("detach", "thread"): 3})
    found = values(parts)

    assert found[d.WAITING.name, "create_volume", "project"] == 3
    assert found[d.PROJECTS.name, "running"] == 1 and found[d.PROJECTS.name, "waiting"] == 2
    assert found[d.PROJECT_MOST.name, "waiting"] == 4
    assert found[d.WAITING.name, "delete_volume", "lock"] == 1
    assert found[d.WAITING.name, "detach", "thread"] == 3
    assert (found[d.LOCKS_HELD.name,], found[d.THREADS_WAITING.name,]) == (1, 5)
    assert found[d.RUNNING.name, "create_volume"] == 1
    assert found[d.WAITING.name, "create_volume", "thread"] == 1
    assert found[d.WAITING.name, "create_volume", "turn"] == 1
    assert found[d.WAITING.name, "delete_volume", "turn"] == 1
    assert found[d.OLDEST.name, "create_volume"] == 60
    assert (found[d.CASTS_WAITING.name,], found[d.CASTS_DEFERRED.name,]) == (7, 2)


def test_transfers_have_a_rate_and_an_end(parts: Any) -> None:
    flows = []
    for rate, fraction in ((100.0, 0.5), (50.0, 0.9)):
        transfer = Transfer()
        transfer.begin(1000)
        transfer._fraction, transfer._taken, transfer.rate = fraction, fraction, rate
        flows.append(SimpleNamespace(name="create_backup", transfer=transfer))
    still = SimpleNamespace(name="create_volume", transfer=Transfer())
    parts.operations.flows = lambda: [*flows, still]
    found = values(parts)

    assert found[d.TRANSFERS.name, "create_backup"] == 2
    assert found[d.TRANSFER_RATE.name, "create_backup"] == 150
    assert found[d.TRANSFER_LEFT.name, "create_backup"] == 5
    assert (d.TRANSFERS.name, "create_volume") not in found


def test_ages_are_those_of_what_was_sent(parts: Any) -> None:
    assert values(parts)[d.HEARTBEAT_AGE.name,] == 10
    assert (d.REPORT_AGE.name,) not in values(parts)

    parts.base.identity.first, parts.reporter.sent = False, 95.0
    assert (d.HEARTBEAT_AGE.name,) not in values(parts)
    assert values(parts)[d.REPORT_AGE.name,] == 5


def test_a_lease_is_named_by_its_process(parts: Any) -> None:
    lease = SimpleNamespace(ownership=SimpleNamespace(epoch=7), until=libc.now() + 10)
    parts.base.slot = SimpleNamespace(lease=lease)
    found = values(parts)

    assert found[d.EPOCH.name, "3"] == 7
    assert 9 < found[d.LEASE_LEFT.name, "3"] <= 10


@pytest.mark.parametrize(
    ("stats", "wanted"),
    [
        ({}, {}),
        (
            {"volume_backend_name": "b", "total_capacity_gb": 2, "free_capacity_gb": "unknown"},
            {(d.POOL_TOTAL.name, "b"): 2 * GIB},
        ),
        (
            {
                "volume_backend_name": "b",
                "pools": [
                    {"pool_name": "p", "free_capacity_gb": 1.5, "provisioned_capacity_gb": 3},
                    {"pool_name": "q", "max_over_subscription_ratio": "20.0"},
                ],
            },
            {
                (d.POOL_FREE.name, "p"): 1.5 * GIB,
                (d.POOL_PROVISIONED.name, "p"): 3 * GIB,
                (d.POOL_RATIO.name, "q"): 20,
            },
        ),
    ],
)
def test_pools_have_the_numbers_of_the_report(parts: Any, stats: Any, wanted: Any) -> None:
    parts.backend.stats = lambda: stats

    assert {key: v for key, v in values(parts).items() if "pool" in key[0]} == wanted


def test_infinite_capacity_is_a_gap(parts: Any) -> None:
    parts.backend.stats = lambda: {"total_capacity_gb": "infinite", "free_capacity_gb": "nan"}

    assert not [key for key in values(parts) if "pool" in key[0]]


def test_a_system_without_an_outage_is_zero() -> None:
    found = {labels: value for m, labels, value in gauges.of_outages() if m is d.OUTAGE_SECONDS}
    assert {(name,) for name in d.SYSTEMS} <= set(found)

    OUTAGES.begin("bus", 0.0)
    found = {labels: value for m, labels, value in gauges.of_outages() if m is d.OUTAGE_SECONDS}
    OUTAGES.end("bus")
    assert found["bus",] > 0
