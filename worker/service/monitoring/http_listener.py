# SPDX-License-Identifier: Apache-2.0
"""The HTTP listener of a service, on threads of its own: cheroot serves, and pages answer.

It runs in the process that systemd starts, and answers for all processes of the service. It
reads their snapshots, so no request waits for an operation, and no operation for a request.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from cheroot.server import Gateway, HTTPServer
from cheroot.ssl.builtin import BuiltinSSLAdapter
from oslo_config import cfg

from worker.listen_address import Address, address_of
from worker.service.monitoring.pages import Answer, Pages
from worker.service.monitoring.shared_snapshot import SharedSnapshot

LOG = logging.getLogger(__name__)

RETRY = 10.0
"""Seconds between two attempts to listen, as on a port that another program still has."""

THREADS = 2
"""Requests that are answered at once; a client that sends nothing blocks one for a second."""

SOCKET_MODE = 0o660
"""The service's group may ask."""

_HEADERS_MAX = 16 * 1024
_BODY_MAX = 1024
_BACKLOG = 16
_TIMEOUT = 1
"""Seconds for which a connection may be silent, idle ones of monitors as well."""


class MonitorListener:
    """Listens until the process ends.

    :param certificate: its file and that of its key; None without TLS.
    """

    def __init__(
        self, address: Address, pages: Pages, certificate: tuple[str, str] | None = None
    ) -> None:
        self._address = address
        self._pages = pages
        self._certificate = certificate
        self._server: HTTPServer | None = None
        self._refused: str | None = None

    def start(self) -> None:
        """Start to listen, on threads of its own; one that the system refuses is tried again."""
        os.register_at_fork(after_in_child=self._close_in_child)
        # Threads that this one starts are daemons as well: they must not keep the process.
        threading.Thread(target=self._serve, name="listener", daemon=True).start()

    def prepare(self) -> HTTPServer:
        """Bind the socket, and return the server. :raises OSError: the system refuses."""
        server = _Server(self._address.bind, _gateway(self._pages), THREADS, THREADS)
        server.timeout = _TIMEOUT
        server.request_queue_size = _BACKLOG
        server.max_request_header_size = _HEADERS_MAX
        server.max_request_body_size = _BODY_MAX
        if self._certificate is not None:
            server.ssl_adapter = BuiltinSSLAdapter(*self._certificate)
        server.prepare()
        if isinstance(self._address.bind, str):
            Path(self._address.bind).chmod(SOCKET_MODE)
        self._server = server
        return server

    def _serve(self) -> None:
        while True:
            try:
                server = self.prepare()
            except OSError as error:
                self._log_refusal(str(error))
                time.sleep(RETRY)
                continue
            LOG.info("monitors are answered at %s", self._address)
            server.serve()
            return

    def _log_refusal(self, reason: str) -> None:
        if reason != self._refused:
            LOG.error("no monitor is answered at %s: %s; tried again", self._address, reason)
        self._refused = reason

    def _close_in_child(self) -> None:
        """Close the socket in a child process, which would keep it beyond the parent's end."""
        if self._server is not None and self._server.socket is not None:
            with contextlib.suppress(OSError):
                self._server.socket.close()


class _Server(HTTPServer):
    """cheroot's server, which logs as the service does."""

    expiration_interval = 2.0

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log a line of the library; a client's fault is no error of ours."""
        LOG.log(level if traceback else logging.DEBUG, "listener: %s", msg, exc_info=traceback)


def _gateway(pages: Pages) -> type[Gateway]:
    class Asked(Gateway):
        def respond(self) -> None:
            request = self.req
            if request.method not in (b"GET", b"HEAD"):
                answer = Answer("405 Method Not Allowed", b"GET only\n", "text/plain")
            else:
                names = (b"Authorization", b"Accept")
                headers = (request.inheaders.get(name, b"").decode("latin-1") for name in names)
                answer = pages.answer(request.path.decode("latin-1"), *headers)
            _send(request, answer)

    return Asked


def _send(request: Any, answer: Answer) -> None:
    request.status = answer.status.encode()
    request.outheaders += [
        (b"Content-Type", answer.kind.encode()),
        (b"Content-Length", str(len(answer.content)).encode()),
        (b"Cache-Control", b"no-store"),
    ]
    request.ensure_headers_sent()
    if request.method != b"HEAD":
        request.write(answer.content)


def start(conf: cfg.ConfigOpts, name: str, address: str, processes: list[SharedSnapshot]) -> None:
    """Start the listener of a service.

    :param name: of the service, for its address and its pages.
    """
    options = conf.monitoring
    token = Path(options.token_file).read_text().strip() if options.token_file else ""
    certificate = (options.tls_cert_file, options.tls_key_file) if options.tls_cert_file else None
    MonitorListener(address_of(address, name), Pages(name, processes, token), certificate).start()
