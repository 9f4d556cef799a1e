# SPDX-License-Identifier: Apache-2.0
"""Log one line when the bus becomes unreachable and one when it is back.

oslo.messaging logs every try of every connection, several a second while a broker
is down. Those lines are taken for signs and dropped. A connection says only in its
debug log that it works again; ours notes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from worker.compat import oslo_messaging as compat
from worker.outage_log import OutageLog

LOG = logging.getLogger(__name__)


class Presence(logging.Filter):
    """The state of the bus, shared by all connections of this process."""

    def __init__(self) -> None:
        super().__init__()
        self._absence = OutageLog("the message bus", LOG)
        self._lock = threading.Lock()
        # Since when each thread tries to connect; a sender may give up without a word.
        self._trying: dict[int, float] = {}
        self._listeners: set[int] = set()
        self._thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a line for a sign; say whether it is to be logged as well."""
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
        return self._absence.since is None or not _any_in(compat.CONSEQUENCES, text)

    def divert(self, lost: Callable[[str], None]) -> None:
        """Take this thread's lines for signs of another bus.

        :param lost: called with the reason when that bus does not answer.
        """
        self._thread.other = lost

    def listening(self) -> None:
        """Take note that this thread waits for messages and so sees a loss at once."""
        if not getattr(self._thread, "listens", False):
            self._thread.listens = True
            with self._lock:
                self._listeners.add(threading.get_ident())

    def found(self) -> None:
        """Take note that this thread's connection works."""
        if self._forget() and self._absence.since is not None:
            self._absence.end()

    def _lost(self, reason: str) -> None:
        me = threading.get_ident()
        with self._lock:
            again = me in self._trying
            since = self._trying.setdefault(me, time.monotonic())
        # A sender may meet a loss of long ago: its second try shows whether the bus is reachable.
        if again or getattr(self._thread, "listens", False):
            self._absence.begin(reason, since)

    def _forget(self) -> bool:
        """Take this thread from those that try; say whether no listener is left among them."""
        with self._lock:
            self._trying.pop(threading.get_ident(), None)
            if self._trying:
                alive = {thread.ident for thread in threading.enumerate()}
                self._trying = {who: at for who, at in self._trying.items() if who in alive}
            return not self._listeners & self._trying.keys()


PRESENCE = Presence()


def watch(transport: Any) -> None:
    """Have the connections of a transport report whether the bus is reachable."""
    compat.observe_connections(transport, PRESENCE.listening, PRESENCE.found)
    for name in compat.LOGGERS:
        logging.getLogger(name).addFilter(PRESENCE)  # a second time has no effect


def divert(lost: Callable[[str], None]) -> None:
    """Take this thread's lines for signs of another bus; see :meth:`Presence.divert`."""
    PRESENCE.divert(lost)


def divert_connections(transport: Any, lost: Callable[[str], None]) -> None:
    """Have the connections of a transport to another bus report its outages.

    Threads that send call :func:`divert` themselves.
    """
    compat.mark_heartbeats(transport, lambda: PRESENCE.divert(lost))
    for name in compat.LOGGERS:
        logging.getLogger(name).addFilter(PRESENCE)


def _any_in(signs: tuple[str, ...], text: str) -> bool:
    return any(sign in text for sign in signs)


def _reason(record: logging.LogRecord) -> str:
    """Return the connection's error and address."""
    said: Any = record.args
    if isinstance(said, dict):
        return f"{said.get('hostname')}:{said.get('port')}: {said.get('err_str')}"
    return str(said[0]) if said else record.getMessage()
