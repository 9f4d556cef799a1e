# SPDX-License-Identifier: Apache-2.0
"""The page of metrics: values of several processes become those of one service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from worker.metrics import definitions as d
from worker.metrics.measurements import Measurements
from worker.service.monitoring import exposition, gauges
from worker.service.monitoring.exposition import Collector

Page = Callable[..., dict[tuple[str, str], float]]

COMMON = "hostname=h@b,service=cinder-volume"


def snapshot(number: int, values: Any = (), *, age: float = 0.0, **checks: Any) -> dict[str, Any]:
    """Return the snapshot of a process with some gauges, and one operation."""
    measured = Measurements()
    measured.count(d.OPERATIONS, "create_volume", "done")
    measured.observe(d.OPERATION_SECONDS, 0.07, "create_volume")
    found = {"alive": {"casts": ""}, "ready": {"driver": ""}, **checks}
    return {
        "at": time.monotonic() - age,
        "service": "cinder-volume",
        "hostname": "h@b",
        "slot": f"h@b/{number}",
        "metrics": {**gauges.series(values), **measured.series()},
        **found,
    }


@pytest.fixture
def page() -> Page:
    """Return the samples of a page: names and labels, and the values."""

    def read(*snapshots: Any, accept: str = "") -> dict[tuple[str, str], float]:
        content, _kind = exposition.page(Collector(lambda: snapshots), accept)
        return {
            (one.name, ",".join(f"{k}={v}" for k, v in sorted(one.labels.items()))): one.value
            for family in text_string_to_metric_families(content.decode())
            for one in family.samples
        }

    return read


def test_counters_and_histograms_are_added(page: Page) -> None:
    found = page(snapshot(0), snapshot(1))

    labels = "hostname=h@b,method=create_volume"
    assert found["holdfast_operations_total", f"{labels},result=done,service=cinder-volume"] == 2
    below = "hostname=h@b,le=0.05,method=create_volume,service=cinder-volume"
    every = "hostname=h@b,le=+Inf,method=create_volume,service=cinder-volume"
    assert found["holdfast_operation_seconds_bucket", below] == 0
    assert found["holdfast_operation_seconds_bucket", every] == 2
    total = f"{labels},service=cinder-volume"
    assert found["holdfast_operation_seconds_sum", total] == pytest.approx(0.14)


def test_gauges_are_merged_by_their_meaning(page: Page) -> None:
    first = [(d.DRIVER_UP, (), 1.0), (d.RUNNING, ("m",), 2), (d.OLDEST, ("m",), 5.0)]
    second = [(d.DRIVER_UP, (), 0.0), (d.RUNNING, ("m",), 3), (d.OLDEST, ("m",), 7.0)]
    found = page(snapshot(0, first), snapshot(1, second))

    assert found["holdfast_driver_initialized", COMMON] == 0
    assert found["holdfast_operations_running", f"hostname=h@b,method=m,{COMMON[13:]}"] == 5
    assert found["holdfast_operation_oldest_seconds", f"hostname=h@b,method=m,{COMMON[13:]}"] == 7


def test_the_journal_of_a_host_is_counted_once(page: Page) -> None:
    values = [(d.JOURNAL_ENTRIES, ("failed",), 4)]
    found = page(snapshot(0, values), {**snapshot(0, values), "hostname": "h@c"})

    assert found["holdfast_journal_entries", "state=failed"] == 4
    assert ("holdfast_build_info", f"version={exposition.VERSION}") in found


def test_the_verdicts_are_metrics(page: Page) -> None:
    found = page(snapshot(0), snapshot(1, ready={"driver": "no array"}))
    assert found["holdfast_service_ready", COMMON] == 0
    assert found["holdfast_service_alive", COMMON] == 1
    assert found["holdfast_check_failed", f"check=driver,{COMMON}"] == 1
    assert found["holdfast_processes", COMMON] == 2


def test_a_dead_process_leaves_its_counters_and_no_gauges(page: Page) -> None:
    found = page(snapshot(0), snapshot(1, [(d.RUNNING, ("m",), 3)], age=100.0))

    assert found["holdfast_processes", COMMON] == 1
    assert found["holdfast_service_alive", COMMON] == 0
    assert ("holdfast_operations_running", f"hostname=h@b,method=m,{COMMON[13:]}") not in found
    labels = "hostname=h@b,method=create_volume,result=done,service=cinder-volume"
    assert found["holdfast_operations_total", labels] == 2


def test_names_of_foreign_systems_are_escaped(page: Page) -> None:
    found = page(snapshot(0, [(d.POOL_FREE, ('a"b\\c\nd',), 1.0)]))

    labels = f'hostname=h@b,pool=a"b\\c\nd,{COMMON[13:]}'
    assert found["holdfast_pool_capacity_free_bytes", labels] == 1


def test_openmetrics_is_spoken_where_it_is_understood() -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    content, kind = exposition.page(Collector(lambda: [snapshot(0)]), accept)

    assert kind.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
