# SPDX-License-Identifier: Apache-2.0
"""Requests to other services carry the trace of the moment when they are sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from drivers import keystone
from drivers.backup.stores import swift_connection
from drivers.trace_headers import TRACE_HEADERS

SEEN: list[str | None] = []


@pytest.fixture
def address() -> Iterator[str]:
    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            SEEN.append(self.headers.get("traceparent"))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    SEEN.clear()
    with HTTPServer(("127.0.0.1", 0), Asked) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The values of the header, one for each request; none where it is empty."""
    given: list[str] = []
    monkeypatch.setattr(
        TRACE_HEADERS, "current", lambda: {"traceparent": given[0]} if given else {}
    )
    return given


def test_requests_through_keystoneauth(address: str, parents: list[str]) -> None:
    session = keystone.session_without_account(timeout=10)
    for value in ("", "a", "b"):
        parents[:] = [value] if value else []
        session.get(address, authenticated=False)

    assert SEEN == [None, "a", "b"]


def test_requests_to_swift(address: str, parents: list[str]) -> None:
    parents.append("a")
    connection = swift_connection.Connection(
        preauthurl=address, preauthtoken="t", retries=0, timeout=10
    )
    connection.head_container("c")
    connection.close()

    assert SEEN == ["a"]
