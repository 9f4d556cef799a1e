# SPDX-License-Identifier: Apache-2.0
"""A server of HTTP in the place of Glance, or of a store, whose answers a test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from oslo_config import cfg

from drivers.image.glance import GlanceImages

Answer = tuple[int, dict[str, str], Iterable[bytes]]


@dataclass(frozen=True)
class Request:
    """A request that came, with its body."""

    method: str
    path: str
    headers: dict[str, str] = field(compare=False)
    body: bytes = field(default=b"", compare=False)


class GlanceStandIn(ThreadingHTTPServer):
    """It answers each request as a function says.

    :param answer: gets the request; a body that it returns is sent piece by piece.
    """

    daemon_threads = True

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.read_body = True
        self.requests: list[Request] = []

    @property
    def place(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.server_port}"

    def client(self, *addresses: str, **options: Any) -> GlanceImages:
        """Return a client of these addresses, or of this server, which tries twice."""
        return glance_client(*(addresses or [f"http://{self.place}"]), **options)


def glance_client(*addresses: str, **options: Any) -> GlanceImages:
    """Return a client of Glance without accounts, which tries twice."""
    conf = cfg.ConfigOpts()
    conf.register_opts(GlanceImages.OPTS)
    conf([], default_config_files=[])
    known = {"auth_strategy": "noauth", "glance_num_retries": 1, "glance_request_timeout": 20}
    for name, value in {**known, "glance_api_servers": list(addresses), **options}.items():
        conf.set_override(name, value)
    return GlanceImages(conf)


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[GlanceStandIn]:
    """Run a server until the end of the block."""
    server = GlanceStandIn(answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: GlanceStandIn

    def _answer(self) -> None:
        body = self._body() if self.server.read_body else b""
        request = Request(self.command, self.path, dict(self.headers), body)
        self.server.requests.append(request)
        code, headers, pieces = self.server.answer(request)
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(piece)
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while length := int(self.rfile.readline() or b"0", 16):
            parts.append(self.rfile.read(length))
            self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_: object) -> None:
        pass
