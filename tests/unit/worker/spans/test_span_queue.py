# SPDX-License-Identifier: Apache-2.0
"""A collector that is away, slow or hangs delays nothing, and lost spans are counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from tests.servers import until
from worker.metrics.definitions import TRACE_SPANS
from worker.metrics.measurements import Measurements
from worker.spans import span_queue
from worker.spans.span_queue import SpanQueue


class Collector:
    """A collector that takes spans, refuses them, or hangs."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.errors: list[Exception | None] = []
        self.lets_go = threading.Event()
        self.lets_go.set()
        self.asked = threading.Event()

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.lets_go.wait()
        if self.errors:
            if (error := self.errors.pop(0)) is not None:
                raise error
            logging.getLogger("opentelemetry.exporter.otlp").error("503, again later")
            return SpanExportResult.FAILURE
        self.taken += [span.name for span in spans]
        return SpanExportResult.SUCCESS


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Measurements:
    made = Measurements()
    monkeypatch.setattr(span_queue, "MEASURED", made)
    return made


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.lets_go.set()


@pytest.fixture
def queue(collector: Collector, counted: Measurements) -> Iterator[Any]:
    made = SpanQueue(collector, 3)  # type: ignore[arg-type]
    yield made
    collector.lets_go.set()
    made.close(10)


def end(queue: SpanQueue, *names: str) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    for name in names:
        provider.get_tracer("t").start_span(name).end()


def counts(counted: Measurements) -> dict[str, int]:
    return {labels[0]: int(value) for labels, value in counted.series()[TRACE_SPANS.name]}


def test_spans_are_sent_and_counted(
    queue: SpanQueue, collector: Collector, counted: Measurements
) -> None:
    end(queue, "a", "b")
    queue.close(10)

    assert collector.taken == ["a", "b"]
    assert counts(counted) == {"sent": 2, "dropped": 0, "failed": 0}


def test_neither_an_operation_nor_a_stop_waits_for_a_collector_that_hangs(
    queue: SpanQueue, collector: Collector, counted: Measurements, caplog: pytest.LogCaptureFixture
) -> None:
    collector.lets_go.clear()
    end(queue, "a")
    queue._wanted.set()
    until(collector.asked.is_set, 10, "a request")
    end(queue, "b", "c", "d", "e", "f")
    queue.close(0.01)

    assert counts(counted) == {"sent": 0, "dropped": 2, "failed": 0}
    assert "3 spans are lost: the collector has not taken them" in caplog.text


def test_an_outage_is_logged_once_with_its_reason(
    queue: SpanQueue, collector: Collector, counted: Measurements, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    collector.errors = [None, OSError("no route"), OSError("no route")]
    for name in "abcd":
        collector.asked.clear()
        end(queue, name)
        queue._wanted.set()
        until(lambda: not queue._spans and collector.asked.is_set(), 10, "a request")
    queue.close(10)

    assert counts(counted) == {"sent": 1, "dropped": 0, "failed": 3}
    lines = [record.getMessage() for record in caplog.records if "collector" in record.msg]
    assert lines == [
        "the collector of traces takes no spans, they are dropped: 503, again later",
        "the collector of traces takes spans again",
    ]


def test_a_span_that_is_not_sampled_is_not_kept(queue: SpanQueue, collector: Collector) -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("a")
    span._context = span.context.__class__(1, 2, is_remote=False)  # type: ignore[attr-defined]
    queue.on_end(span)  # type: ignore[arg-type]
    queue.close(10)

    assert collector.taken == []
