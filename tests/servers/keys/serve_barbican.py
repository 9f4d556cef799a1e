# SPDX-License-Identifier: Apache-2.0
"""Serve Barbican behind a stand-in for Keystone; runs in Barbican's own Python environment.

Usage: ``serve_barbican.py PORT PASTE_FILE``. A token is ``user:project:role,role``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Tokens:
    """Check tokens as keystonemiddleware does, without a Keystone."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        parts = environ.get("HTTP_X_AUTH_TOKEN", "").split(":")
        if len(parts) != 3 or not all(parts):
            start_response("401 Unauthorized", [("Content-Type", "application/json")])
            return [b'{"title": "Unauthorized", "description": "no such token"}']
        user, project, roles = parts
        environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed"
        environ["HTTP_X_USER_ID"] = user
        environ["HTTP_X_PROJECT_ID"] = project
        environ["HTTP_X_ROLES"] = roles
        return self._app(environ, start_response)


def tokens(_global: Any, **_local: Any) -> Callable[[Application], Tokens]:
    """Return the filter, as PasteDeploy asks for it."""
    return Tokens


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def main(port: int, paste_file: str) -> None:
    """Serve until a signal."""
    deploy = importlib.import_module("paste.deploy")
    app = deploy.loadapp(f"config:{paste_file}", name="main")
    make_server("127.0.0.1", port, app, _Server, _Quiet).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
