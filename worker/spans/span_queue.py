# SPDX-License-Identifier: Apache-2.0
"""Queue of ended spans: one thread sends them, and nothing else waits for the collector.

The processor of the SDK counts no dropped spans, and its end waits for a collector that hangs.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import TraceFlags

from worker.metrics.definitions import TRACE_SPANS
from worker.metrics.measurements import MEASURED

LOG = logging.getLogger(__name__)

PAUSE = 1.0
"""Longest time that a span waits for others, in seconds."""

BATCH = 512
"""Spans of one request."""


class SpanQueue(SpanProcessor):
    """Keeps ended spans until they are sent; those beyond its size are dropped, and counted.

    :param size: the number of spans.
    """

    def __init__(self, exporter: SpanExporter, size: int) -> None:
        self._exporter = exporter
        self._size = size
        self._spans: deque[ReadableSpan] = deque()
        self._wanted = threading.Event()
        self._empty = threading.Event()
        self._closed = False
        self._is_away = False
        self._reason = _Reason()
        for result in ("sent", "dropped", "failed"):
            MEASURED.count(TRACE_SPANS, result, by=0)
        threading.Thread(target=self._loop, name="traces", daemon=True).start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span over; never waits."""
        sampled = span.context is not None and span.context.trace_flags & TraceFlags.SAMPLED
        if not sampled or self._closed:
            return
        # Several threads may exceed the size by one span each.
        if len(self._spans) >= self._size:
            MEASURED.count(TRACE_SPANS, "dropped")
            return
        self._spans.append(span)
        if len(self._spans) >= BATCH:
            self._wanted.set()

    def close(self, seconds: float) -> None:
        """Send the spans that wait, for so long at most; those that are left are lost."""
        self._closed = True
        self._wanted.set()
        if not self._empty.wait(seconds):
            LOG.warning("%d spans are lost: the collector has not taken them", len(self._spans))

    def _loop(self) -> None:
        while not self._closed:
            self._wanted.wait(PAUSE)
            self._wanted.clear()
            self._send_all()
        self._send_all()  # those of a thread that found it open
        self._empty.set()

    def _send_all(self) -> None:
        while batch := [self._spans.popleft() for _ in range(min(len(self._spans), BATCH))]:
            try:
                sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
                reason = self._reason.last
            except Exception as error:  # noqa: BLE001 - whatever an exporter raises
                sent, reason = False, f"{type(error).__name__}: {error}"
            MEASURED.count(TRACE_SPANS, "sent" if sent else "failed", by=len(batch))
            self._log(sent, reason)
            if not sent:
                return  # the others wait for the next attempt, or give way to newer ones

    def _log(self, sent: bool, reason: str) -> None:
        """Log an outage once, at its begin and at its end."""
        if sent and self._is_away:
            LOG.info("the collector of traces takes spans again")
        elif not sent and not self._is_away:
            LOG.warning("the collector of traces takes no spans, they are dropped: %s", reason)
        self._is_away = not sent


class _Reason(logging.Handler):
    """Keeps the last line of the exporter, which logs one for each request that fails."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = "no reason is known"
        library = logging.getLogger("opentelemetry.exporter")
        library.handlers, library.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.last = record.getMessage()
