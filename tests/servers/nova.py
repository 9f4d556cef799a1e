# SPDX-License-Identifier: Apache-2.0
"""The part of Nova's API that receives events of volumes and swaps volumes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EVENTS = "/os-server-external-events"
_POLL = 0.02  # seconds after which a stop is noticed


class Nova(ThreadingHTTPServer):
    """Records its requests.

    ``answer`` is a status and a body for all requests; None for the proper answer, which it is
    again after ``answers_later`` requests. ``swaps`` is called with an instance, a volume
    and its copy when it is asked for that, ``before`` before any answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, str, Any]] = []
        self.answer: tuple[int, str] | None = None
        self.answers_later: int | None = None
        self.swaps: Callable[[str, str, str], None] = lambda *_: None
        self.before: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.server_address[1]}/v2.1"

    @property
    def account(self) -> str:
        """The section [nova] that reaches it without Keystone."""
        return f"auth_type = none\nendpoint = {self.url}\n"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of who is not there any more."""

    def close(self) -> None:
        """Stop, with its thread."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Nova

    def do_GET(self) -> None:
        """No instance has this volume: the caller may detach it."""
        self._answer(404, '{"itemNotFound": {"code": 404, "message": "no such attachment"}}')

    def do_POST(self) -> None:
        body = self._read()
        events = body["events"]
        self.server.told += events
        done = [{**event, "code": 200, "status": "completed"} for event in events]
        self._answer(200, json.dumps({"events": done}))

    def do_PUT(self) -> None:
        body = self._read()
        _, instance, _, volume = self.path.removeprefix("/v2.1").strip("/").split("/")
        if self.server.answer is None:
            self.server.swaps(instance, volume, body["volumeAttachment"]["volumeId"])
        self._answer(202, "")

    def _read(self) -> Any:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        version = str(self.headers.get("OpenStack-API-Version"))
        path = self.path.removeprefix("/v2.1")
        self.server.asked.append((self.command, path, version, dict(self.headers)))
        self.server.before()
        return body

    def _answer(self, status: int, text: str) -> None:
        status, text = self.server.answer or (status, text)
        if len(self.server.asked) == self.server.answers_later:
            self.server.answer = None
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
