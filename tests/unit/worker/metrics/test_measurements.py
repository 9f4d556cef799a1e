# SPDX-License-Identifier: Apache-2.0
"""Counters and histograms of a process: they add up, and continue in its successor."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from flows.engine.flow_run import Outcome
from flows.errors import OperationCancelled, OperationInterrupted, OperationTimedOut
from worker.execution.concurrency import Limiter, blocking
from worker.metrics import definitions as d
from worker.metrics import operation_counts
from worker.metrics.measurements import MEASURED, Measurements
from worker.metrics.outages import KnownOutages


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measurements:
    """The numbers of this process, which begin at zero."""
    monkeypatch.setattr(MEASURED, "_counts", {})
    monkeypatch.setattr(MEASURED, "_buckets", {})
    return MEASURED


def test_values_survive_a_process() -> None:
    first, second = Measurements(), Measurements()
    for one in (first, second):
        one.count(d.OPERATIONS, "create_volume", "done")
        for seconds in (0.05, 0.06, 9000.0):
            one.observe(d.OPERATION_SECONDS, seconds, "create_volume")
    second.restore({**first.series(), "holdfast_unknown": [[[], 1]]})

    found = second.series()
    assert found[d.OPERATIONS.name] == [[["create_volume", "done"], 2]]
    ((labels, buckets),) = found[d.OPERATION_SECONDS.name]
    assert (labels, buckets[:2], buckets[-2]) == (["create_volume"], [2, 2], 2)
    assert buckets[-1] == pytest.approx(18000.22)


def test_a_histogram_of_other_bounds_is_not_continued() -> None:
    made = Measurements()
    made.restore({d.OPERATION_SECONDS.name: [[["create_volume"], [1, 2.0]]]})

    assert d.OPERATION_SECONDS.name not in made.series()


def test_threads_lose_no_count() -> None:
    made = Measurements()
    threads = [
        threading.Thread(target=lambda: [made.count(d.REJECTED) for _ in range(2000)])
        for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert made.series()[d.REJECTED.name] == [[[], 8000]]


def test_calls_of_a_driver_are_measured(measured: Measurements) -> None:
    class Driver:
        def create_volume(self) -> str:
            return "made"

        def extend_volume(self) -> None:
            raise ValueError

        def revert(self) -> None:
            raise NotImplementedError

    driver: Any = blocking(Driver(), Limiter(), measured=True)
    assert driver.create_volume() == "made"
    for name, error in (("extend_volume", ValueError), ("revert", NotImplementedError)):
        with pytest.raises(error):
            getattr(driver, name)()
    blocking(Driver(), Limiter()).create_volume()

    found = measured.series()
    assert {tuple(labels) for labels, _ in found[d.DRIVER_SECONDS.name]} == {
        ("Driver", "create_volume"),
        ("Driver", "extend_volume"),
        ("Driver", "revert"),
    }
    assert sum(sum(buckets[:-1]) for _, buckets in found[d.DRIVER_SECONDS.name]) == 3
    assert found[d.DRIVER_ERRORS.name] == [[["Driver", "extend_volume"], 1]]


@pytest.mark.parametrize(
    ("outcome", "revert", "wanted"),
    [
        (Outcome("done"), None, {d.OPERATIONS: [["m", "done"], 1]}),
        (Outcome("suspended"), None, {d.OPERATIONS: [["m", "suspended"], 1]}),
        (
            Outcome("failed"),
            None,
            {d.OPERATIONS: [["m", "failed"], 1], d.REVERTED: [["m", "failure"], 1]},
        ),
        (Outcome("failed"), OperationCancelled("x"), {d.REVERTED: [["m", "cancelled"], 1]}),
        (Outcome("failed"), OperationTimedOut("x"), {d.REVERTED: [["m", "timeout"], 1]}),
        (Outcome("failed"), OperationInterrupted("x"), {d.REVERTED: [["m", "interrupted"], 1]}),
        (Outcome("failed", revert_failures={"s": "x"}), None, {d.LEFTOVERS: [[], 1]}),
    ],
)
def test_an_end_is_counted_by_its_kind(
    measured: Measurements, outcome: Outcome, revert: Any, wanted: Any
) -> None:
    operation_counts.count_end("m", outcome, 0.5, revert)

    found = measured.series()
    for metric, value in wanted.items():
        assert value in found[metric.name]
    results = {labels[1]: count for labels, count in found[d.OPERATIONS.name]}
    assert sorted(results.values()) == [0, 0, 1], "each result begins at zero"
    assert (d.OPERATION_SECONDS.name in found) is (outcome.state != "suspended")
    assert (d.LEFTOVERS.name in found) is bool(outcome.revert_failures)


def test_moved_bytes_are_counted_once(measured: Measurements) -> None:
    moved = iter([700, 0, 300])
    flow: Any = SimpleNamespace(
        name="create_backup", transfer=SimpleNamespace(size=1000, take=lambda: next(moved))
    )
    for _again in range(3):
        operation_counts.count_moved(flow)

    assert measured.series() == {d.TRANSFERRED.name: [[["create_backup"], 1000]]}


def test_outages_of_one_system_are_one_until_the_last_is_over(measured: Measurements) -> None:
    known = KnownOutages()
    known.begin("database", 0.0)
    known.begin("database", 1.0)
    known.end("database")
    assert set(known.lasting()) == {"database"}

    known.end("database")
    assert known.lasting() == {}
    with known.waiting("journal"):
        assert known.waits() == {"journal": 1}
    assert known.waits() == {"journal": 0}
    assert measured.series()[d.OUTAGES.name] == [[["database"], 2]]


def test_what_is_known_begins_at_zero() -> None:
    found = Measurements().series()

    assert found[d.REJECTED.name] == found[d.LEFTOVERS.name] == [[[], 0]]
    assert {labels[0] for labels, _zero in found[d.OUTAGES.name]} == set(d.SYSTEMS)


def test_names_follow_the_conventions() -> None:
    for name, metric in d.METRICS.items():
        assert name.startswith("holdfast_")
        assert name.endswith("_total") is (metric.kind == "counter")
        assert bool(metric.bounds) is (metric.kind == "histogram")
        assert metric.help.endswith(".")
        assert not {"id", "volume", "flow", "request"} & set(metric.labels)
