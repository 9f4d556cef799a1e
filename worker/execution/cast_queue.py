# SPDX-License-Identifier: Apache-2.0
"""Accept casts on a thread of its own: projects in turns, each in the order of arrival.

The listeners' threads must not wait: while the journal is away, or a disk is slow, they read
messages and send heartbeats. So they append casts to a backlog in memory, and one thread decodes
and journals them. The broker delivers no more unacknowledged messages than the prefetch limit.
Casts that have arrived together are journalled together, as one wait for the disk takes longer
than all the rest. A cast waits while an earlier one of another project may name the same resource.

A cast that exceeds a limit of waiting operations stays in the queue, unacknowledged; of a
cluster's queue, one that cannot begin soon, which another host may be able to. Later
casts pass it, except those on the same resources. While many wait so, no further ones of the same
projects are decoded. When the process ends, it goes back to the
broker; a quorum queue drops a message that has come back too often, so it is accepted before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flows.errors import ProcessStopping
from worker.execution.fairness.backlog import Backlog, WaitingCast
from worker.metrics.beats import BEATS
from worker.rpc.operation import Operation
from worker.rpc.server import Cast

LOG = logging.getLogger(__name__)

DEFERRED_MAX = 300.0
"""Seconds after which a cast is accepted in spite of the limits. RabbitMQ closes a channel on
which a message waits for its acknowledgement for half an hour."""

RETURNS_MAX = 2
"""Returns to its queue after which a cast is accepted before others, and in spite of the limits.
RabbitMQ 4 drops a message after 20, and an operator may have set less."""

IDLE = 10.0
"""Seconds between two signs of life of a queue without deferred casts."""

CHECK = 1.0
"""Seconds between two checks of the limits for deferred casts."""

TOGETHER = 64
"""Casts that are journalled in one transaction, at most."""

DEFERRED_CASTS = 256
"""Casts that may be deferred; of the projects with the most of them no further one is decoded then,
which needs memory and time."""

TAKEN = 256
"""Casts that are taken from the backlog before the deferred ones are looked at again."""


class CastQueue:
    """Casts that arrived and are not accepted yet.

    :param dispatch: decodes a cast and returns its operation; None where there is none to accept.
    :param admits: whether the limits admit one more operation: given whether other hosts could
        take it instead, and the operations that are about to be accepted before it.
    :param accept: journals operations and starts them; waits while the journal is away.
    :param wake: set when a deferred cast may be admitted now.
    """

    def __init__(
        self,
        dispatch: Callable[[Cast], Operation | None],
        admits: Callable[[Operation, bool, Sequence[Operation]], bool],
        accept: Callable[[Sequence[WaitingCast]], None],
        wake: threading.Event,
        stopping: threading.Event,
    ) -> None:
        self._dispatch = dispatch
        self._admits = admits
        self._accept = accept
        self._wake = wake
        self._stopping = stopping
        self._backlog = Backlog(RETURNS_MAX)
        self._deferred: list[WaitingCast] = []
        self._deferred_names: set[str] = set()
        """Names of the resources of deferred casts."""
        self._following: list[WaitingCast] = []
        """Casts that have to follow earlier ones of other projects, which wait in the backlog."""
        self._admitted: list[WaitingCast] = []
        """Casts that are journalled next, together."""

    @property
    def is_empty(self) -> bool:
        """Whether every cast that arrived was accepted."""
        return not self.waiting

    @property
    def waiting(self) -> int:
        """How many casts arrived and were not accepted."""
        decoded = len(self._deferred) + len(self._following) + len(self._admitted)
        return len(self._backlog) + decoded

    def has_memory(self, most: int) -> bool:
        """Return whether the casts that were not decoded need less than so many bytes."""
        if self._backlog.size > most:
            self._backlog.forget_lost()
        return self._backlog.size <= most

    @property
    def deferred(self) -> int:
        """How many casts were deferred."""
        return len(self._deferred)

    def start(self) -> None:
        """Begin to accept, on a thread of its own."""
        threading.Thread(target=self._loop, name="casts", daemon=True).start()

    def put(self, cast: Cast) -> None:
        """Append a cast; returns at once."""
        self._backlog.put(cast)
        self._wake.set()

    def process(self) -> None:
        """Accept all messages that the limits admit.

        :raises ProcessStopping: the rest stays with the broker.
        """
        deferred, self._deferred, self._deferred_names = self._deferred, [], set()
        for one in deferred:
            _guarded(self._admit_or_defer, one)
        for one in self._next():
            _guarded(self._take, one)
        following, self._following = sorted(self._following, key=lambda one: one.number), []
        for one in following:
            _guarded(self._offer, one)
        if len(self._following) < len(following):
            self._wake.set()  # further ones of their projects may be decoded now
        _guarded(self._accept_admitted)

    def _next(self) -> Iterator[WaitingCast]:
        """Take messages from the backlog; more of them follow soon."""
        for _ in range(TAKEN):
            one = None if self._stopping.is_set() else self._backlog.take(self._held_back())
            if one is None:
                self._give_back()
                return
            yield one
        self._wake.set()

    def _held_back(self) -> frozenset[str]:
        """Return the projects of which no further cast is decoded, as many are deferred.

        These are the ones that have an equal share of them, or more. Casts that came back often
        do not count: they went before others of their projects, for which they may have to wait.
        """
        if len(self._deferred) + len(self._following) < DEFERRED_CASTS or self._backlog.is_urgent:
            return frozenset()
        waiting = (*self._deferred, *self._following)
        counts = Counter(one.project for one in waiting if one.cast.returns < RETURNS_MAX)
        share = DEFERRED_CASTS // max(1, len(counts))
        return frozenset(project for project, number in counts.items() if number >= share)

    def _give_back(self) -> None:
        """Leave messages that have waited for long with the broker, which may close the channel."""
        if self._overdue() is None:
            return
        self._backlog.forget_lost()
        if (oldest := self._overdue()) is not None:
            oldest.cast.give_back()

    def _overdue(self) -> WaitingCast | None:
        """Return the oldest cast in the backlog if it has waited for too long."""
        oldest = self._backlog.oldest()
        if oldest is None or time.monotonic() - oldest.at < DEFERRED_MAX:
            return None
        return oldest

    def _loop(self) -> None:
        while not self._stopping.is_set():
            BEATS.beat("casts")
            self._wake.wait(CHECK if self._deferred or self._following else IDLE)
            self._wake.clear()
            try:
                self.process()
            except ProcessStopping as error:
                LOG.debug("casts are left with the broker: %s", error)
                return

    def _take(self, one: WaitingCast) -> None:
        if one.cast.is_lost():
            return
        operation = self._dispatch(one.cast)
        if operation is None:
            one.cast.acknowledge()
            return
        one.found(operation, DEFERRED_MAX if one.cast.returns < RETURNS_MAX else 0.0)
        self._offer(one)

    def _offer(self, one: WaitingCast) -> None:
        """Admit or defer a cast whose turn it is.

        It waits while an earlier one that may be on the same resource is not decoded.

        One on the whole backend passes those of projects with many deferred casts, as it passes
        deferred ones: it may be the failover for which they wait.
        """
        earlier = not one.of_backend and any(one.follows(other) for other in self._following)
        if earlier or self._backlog.follows(one.number, one.nodes, passes=one.of_backend):
            self._following.append(one)
        else:
            self._admit_or_defer(one)

    def _admit_or_defer(self, one: WaitingCast) -> None:
        """Accept a cast that the limits admit, or that has waited for long; otherwise defer it."""
        if one.cast.is_lost():
            return
        behind = not one.names.isdisjoint(self._deferred_names)  # of the same resource, in order
        if behind or not (self._is_admitted(one) or time.monotonic() >= one.until):
            self._deferred.append(one)
            self._deferred_names |= one.names
            return
        self._admitted.append(one)
        # Whether a host of a cluster may take the next one depends on those that it runs then.
        if one.cast.shared or len(self._admitted) >= TOGETHER:
            self._accept_admitted()

    def _is_admitted(self, one: WaitingCast) -> bool:
        ahead = [other.operation for other in self._admitted]
        return self._admits(one.operation, one.cast.shared, ahead)

    def _accept_admitted(self) -> None:
        """Journal and start the casts that were admitted.

        An error leaves a cast with the broker, and no other one: each is accepted alone then.
        """
        admitted, self._admitted = self._admitted, []
        if len(admitted) > 1:
            try:
                self._accept(admitted)
            except Exception:
                LOG.exception("%d casts are accepted one by one after an error", len(admitted))
            else:
                for one in admitted:
                    one.cast.acknowledge()
                return
        for one in admitted:
            _guarded(self._accept_alone, one)

    def _accept_alone(self, one: WaitingCast) -> None:
        self._accept([one])
        one.cast.acknowledge()


def _guarded(handle: Callable[..., None], *cast: Any) -> None:
    """Handle a cast; an error leaves it with the broker."""
    try:
        handle(*cast)
    except Exception:
        LOG.exception("a message was not taken over and stays with the broker")
