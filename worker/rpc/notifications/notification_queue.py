# SPDX-License-Identifier: Apache-2.0
"""Bounded queue of notifications, sent by a thread of its own.

A publisher hangs inside the AMQP library while its broker has a resource alarm, and while its
packets are lost. Only the thread of this queue hangs then: operations append their notifications
and continue. A full queue drops and counts further notifications.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from oslo_utils import units

from worker.call_log import MESSAGES

LOG = logging.getLogger(__name__)

MAX_MESSAGES = 10_000
MAX_BYTES = 32 * units.Mi
"""Most notifications that wait, and their bytes."""

MAX_SIZE = units.Mi
"""Bytes of one notification; a broker may refuse a larger one for ever."""

SLOW = 5.0
"""Seconds after which a notification that is neither sent nor refused counts as an outage."""

PAUSE = 1.0
"""Seconds between two attempts to send the same notification."""

FLUSH = 3.0
"""Seconds that a stop waits for notifications to be sent."""


_END = 1.0
"""Seconds that a stop waits for the connections to be closed."""


class TryAgain(Exception):
    """The bus did not take the notification, and may take it later."""


class GivenUp(Exception):
    """The bus did not take the notification, which is dropped."""


@dataclass(frozen=True)
class Notification:
    """One notification, as it was when its event happened.

    :param context: the request context, without secrets.
    :param body: the message as JSON text.
    :param name: event and resource, for the log.
    :param taken: the receivers that have it; a second attempt leaves them out.
    """

    context: dict[str, Any]
    body: str
    name: str
    taken: set[str] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Characters of the message, which is ASCII text."""
        return len(self.body)


class NotificationQueue:
    """Sends notifications in the order in which they were put.

    :param send: sends one of them; it may block for ever. After TryAgain the notification stays
        the next one; after any other exception it is dropped.
    :param release: closes the connections, in the thread that sends.
    """

    def __init__(
        self, send: Callable[[Notification], None], release: Callable[[], None] = lambda: None
    ) -> None:
        self.dropped = 0
        """Notifications that were not sent, since the start."""
        self._send = send
        self._release = release
        self._waiting: deque[Notification] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._outage: float | None = None
        self._dropped_before = 0
        self._deadline: float | None = None

    @property
    def pending(self) -> int:
        """Notifications that wait, with the one that is being sent."""
        with self._changed:
            return len(self._waiting)

    def put(self, notification: Notification) -> None:
        """Take a notification, or drop it; never block."""
        if notification.size > MAX_SIZE:
            self._drop()
            LOG.warning("notification %s was not sent: it is too large", notification.name)
            return
        with self._changed:
            busy = self._busy_since
            if busy is not None and time.monotonic() - busy > SLOW:
                self._begin(f"the bus has not taken one for {SLOW:.0f} s")
            if self._is_full(notification.size):
                self._begin("too many of them wait")
                self.dropped += 1
                return
            if self._deadline is not None:
                self.dropped += 1
                return
            self._waiting.append(notification)
            self._bytes += notification.size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until all notifications are sent or dropped; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    def close(self, timeout: float = FLUSH) -> None:
        """Send the waiting notifications within a time, drop the others, end the thread."""
        with self._changed:
            self._deadline = time.monotonic() + timeout
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            self._release()
            return
        self.flush(timeout)
        with self._changed:
            if left := len(self._waiting):
                self.dropped += left
                self._waiting.clear()
                LOG.warning("%d notifications were not sent before the stop", left)
            self._changed.notify_all()
        thread.join(_END)  # a thread that hangs in the library ends with the process

    def note_outage(self, reason: object) -> None:
        """Log the begin of an outage of the bus, once until it ends."""
        with self._changed:
            self._begin(reason)

    def _is_full(self, size: int) -> bool:
        return len(self._waiting) >= MAX_MESSAGES or self._bytes + size > MAX_BYTES

    def _run(self) -> None:
        while (notification := self._next()) is not None:
            try:
                self._send(notification)
            except TryAgain as error:
                self.note_outage(error)
                self._pause()
            except GivenUp as error:
                self.note_outage(error)
                self._drop()
                self._remove(notification)
            except Exception as error:  # noqa: BLE001 - a driver of other people's
                LOG.warning("notification %s was not sent: %s", notification.name, error)
                self._drop()
                self._remove(notification)
            else:
                MESSAGES.debug("sent the notification %s", notification.name)
                self._remove(notification)
                self._end()
        self._release()

    def _pause(self) -> None:
        with self._changed:
            self._busy_since = None
            stopping = self._deadline is not None
            pause = PAUSE / 10 if stopping else PAUSE
            self._changed.wait_for(lambda: not stopping and self._deadline is not None, pause)

    def _next(self) -> Notification | None:
        """Return the oldest notification, which stays in the queue; None at the stop."""
        with self._changed:
            self._busy_since = None
            self._changed.wait_for(lambda: self._waiting or self._deadline is not None)
            if not self._waiting:
                return None
            self._busy_since = time.monotonic()
            return self._waiting[0]

    def _remove(self, notification: Notification) -> None:
        with self._changed:
            if self._waiting:  # else the stop has dropped it
                self._waiting.popleft()
                self._bytes -= notification.size
            self._changed.notify_all()

    def _drop(self) -> None:
        with self._changed:
            self.dropped += 1

    def _begin(self, reason: object) -> None:
        if self._outage is None:
            self._outage = time.monotonic()
            self._dropped_before = self.dropped
            text = "notifications are not sent, operations continue without them: %s"
            LOG.warning(text, reason)

    def _end(self) -> None:
        with self._changed:
            # A bus that is merely slow would begin and end an outage with each notification.
            if self._outage is None or len(self._waiting) > MAX_MESSAGES // 2:
                return
            away, self._outage = time.monotonic() - self._outage, None
            lost = self.dropped - self._dropped_before
            LOG.info("notifications are sent again after %.1f s, %d were dropped", away, lost)
