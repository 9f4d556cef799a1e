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

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


def limit(session: Any) -> None:
    """Limit the heads of a session's answers to the time of one read, the session's timeout.

    :param session: of requests, before its first request.
    """
    for adapter in session.adapters.values():
        adapter.poolmanager.pool_classes_by_scheme = _POOLS


class _LimitedHead:
    """Mixed into a connection: it is cut off where the head of an answer takes too long."""

    sock: Any
    timeout: Any

    def getresponse(self) -> Any:
        """Return the answer, its body unread. :raises TimeoutError: the head had no end."""
        seconds, is_over, read = self.timeout, threading.Event(), super().getresponse  # type: ignore[misc]
        if not isinstance(seconds, int | float):
            return read()
        timer = threading.Timer(seconds, _cut_off, [self.sock, is_over])
        timer.daemon = True
        timer.start()
        late = TimeoutError(f"the head of the answer did not end in {seconds:.0f} s")
        try:
            answer = read()
        except Exception as error:
            if is_over.is_set():
                raise late from error
            raise
        finally:
            timer.cancel()
        if is_over.is_set():  # what came of the head may look like a whole one
            raise late
        return answer


def limited(pool: Any) -> Any:
    """Return a class of pools of connections whose heads are limited.

    :param pool: a class of urllib3, or one that a library has derived of it.
    """
    connection = type("LimitedHead", (_LimitedHead, pool.ConnectionCls), {})
    return type("LimitedPool", (pool,), {"ConnectionCls": connection})


_POOLS = {"http": limited(HTTPConnectionPool), "https": limited(HTTPSConnectionPool)}


def _cut_off(connected: Any, is_over: threading.Event) -> None:
    is_over.set()
    with contextlib.suppress(OSError):
        # Not the method of a TLS socket: it takes away the state that the reader uses.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
