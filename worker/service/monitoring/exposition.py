# SPDX-License-Identifier: Apache-2.0
"""The metrics of all processes as Prometheus reads them, by prometheus_client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family

from worker.metrics import definitions as d
from worker.metrics.definitions import METRICS, Metric
from worker.service.monitoring import gauges
from worker.service.monitoring import verdict as verdicts

Labels = tuple[str, ...]

VERSION = metadata.version("holdfast")

COMMON = ("service", "hostname")
"""Labels of all metrics, named as openstack-exporter does."""


def judged(snapshot: verdicts.PublishedState, now: float) -> verdicts.PublishedState:
    """Return a snapshot with the verdict on its process; the gauges of a dead one are left out."""
    silent = verdicts.age(snapshot, now)
    metrics = dict(snapshot.get("metrics", {}))
    if silent > verdicts.SILENT:
        metrics = {name: one for name, one in metrics.items() if not _is_gauge(name)}
    is_fresh = silent <= verdicts.STALE
    found = [
        (d.READY, (), float(is_fresh and not any(snapshot["ready"].values()))),
        (d.ALIVE, (), float(silent <= verdicts.SILENT and not any(snapshot["alive"].values()))),
        (d.PROCESSES, (), float(is_fresh)),
        *((d.FAILED_CHECKS, (name,), float(bool(why))) for name, why in snapshot["ready"].items()),
    ]
    return {**snapshot, "metrics": {**metrics, **gauges.series(found)}}


class Collector:
    """Collects the metrics of all processes from their snapshots.

    :param snapshots: returns them.
    """

    def __init__(self, snapshots: Callable[[], Iterable[verdicts.PublishedState]]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Family]:
        """Yield each metric that has a value."""
        merged: dict[str, dict[Labels, Any]] = {d.BUILD.name: {(VERSION,): 1.0}}
        now = time.monotonic()
        for snapshot in (judged(one, now) for one in self._snapshots()):
            common = (str(snapshot["service"]), str(snapshot["hostname"]))
            for name, series in snapshot.get("metrics", {}).items():
                if (metric := METRICS.get(name)) is not None:
                    values = merged.setdefault(name, {})
                    for labels, value in series:
                        key = (*(() if metric.shared else common), *labels)
                        _merge(metric, values, key, value)
        for name, values in merged.items():
            yield _family(METRICS[name], values)


def page(collector: Collector, accept: str) -> tuple[bytes, str]:
    """Return the page of all metrics, and its content type.

    :param accept: the header of that name.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


def _is_gauge(name: str) -> bool:
    return name in METRICS and METRICS[name].kind == "gauge"


def _merge(metric: Metric, values: dict[Labels, Any], key: Labels, value: Any) -> None:
    """Add the value of one process to those of the others."""
    if (before := values.get(key)) is None:
        values[key] = value
    elif metric.kind == "histogram":
        values[key] = [one + other for one, other in zip(before, value, strict=True)]
    elif metric.kind == "counter" or metric.merge == "sum":
        values[key] = before + value
    else:
        values[key] = max(before, value) if metric.merge == "max" else min(before, value)


def _family(metric: Metric, values: Mapping[Labels, Any]) -> Family:
    labels = (*(() if metric.shared else COMMON), *metric.labels)
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        for key, buckets in values.items():
            histogram.add_metric(key, list(_cumulated(metric, buckets)), buckets[-1])
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _cumulated(metric: Metric, buckets: list[float]) -> Iterator[tuple[str, float]]:
    count = 0.0
    for bound, number in zip((*metric.bounds, "+Inf"), buckets, strict=False):
        count += number
        yield str(bound), count
