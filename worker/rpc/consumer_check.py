# SPDX-License-Identifier: Apache-2.0
"""Check at the broker that each server still has its consumers.

A consumer may disappear without an error on its connection: an operator deletes the queue, the
broker closes the channel, or a library loses the consumer in a reconnection. An exchange may be
deleted, with all its bindings, while the queues and their consumers stay. No message arrives
then, and no line is logged. So a thread compares each server with the broker, and binds its queues
again. A server whose consumers or exchanges are missing connects anew. While they stay missing,
the process does not notify the watchdog.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from worker.compat import oslo_messaging as compat
from worker.metrics.beats import BEATS

LOG = logging.getLogger(__name__)

CHECK_PAUSE = 10.0
"""Seconds between two checks."""

REDECLARED = 5.0
"""Seconds after an outage of the broker in which listeners declare their queues again."""

MISSING_LIMIT = 60.0
"""Seconds without consumers after which the watchdog is not notified any more."""

STALLED = 60.0
"""Seconds without a pass through its loop after which a listener counts as hung."""


class ConsumingServer(Protocol):
    """A server with its consumers."""

    @property
    def passed(self) -> float:
        """When the thread of the consumers last passed through its loop, by the monotonic clock."""

    @property
    def is_paused(self) -> bool:
        """Whether it consumes nothing for the time being."""

    def bindings(self) -> list[compat.Binding]:
        """Return the consumed queues."""

    def reconnect(self, reason: str) -> None:
        """Connect anew soon."""


class ConsumerCheck:
    """Checks the consumers of all servers of a process.

    :param counts: binds queues again and returns the broker's number of consumers of each, 0
        without an exchange; raises when the broker does not answer.
    """

    def __init__(
        self,
        counts: Callable[[Collection[compat.Binding]], Mapping[str, int]],
        stopping: threading.Event,
    ) -> None:
        self._counts = counts
        self._stopping = stopping
        self._servers: list[ConsumingServer] = []
        self._missing_since: dict[ConsumingServer, float] = {}
        self._answers_since: float | None = None
        self._outage = False
        self._missing: Collection[str] = ()
        self._reported = False

    @property
    def lacks_consumers(self) -> bool:
        """Whether a server has been without consumers for too long, with the broker up."""
        now = time.monotonic()
        return any(now - since > MISSING_LIMIT for since in list(self._missing_since.values()))

    @property
    def missing(self) -> Collection[str]:
        """The queues that had no consumers of ours at the last check; asks nothing."""
        return self._missing

    def start(self, servers: Collection[ConsumingServer]) -> None:
        """Begin to check, on a thread of its own."""
        self._servers = list(servers)
        threading.Thread(target=self._loop, name="consumer-check", daemon=True).start()

    def add(self, server: ConsumingServer) -> None:
        """Check one more server from now on."""
        self._servers.append(server)

    def check(self) -> None:
        """Check each server once."""
        self._missing = [queue for server in [*self._servers] for queue in self._check(server)]
        if self.lacks_consumers and not self._reported:
            LOG.error(
                "no messages have been received for %.0f s although the message bus is up;"
                " the watchdog is not notified any more",
                MISSING_LIMIT,
            )
        self._reported = self.lacks_consumers

    def _loop(self) -> None:
        while not self._stopping.wait(CHECK_PAUSE):
            BEATS.beat("consumer-check")
            try:
                self.check()
            except Exception:
                LOG.exception("the consumers could not be checked")

    def _check(self, server: ConsumingServer) -> Collection[str]:
        """Check a server; return the queues without consumers."""
        if server.is_paused:
            self._missing_since.pop(server, None)
            return ()
        try:
            counts = self._counts(server.bindings())
        except Exception as error:  # noqa: BLE001 - the broker is away: reported elsewhere
            LOG.debug("the broker's consumers are unknown: %s", error)
            self._missing_since.pop(server, None)
            self._answers_since, self._outage = None, True
            return ()
        now = time.monotonic()
        if self._answers_since is None:
            self._answers_since = now
        if self._outage and now - self._answers_since < REDECLARED:
            return ()
        missing = sorted(queue for queue, count in counts.items() if not count)
        # While the broker is away, a listener waits for it inside its loop.
        stalled = now - max(server.passed, self._answers_since) > STALLED
        if not missing and not stalled:
            self._missing_since.pop(server, None)
            return ()
        self._missing_since.setdefault(server, now)
        gone = f"the broker has no consumer of, or no exchange for, {', '.join(missing)}"
        server.reconnect(gone if missing else "it hangs")
        return missing or [queue for queue, _count in counts.items()]


def counts_of(transport: Any) -> Callable[[Collection[compat.Binding]], Mapping[str, int]]:
    """Return the function that asks the broker of a transport for its consumers."""
    return lambda bindings: compat.consumer_counts(transport, bindings)
