# SPDX-License-Identifier: Apache-2.0
"""State of the message bus: log one line when it becomes unreachable, and one when it is back.

oslo.messaging logs each attempt of each connection, several a second while a broker is down.
A log filter reads the state of the bus from these lines and drops them. oslo.messaging logs a
connection that works again at debug level only, so the connections report that themselves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from drivers import tls_errors
from worker.compat import oslo_messaging as compat
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)

_AUTHORITY = "[oslo_messaging_rabbit] ssl_ca_file"


class BusState(logging.Filter):
    """The state of the bus, shared by all connections of this process."""

    def __init__(self) -> None:
        super().__init__()
        self._outage = OutageLog("the message bus", LOG, "bus")
        self._lock = threading.Lock()
        # Start of each thread's attempts to connect; a sender may give up without a log line.
        self._connecting: dict[int, float] = {}
        self._listeners: set[int] = set()
        self._thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Read the state of the bus from a log line; return whether to log the line as well."""
        text = str(record.msg)
        if (other := getattr(self._thread, "other", None)) is not None:
            if _any_in((*compat.LOST, *compat.GIVEN_UP, *compat.BLOCKED), text):
                other(_reason(record))
            return record.levelno < logging.INFO
        if _any_in(compat.LOST, text):
            self._lost(_reason(record))
            return False
        if _any_in(compat.GIVEN_UP, text):
            # The sender gets the error; the bus may be away all the same.
            self._forget()
            return False
        if _any_in(compat.FOUND, text):
            return False
        return self._outage.since is None or not _any_in(compat.CONSEQUENCES, text)

    @property
    def is_away(self) -> bool:
        """Whether the bus is known to be away."""
        return self._outage.since is not None

    def divert(self, lost: Callable[[str], None]) -> None:
        """Read the state of another bus from the lines of this thread.

        :param lost: called with the reason when that bus does not answer.
        """
        self._thread.other = lost

    def listening(self) -> None:
        """Note that this thread waits for messages, and so notices a lost connection at once."""
        if not getattr(self._thread, "listens", False):
            self._thread.listens = True
            with self._lock:
                self._listeners.add(threading.get_ident())

    def connected(self) -> None:
        """Note that the connection of this thread works."""
        if self._forget() and self._outage.since is not None:
            self._outage.end()

    def _lost(self, reason: str) -> None:
        thread = threading.get_ident()
        with self._lock:
            again = thread in self._connecting
            since = self._connecting.setdefault(thread, time.monotonic())
        # The connection of a sender may have broken long ago: only its second attempt shows
        # whether the bus is reachable.
        if again or getattr(self._thread, "listens", False):
            self._outage.begin(reason, since)

    def _forget(self) -> bool:
        """Forget the attempts of this thread; return whether no listener is connecting any more."""
        with self._lock:
            self._connecting.pop(threading.get_ident(), None)
            if self._connecting:
                alive = {one.ident for one in threading.enumerate()}
                self._connecting = {
                    thread: at for thread, at in self._connecting.items() if thread in alive
                }
            return not self._listeners & self._connecting.keys()


BUS_STATE = BusState()


def watch(transport: Any) -> None:
    """Have the connections of a transport report whether the bus is reachable."""
    compat.observe_connections(transport, BUS_STATE.listening, BUS_STATE.connected)
    for name in compat.LOGGERS:
        logging.getLogger(name).addFilter(BUS_STATE)  # a second time has no effect


def divert(lost: Callable[[str], None]) -> None:
    """Read the state of another bus from the lines of this thread; see :meth:`BusState.divert`."""
    BUS_STATE.divert(lost)


def silence() -> None:
    """Drop the lines of connections of this thread, which are of one attempt only."""
    divert(lambda _reason: None)
    for name in compat.LOGGERS:
        logging.getLogger(name).addFilter(BUS_STATE)


def divert_connections(transport: Any, lost: Callable[[str], None]) -> None:
    """Have the connections of a transport to another bus report its outages.

    Threads that send call :func:`divert` themselves.
    """
    compat.mark_heartbeats(transport, lambda: BUS_STATE.divert(lost))
    for name in compat.LOGGERS:
        logging.getLogger(name).addFilter(BUS_STATE)


def _any_in(parts: tuple[str, ...], text: str) -> bool:
    return any(part in text for part in parts)


def _reason(record: logging.LogRecord) -> str:
    """Return the connection's error and address."""
    args: Any = record.args
    if isinstance(args, dict):
        error = str(args.get("err_str"))
        shown = tls_errors.refusal(error, _AUTHORITY) or error
        return f"{args.get('hostname')}:{args.get('port')}: {shown}"
    text = str(args[0]) if args else record.getMessage()
    return tls_errors.refusal(text, _AUTHORITY) or text
