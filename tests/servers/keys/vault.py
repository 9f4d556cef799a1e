# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Vault: version 2 of its store of keys and values, and a login by approle."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROLE, SECRET_ID, TOKEN = "a-role", "a-secret-of-the-role", "a-token-of-vault"
MOUNT = "secret"

_POLL = 0.02  # seconds after which a stop is noticed


class Vault(ThreadingHTTPServer):
    """Holds secrets in memory; each answer can be replaced by a status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secrets: dict[str, dict[str, Any]] = {}
        self.logins = 0
        self.answers: list[int] = []
        """Statuses of the next answers, 0 for the usual one."""
        threading.Thread(
            target=self.serve_forever, args=(_POLL,), name="vault", daemon=True
        ).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def options(self) -> dict[str, dict[str, str]]:
        """The options of a service that has its keys here."""
        login = {"approle_role_id": ROLE, "approle_secret_id": SECRET_ID, "vault_url": self.url}
        return {"key_manager": {"backend": "vault"}, "vault": login}

    def close(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Vault

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/auth/approle/login":
            fits = (body.get("role_id"), body.get("secret_id")) == (ROLE, SECRET_ID)
            self.server.logins += fits
            auth = {"client_token": TOKEN, "lease_duration": 3600}
            self._answer(*((200, {"auth": auth}) if fits else (400, {"errors": ["wrong"]})))
        elif (key_id := self._key_id()) is not None:
            self.server.secrets[key_id] = body["data"]
            self._answer(200, {"data": {"version": 1}})

    def do_GET(self) -> None:
        if (key_id := self._key_id()) is None:
            return
        found = self.server.secrets.get(key_id)
        if found is None:
            self._answer(404, {"errors": []})
        else:
            self._answer(200, {"data": {"data": found}})

    def do_DELETE(self) -> None:
        if (key_id := self._key_id()) is None:
            return
        found = self.server.secrets.pop(key_id, None)
        self._answer(404 if found is None else 204, None)

    def _key_id(self) -> str | None:
        """Return the id of a key that may be asked for; else the answer is given."""
        if self.server.answers and (planned := self.server.answers.pop(0)):
            self._answer(planned, {"errors": ["as planned"]})
        elif self.headers.get("X-Vault-Token") != TOKEN:
            self._answer(403, {"errors": ["permission denied"]})
        elif not self.path.startswith(f"/v1/{MOUNT}/"):
            self._answer(404, {"errors": []})
        else:
            return self.path.rpartition("/")[2]
        return None

    def _answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
