# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a collector of OpenTelemetry: OTLP over HTTP with protobuf."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came.

    :param attributes: its own, and those of its resource.
    :param links: the ids of the spans that it is linked to.
    :param error: the text of its status, None unless that is an error.
    """

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]
    links: list[str]
    error: str | None


class Collector:
    """The spans that came, and the address to which they are sent."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.address = f"http://127.0.0.1:{server.server_address[1]}"
        self._spans: list[ReceivedSpan] = []

    def take(self, body: bytes) -> None:
        """Take the spans of a request."""
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            common = _attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self._spans += [_received(span, common) for span in of_scope.spans]

    def spans(self, trace: str, *names: str) -> list[ReceivedSpan]:
        """Return the spans of a trace, of these names only."""
        found = [span for span in list(self._spans) if span.trace == trace]
        return [span for span in found if not names or span.name in names]


def _received(span: Any, common: dict[str, str]) -> ReceivedSpan:
    return ReceivedSpan(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        common | _attributes(span.attributes),
        [link.span_id.hex() for link in span.links],
        span.status.message if span.status.code == 2 else None,
    )


def _attributes(found: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in found}


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector."""

    class Asked(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                made.take(body)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    made = Collector(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
