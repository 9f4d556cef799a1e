# SPDX-License-Identifier: Apache-2.0
"""A server of TLS: in front of one that speaks plain text, or one that answers requests itself."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Front:
    """A port of TLS, and how many connections it had."""

    port: int
    connections: int = 0


@contextlib.contextmanager
def in_front_of(port: int, context: ssl.SSLContext) -> Iterator[Front]:
    """Serve TLS on another port, and pass the plain text on to this one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        front = Front(listening.getsockname()[1])
        known = (listening, port, context, front)
        threading.Thread(target=_accept, args=known, daemon=True).start()
        yield front
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, port: int, context: ssl.SSLContext, front: Front) -> None:
    with contextlib.suppress(OSError):
        while True:
            plain, _ = listening.accept()
            front.connections += 1
            threading.Thread(target=_serve, args=(plain, port, context), daemon=True).start()


def _serve(plain: socket.socket, port: int, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        client = context.wrap_socket(plain, server_side=True)
        server = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=_copy, args=(client, server), daemon=True).start()
        _copy(server, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Keystone, Glance, Swift and S3, as far as one object needs them."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def log_message(self, *_args: Any) -> None:
        """Be quiet."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def _name(self) -> str:
        return self.path.partition("?")[0]

    def do_GET(self) -> None:
        address = f"https://127.0.0.1:{self.server.server_port}"
        if self._name.startswith("/auth/v1.0"):
            self._answer(200, X_Auth_Token="t", X_Storage_Url=f"{address}/v1/a")
        elif self._name == "/":
            links = [{"rel": "self", "href": f"{address}/v2/"}]
            self._json({"versions": [{"id": "v2.9", "status": "CURRENT", "links": links}]})
        elif self._name.rstrip("/") == "/v3":
            links = [{"rel": "self", "href": f"{address}/v3/"}]
            version = {"id": "v3.14", "status": "stable", "links": links}
            self._json({"version": version})
        elif self._name.startswith("/v2/images/"):
            self._json({"id": self._name.rsplit("/", 1)[-1], "status": "active"})
        elif self._name in self.objects:
            self._answer(200, self.objects[self._name], ETag='"e"')
        elif self._name.count("/") == 1:
            self._answer(200, b"<ListBucketResult/>", Content_Type="application/xml")
        else:
            self._answer(404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        user = {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}}
        ends = "2099-01-01T00:00:00.000000Z"
        token = {"user": user, "methods": ["password"], "expires_at": ends, "catalog": []}
        project = {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}}
        token |= {"issued_at": "2026-01-01T00:00:00.000000Z", "project": project}
        address = f"https://127.0.0.1:{self.server.server_port}"
        endpoint = {"interface": "public", "url": address, "region": "r", "region_id": "r"}
        image = {"type": "image", "name": "glance", "id": "i"}
        token |= {"catalog": [{**image, "endpoints": [{**endpoint, "id": "e"}]}]}
        self._answer(201, json.dumps({"token": token}).encode(), X_Subject_Token="t")

    def do_PUT(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = _unchunked(self.rfile)
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unchunked(io.BytesIO(body))
        self.objects[self._name] = body
        self._answer(201, ETag='"e"')

    def do_DELETE(self) -> None:
        self.objects.pop(self._name, None)
        self._answer(204)

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), Content_Type="application/json")


def _unchunked(body: Any) -> bytes:
    """Read chunks, each with its length in hexadecimal digits, up to an empty one."""
    parts = []
    while length := int(body.readline().partition(b";")[0] or b"0", 16):
        parts.append(body.read(length))
        body.readline()
    return b"".join(parts)


@contextlib.contextmanager
def cloud(context: ssl.SSLContext) -> Iterator[str]:
    """Serve Keystone, Glance, Swift and S3 over TLS; give the address."""
    handler = type("Handler", (_Handler,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.handle_error = lambda *_args: None  # type: ignore[method-assign]  # refused handshakes
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
