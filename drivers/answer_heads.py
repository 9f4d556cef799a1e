# SPDX-License-Identifier: Apache-2.0
"""Limit the time in which a server sends the head of an answer.

The limit of a connection holds for each read of its socket, so a head that comes one byte at a time
never meets it. Imported only where a session is made: the libraries take memory.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


def limit(session: Any) -> None:
    """Limit the heads of a session's answers to the time of one read, the session's timeout.

    :param session: of requests, before its first request.
    """
    for adapter in session.adapters.values():
        adapter.poolmanager.pool_classes_by_scheme = _POOLS


class _LimitedHead(HTTPConnection):
    """A connection that is cut off where the head of an answer takes too long."""

    def getresponse(self) -> Any:
        """Return the answer, its body unread. :raises TimeoutError: the head had no end."""
        seconds, is_over = self.timeout, threading.Event()
        if not isinstance(seconds, int | float):
            return super().getresponse()
        timer = threading.Timer(seconds, _cut_off, [self.sock, is_over])
        timer.daemon = True
        timer.start()
        late = TimeoutError(f"the head of the answer did not end in {seconds:.0f} s")
        try:
            answer = super().getresponse()
        except Exception as error:
            if is_over.is_set():
                raise late from error
            raise
        finally:
            timer.cancel()
        if is_over.is_set():  # what came of the head may look like a whole one
            raise late
        return answer


class _LimitedHeadTls(_LimitedHead, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _LimitedHead


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _LimitedHeadTls


_POOLS = {"http": _Pool, "https": _TlsPool}


def _cut_off(connected: Any, is_over: threading.Event) -> None:
    is_over.set()
    with contextlib.suppress(OSError):
        # Not the method of a TLS socket: it takes away the state that the reader uses.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
