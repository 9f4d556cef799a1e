# SPDX-License-Identifier: Apache-2.0
"""Prove that no cast waits for this service, at the broker or in a consumer.

The broker returns the number of consumers of a queue. The journal has the consumers that the
processes of the service have registered. Where both agree, markers are sent until each consumer
has taken one: then all casts that were in the queue before are in the journal. A message that
was delivered to a consumer whose connection broke returns to the queue, perhaps after the
markers. So two proofs are needed, with the same consumers on the same channels
(:class:`Proven`). In the time between them, senders that had lost the broker send the casts that
they hold.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import oslo_messaging

from flows.errors import ProcessStopping
from worker.journal.consumers import Consumer, Consumers
from worker.journal.errors import JournalError
from worker.rpc import markers
from worker.rpc.clients.sender import BusUnavailable

LOG = logging.getLogger(__name__)

TAKEN_WITHIN = 10.0
"""Seconds in which an idle consumer takes a marker."""

LOST_AFTER = 120.0
"""Seconds after which a marker that no consumer has taken counts as lost."""

CUT_AFTER = 600.0
"""Seconds after which the broker has closed the connection of a consumer that hangs, by far: its
heartbeats are due every minute."""

MOST = 20
"""Markers of one proof for each consumer, at most; the broker hands them out in turn."""

_PAUSE = 0.1

Proven = frozenset[tuple[str, str, int | None]]
"""The queue, the name and the channel of each consumer of a proof."""

Depths = Callable[[Collection[str]], Mapping[str, tuple[int, int]]]
"""Returns of each queue how many messages are ready, and how many consumers it has."""


class Unproven(Exception):
    """Casts may wait; the text says why."""


@dataclass(frozen=True)
class _SentMarker:
    taken: int
    at: float


class QueueProof:
    """Proves that the queues of a service were empty of older casts.

    :param targets: of the service's servers.
    :param consumers: registered in the journal.
    :param send: sends a marker to a target, of a queue.
    :param depths: asks the broker.
    """

    def __init__(
        self,
        targets: Sequence[oslo_messaging.Target],
        consumers: Consumers,
        send: Callable[[oslo_messaging.Target, str, str], None],
        depths: Depths,
        stopping: threading.Event,
    ) -> None:
        self._targets = {markers.queue_of(target): target for target in targets}
        self._consumers = consumers
        self._send = send
        self._depths = depths
        self._stopping = stopping
        self._waiting: dict[str, _SentMarker] = {}
        self._counts: dict[str, tuple[int, int]] = {}  # of queues with consumers that may hang
        self._counted_at: dict[str, float] = {}

    def attempt(self) -> Proven:
        """Have each consumer of each queue take a marker.

        :raises Unproven: casts may wait.
        :raises ProcessStopping: the process stops.
        """
        try:
            found: set[tuple[str, str, int | None]] = set()
            for queue in self._targets:
                found |= self._passed(queue, uuid.uuid4().hex)
            return frozenset(found)
        except BusUnavailable as error:
            raise Unproven("the message bus does not answer") from error
        except JournalError as error:
            raise Unproven("the journal does not answer") from error

    def registered(self) -> set[str]:
        """Return the hosts whose consumers of these queues are in the journal.

        :raises Unproven: the journal does not answer.
        """
        try:
            found = [one for queue in self._targets for one in self._consumers.of(queue)]
        except JournalError as error:
            raise Unproven("the journal does not answer") from error
        return {one.slot.rpartition("/")[0] for one in found}

    def require_empty(self, queue: str, alive: int) -> None:
        """Check that no message waits in a queue of another service, or in a hung consumer.

        The broker does not list the messages that a consumer has not acknowledged. One that
        hangs may have some, which the broker delivers again when it closes the connection.

        :param alive: how many consumers show that they work, at least. Further ones that stay
            connected for long enough work as well.
        :raises Unproven: messages may wait, or the broker does not answer.
        """
        ready, count = self._ask([queue])[queue]
        if ready:
            raise Unproven(f"{ready} messages wait in queue {queue}")
        if count <= alive:
            self._counts.pop(queue, None)
            return
        now = time.monotonic()
        if self._counts.get(queue) != (count, alive):
            self._counts[queue], self._counted_at[queue] = (count, alive), now
        if now - self._counted_at[queue] < CUT_AFTER:
            raise Unproven(
                f"queue {queue} has {count} consumers, of which {alive} show that they work"
            )

    def _passed(self, queue: str, marker: str) -> Proven:
        """Send markers to a queue until each consumer has taken one."""
        known = self._known(queue)
        now, sent = known, 0
        while any(one.marker != marker for one in now):
            if sent == MOST * len(known):
                raise Unproven(f"{_late(now, marker)} take no marker from queue {queue}")
            self._send_one(queue, marker, now)
            now, sent = self._consumers.of(queue), sent + 1
        if _names(self._known(queue)) != _names(known):
            raise Unproven(f"the consumers of queue {queue} change")
        return frozenset((queue, one.name, one.channel) for one in now)

    def _known(self, queue: str) -> list[Consumer]:
        """Return the consumers of a queue, which are all registered."""
        _ready, count = self._ask([queue])[queue]
        known = self._consumers.of(queue)
        if count != len(known) or not known:
            slots = ", ".join(sorted({one.slot for one in known})) or "no process"
            raise Unproven(
                f"queue {queue} has {count} consumers, and {slots} registered {len(known)};"
                " another service may consume it, or a process is starting"
            )
        return known

    def _send_one(self, queue: str, marker: str, before: list[Consumer]) -> None:
        """Send a marker and wait until some consumer has taken it."""
        taken, now = sum(one.taken for one in before), time.monotonic()
        last = self._waiting.get(queue)
        if last is None or taken != last.taken or now - last.at > LOST_AFTER:
            self._send(self._targets[queue], queue, marker)
            self._waiting[queue] = _SentMarker(taken, now)
        deadline = now + TAKEN_WITHIN
        while sum(one.taken for one in self._consumers.of(queue)) <= taken:
            if time.monotonic() > deadline:
                busy = _late(self._consumers.of(queue), marker)
                raise Unproven(f"{busy} have taken no marker from queue {queue} yet: they are busy")
            if self._stopping.wait(_PAUSE):
                raise ProcessStopping("the service stops")

    def _ask(self, queues: Collection[str]) -> Mapping[str, tuple[int, int]]:
        try:
            return self._depths(queues)
        except Exception as error:
            raise Unproven(f"the message bus does not answer: {error}") from error


def _names(consumers: Collection[Consumer]) -> set[str]:
    return {one.name for one in consumers}


def _late(consumers: Collection[Consumer], marker: str) -> str:
    """Return the slots whose consumers have not taken a marker."""
    return ", ".join(sorted({one.slot for one in consumers if one.marker != marker}))
