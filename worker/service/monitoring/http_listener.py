# SPDX-License-Identifier: Apache-2.0
"""The HTTP listener of a service, on threads of its own: cheroot serves, and pages answer.

It runs in the process that systemd starts, and answers for all processes of the service. It
reads their snapshots, so no request waits for an operation, and no operation for a request.
Pages for people come from a process of their own.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import select
import threading
import time
from pathlib import Path
from typing import Any

from cheroot.server import Gateway, HTTPServer
from cheroot.ssl.builtin import BuiltinSSLAdapter
from oslo_config import cfg
from oslo_utils import units

from worker.listen_address import Address, address_of
from worker.service.monitoring.pages import TEXT, Answer, Pages
from worker.service.monitoring.people import visitors
from worker.service.monitoring.people.page_process import PageProcess
from worker.service.monitoring.people.visitors import Visitors
from worker.service.monitoring.shared_snapshot import SharedSnapshot

LOG = logging.getLogger(__name__)

RETRY = 10.0
"""Seconds between two attempts to listen, as on a port that another program still has."""

THREADS = 2
"""Requests of monitors that are answered at once; a client that sends nothing blocks one for a
second. The first request of a person adds threads for such ones."""

SOCKET_MODE = 0o660
"""The service's group may ask."""

_HEADERS_MAX = 16 * units.Ki
_BODY_MAX = 1024
_BACKLOG = 16
_ROUND = 0.5
"""Seconds after which a stream looks whether the server stops."""

_TIMEOUT = 1
"""Seconds for which a connection may be silent, idle ones of monitors as well."""


class MonitorListener:
    """Listens until the process ends.

    :param certificate: its file and that of its key; None without TLS.
    :param visitors: answer requests of people; None without pages for them.
    """

    def __init__(
        self,
        address: Address,
        pages: Pages,
        certificate: tuple[str, str] | None = None,
        visitors: Visitors | None = None,
    ) -> None:
        self._address = address
        self._pages = pages
        self._visitors = visitors
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
        gateway = _gateway(self._pages, self._visitors)
        server = _Server(self._address.bind, gateway, THREADS, THREADS + visitors.THREADS)
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
            LOG.error("monitors are not answered at %s: %s; tried again", self._address, reason)
        self._refused = reason

    def _close_in_child(self) -> None:
        """Close the socket in a child process, which would keep it beyond the parent's end."""
        if self._server is not None and self._server.socket is not None:
            with contextlib.suppress(OSError):
                self._server.socket.close()


class _Server(HTTPServer):
    """cheroot's server, which logs as the service does."""

    expiration_interval = 2.0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stopping = threading.Event()
        self._growing = threading.Lock()
        self._has_grown = False

    def make_room(self) -> None:
        """Add the threads for requests of people, once."""
        with self._growing:
            if not self._has_grown:
                self.requests.grow(visitors.THREADS)
            self._has_grown = True

    def stop(self) -> None:
        """End the streams, and stop."""
        self.stopping.set()
        super().stop()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log a line of the library; a client's fault is no error of ours."""
        LOG.log(level if traceback else logging.DEBUG, "listener: %s", msg, exc_info=traceback)


def _gateway(pages: Pages, people: Visitors | None) -> type[Gateway]:
    class Asked(Gateway):
        def respond(self) -> None:
            request = self.req
            path = request.path.decode("latin-1")
            if request.method not in (b"GET", b"HEAD"):
                _send(request, _NOT_ALLOWED)
            elif people is None or pages.has(path):
                headers = (_header(request, name) for name in (b"Authorization", b"Accept"))
                _send(request, pages.answer(path, *headers))
            else:
                _receive(people, request, path)

    return Asked


def _receive(people: Visitors, request: Any, path: str) -> None:
    """Answer a person."""
    query = (request.qs or b"").decode("latin-1")
    names = (b"Authorization", b"Host")
    if (refusal := people.refused(*(_header(request, name) for name in names))) is not None:
        _send(request, refusal)
        return
    request.server.make_room()
    if path != visitors.EVENTS:
        _send(request, people.view(path, query))
        return
    request.status = b"200 OK"
    request.outheaders += [(b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store")]
    request.ensure_headers_sent()
    if request.method != b"HEAD":
        wait = functools.partial(_wait, request)
        with contextlib.closing(people.events(query, wait)) as events:
            for event in events:
                request.write(event)


def _wait(request: Any, seconds: float) -> bool:
    """Wait; return whether the client has gone, or the server stops, before that."""
    closed, until = select.poll(), time.monotonic() + seconds
    # A client has nothing to say: if there is something to read, then the end of the connection.
    closed.register(request.conn.socket, select.POLLIN)
    while not request.server.stopping.is_set():
        left = until - time.monotonic()
        if left <= 0 or closed.poll(1000 * min(left, _ROUND)):
            return left > 0
    return True


def _header(request: Any, name: bytes) -> str:
    return str(request.inheaders.get(name, b"").decode("latin-1"))


def _send(request: Any, answer: Answer) -> None:
    request.status = answer.status.encode()
    request.outheaders += [
        (b"Content-Type", answer.kind.encode()),
        (b"Content-Length", str(len(answer.content)).encode()),
        *((name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers),
    ]
    if not any(name == "Cache-Control" for name, _value in answer.headers):
        request.outheaders.append((b"Cache-Control", b"no-store"))
    request.ensure_headers_sent()
    if request.method != b"HEAD":
        request.write(answer.content)


_NOT_ALLOWED = Answer(
    "405 Method Not Allowed", b"GET and HEAD only\n", TEXT, (("Allow", "GET, HEAD"),)
)


def start(conf: cfg.ConfigOpts, name: str, address: str, processes: list[SharedSnapshot]) -> None:
    """Start the listener of a service.

    :param name: of the service, for its address and its pages.
    """
    options = conf.monitoring
    token = Path(options.token_file).read_text().strip() if options.token_file else ""
    certificate = (options.tls_cert_file, options.tls_key_file) if options.tls_cert_file else None
    place, pages = address_of(address, name), Pages(name, processes, token)
    people = None
    if options.page:
        people = Visitors(pages, PageProcess(conf), is_tcp=not isinstance(place.bind, str))
    MonitorListener(place, pages, certificate, people).start()
