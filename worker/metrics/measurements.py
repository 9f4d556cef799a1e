# SPDX-License-Identifier: Apache-2.0
"""Counters and histograms of one process: plain numbers, since each operation adds to them.

A count takes a microsecond. The listener turns the numbers of all processes into the text that
Prometheus reads, with prometheus_client, which these processes do not import.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

from worker.metrics.definitions import (
    ADOPTED,
    LEFTOVERS,
    METRICS,
    OUTAGES,
    REJECTED,
    SYSTEMS,
    Metric,
)

Series = list[list[Any]]
"""The values of one metric: the labels of each, and the number or the buckets."""


class Measurements:
    """The counters and histograms of one process."""

    def __init__(self) -> None:
        # A series that begins at 1 has no increase, so those that are known begin at 0.
        self._guard = threading.Lock()
        self._counts: dict[str, dict[tuple[str, ...], float]] = {
            **{one.name: {(): 0.0} for one in (REJECTED, LEFTOVERS, ADOPTED)},
            OUTAGES.name: {(system,): 0.0 for system in SYSTEMS},
        }
        self._buckets: dict[str, dict[tuple[str, ...], list[float]]] = {}

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        with self._guard:
            values = self._counts.setdefault(metric.name, {})
            values[labels] = values.get(labels, 0) + by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add a value to a histogram: its bucket, and in the last place the sum."""
        place = bisect_left(metric.bounds, value)
        with self._guard:
            series = self._buckets.setdefault(metric.name, {})
            if (buckets := series.get(labels)) is None:
                buckets = series[labels] = [0] * (len(metric.bounds) + 1) + [0.0]
            buckets[place] += 1
            buckets[-1] += value

    def measured(
        self, call: Callable[..., Any], seconds: Metric, errors: Metric, *labels: str
    ) -> Callable[..., Any]:
        """Return a function whose calls add to a histogram, and whose errors add to a counter.

        One that is not implemented is no error: drivers say so that they lack a feature.
        """

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                return call(*args, **kwargs)
            except NotImplementedError:
                raise
            except BaseException:
                self.count(errors, *labels)
                raise
            finally:
                self.observe(seconds, time.monotonic() - began, *labels)

        return run

    def series(self) -> dict[str, Series]:
        """Return all values, fit for JSON."""
        with self._guard:
            found: dict[str, Series] = {
                name: [[list(labels), value] for labels, value in values.items()]
                for name, values in self._counts.items()
            }
            for name, series in self._buckets.items():
                found[name] = [[list(labels), list(value)] for labels, value in series.items()]
        return found

    def restore(self, found: Mapping[str, Series]) -> None:
        """Continue from the values of a former process; those of other versions are left out."""
        for name, series in found.items():
            if (metric := METRICS.get(name)) is None or metric.kind == "gauge":
                continue
            for labels, value in series:
                self._restore(metric, tuple(labels), value)

    def _restore(self, metric: Metric, labels: tuple[str, ...], value: Any) -> None:
        if metric.kind == "counter":
            self.count(metric, *labels, by=value)
        elif len(value) == len(metric.bounds) + 2:
            with self._guard:
                series = self._buckets.setdefault(metric.name, {})
                before = series.get(labels, [0] * len(value))
                series[labels] = [one + other for one, other in zip(before, value, strict=True)]


MEASURED = Measurements()
"""The numbers of this process."""
