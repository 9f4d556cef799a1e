# SPDX-License-Identifier: Apache-2.0
"""A proxy to an S3 store that fails on request, in the middle of a transfer."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_HOP = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length"}
_GONE = b"<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Trouble:
    """A failure, from one request on.

    :param method: of the requests.
    :param how: ``500``; ``hang``: no answer; ``lose``: a sent object is acknowledged and not
        stored, a requested one is missing.
    :param after: requests that go well before.
    :param name: of their objects, as a regular expression.
    """

    method: str
    how: str
    after: int = 2
    name: str = r"-\d{5}$"


class Faulty(http.server.ThreadingHTTPServer):
    """Passes requests on to a store.

    :param port: of the store, on the loopback device.
    :param handler: of its requests; None for one that fails as :meth:`troubled` says.
    """

    daemon_threads = True

    def __init__(self, port: int, handler: type[Handler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.store = port
        self._guard = threading.Lock()
        self._trouble: Trouble | None = None
        self._met = 0
        self.healed = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def troubled(self, trouble: Trouble) -> Iterator[None]:
        """Have it fail so, and see that it did."""
        with self._guard:
            self._trouble, self._met = trouble, 0
            self.healed.clear()
        try:
            yield
        finally:
            with self._guard:
                self._trouble = None
            self.healed.set()
        assert self._met > trouble.after, "no request failed"

    def failing(self, method: str, path: str) -> str:
        """Return how a request fails; an empty text if it does not."""
        with self._guard:
            it = self._trouble
            if it is None or it.method != method or not re.search(it.name, path.partition("?")[0]):
                return ""
            self._met += 1
            return it.how if self._met > it.after else ""


class Handler(http.server.BaseHTTPRequestHandler):
    """Passes a request on, or fails."""

    protocol_version = "HTTP/1.1"
    server: Faulty

    def serve(self) -> None:
        """Answer a request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        how = self.server.failing(self.command, self.path)
        if how == "hang":
            self.server.healed.wait(_PATIENCE)
            self.close_connection = True
        elif how == "500":
            self.answer(500, {}, b"")
        elif how == "lose" and self.command == "PUT":
            digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
            self.answer(200, {"ETag": f'"{digest}"'}, b"")
        elif how == "lose":
            self.answer(404, {"Content-Type": "application/xml"}, _GONE)
        else:
            self._pass_on(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve

    def _pass_on(self, body: bytes) -> None:
        store = http.client.HTTPConnection("127.0.0.1", self.server.store, timeout=_PATIENCE)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        try:
            store.request(self.command, self.path, body or None, headers)
            answer = store.getresponse()
            self.answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            store.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send an answer."""
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
