# SPDX-License-Identifier: Apache-2.0
"""Just enough of Keystone to hand out a token and a catalogue."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "a-token-of-the-service"

_POLL = 0.02  # seconds after which a stop is noticed


class Keystone(ThreadingHTTPServer):
    """Knows one account; notes who asked for a token. It answers versions 2.0 and 3.

    :param services: addresses in the catalogue, by type.
    :param password: of the account ``holdfast``.
    :param token: the token of each login.
    """

    def __init__(self, services: Mapping[str, str], password: str, token: str = TOKEN) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.services, self.password, self.token = services, password, token
        self.asked: list[str] = []
        threading.Thread(
            target=self.serve_forever, args=(_POLL,), name="keystone", daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"{self.root}/v3"

    @property
    def root(self) -> str:
        """The address of the server, without a version."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Keystone

    def do_GET(self) -> None:
        link = {"rel": "self", "href": f"{self.server.url}/"}
        version = {"id": "v3.14", "status": "stable", "links": [link]}
        self._answer(200, {"version": version})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/v2.0/"):
            self._log_in_by_version_2(body["auth"])
            return
        asked = body["auth"]["identity"]
        # A client with a token gets another one.
        user = asked["password"]["user"] if "password" in asked else {"name": "of a token"}
        self.server.asked.append(user["name"])
        if user.get("password", self.server.password) != self.server.password:
            self._refuse()
            return
        endpoint = {"interface": "public", "region": "r", "region_id": "r", "id": "e"}
        catalogue = [
            {"type": kind, "name": kind, "id": kind, "endpoints": [{**endpoint, "url": url}]}
            for kind, url in self.server.services.items()
        ]
        token = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": user["name"], "domain": {"id": "default", "name": "D"}},
            "project": {"id": "p", "name": "service", "domain": {"id": "default", "name": "D"}},
            "catalog": catalogue,
            "roles": [{"id": "a", "name": "admin"}],
        }
        self._answer(201, {"token": token}, token=self.server.token)

    def _log_in_by_version_2(self, asked: Any) -> None:
        user = asked["passwordCredentials"]
        self.server.asked.append(user["username"])
        if user["password"] != self.server.password:
            self._refuse()
            return
        tenant = {"id": "p", "name": asked["tenantName"]}
        access = {
            "token": {"id": self.server.token, "expires": "2099-01-01T00:00:00Z", "tenant": tenant},
            "user": {"id": "u", "name": user["username"], "roles": [{"name": "admin"}]},
            "serviceCatalog": [
                {"type": kind, "name": kind, "endpoints": [{"region": "r", "publicURL": url}]}
                for kind, url in self.server.services.items()
            ],
        }
        self._answer(200, {"access": access})

    def _refuse(self) -> None:
        self._answer(401, {"error": {"code": 401, "message": "wrong", "title": "no"}})

    def _answer(self, status: int, body: Any, token: str | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if token:
            self.send_header("X-Subject-Token", token)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
