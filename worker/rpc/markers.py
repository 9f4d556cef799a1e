# SPDX-License-Identifier: Apache-2.0
"""Marker messages: proof that a consumer has accepted all casts that were sent before.

A queue delivers in order. So a consumer that takes a marker has taken each older message that
was delivered to it, and the marker counts when those are in the journal. Markers are casts to
the queue of one server, which a service without the method would refuse; they are sent only
while the queue has no other consumers than those of Holdfast.
"""

from __future__ import annotations

import functools
import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import oslo_messaging

from worker.rpc.clients.sender import Sender
from worker.rpc.request_context import RequestContext
from worker.rpc.server import MARKER, Cast

LOG = logging.getLogger(__name__)

_RETRIES = 1

_PAUSE = 0.1
"""Seconds between two checks whether the connection that delivered a cast was lost."""

_MANY = 256
"""Messages that are not acknowledged, from which on those of lost connections are forgotten; and
again when they are twice as many."""

NoteMarker = Callable[[str, str, str, int], None]
"""Notes a marker: of which queue, by the consumer of which name, its id, its channel."""


class MarkedMessages:
    """The messages that one listener brought and that are not acknowledged, for its markers.

    Implements :class:`worker.rpc.server.MessageObserver`.

    :param note: notes a marker; may wait.
    """

    def __init__(self, note: NoteMarker) -> None:
        self.name = uuid.uuid4().hex
        """The name of the listener's consumers."""
        self._note = note
        self._open: set[Cast] = set()  # that are not acknowledged yet
        self._many = _MANY
        self._awaited: list[set[Cast]] = []  # by the markers behind them
        self._settled = threading.Condition()

    def take_over(self, cast: Cast, message: Mapping[str, Any]) -> bool:
        """Take over a marker; return False for any other cast."""
        if message.get("method") != MARKER:
            return False
        with self._settled:
            before = set(self._open)
            self._awaited.append(before)
        take = functools.partial(self._take, cast, message.get("args") or {}, before)
        threading.Thread(target=take, name="marker", daemon=True).start()
        return True

    def observed(self, cast: Cast) -> Cast:
        """Return a cast whose acknowledgement is noted."""

        def acknowledge() -> None:
            cast.acknowledge()
            with self._settled:
                self._open.discard(cast)
                self._settle(cast)

        with self._settled:
            if len(self._open) >= self._many:
                self._open = _without_lost(self._open)
                self._many = max(_MANY, 2 * len(self._open))
            self._open.add(cast)
        return replace(cast, acknowledge=acknowledge)

    def _settle(self, cast: Cast) -> None:
        for before in self._awaited:
            before.discard(cast)
            if not before:
                self._settled.notify_all()

    def _take(self, marker: Cast, args: Any, before: set[Cast]) -> None:
        """Note a marker when all casts before it are accepted, or come again."""
        with self._settled:
            while before:
                self._settled.wait(_PAUSE)
                before &= _without_lost(before)
            self._awaited = [one for one in self._awaited if one is not before]
        marker.acknowledge()
        if marker.is_lost():
            return  # casts before it may come again, to another consumer
        try:
            self._note(str(args["queue"]), self.name, str(args["marker"]), marker.generation)
        except Exception as error:  # noqa: BLE001 - another marker follows
            LOG.debug("a marker was not noted: %s", error)


def _without_lost(casts: set[Cast]) -> set[Cast]:
    """Return the casts whose connection was not lost."""
    return {one for one in casts if not one.is_lost()}


class Markers:
    """Sends markers."""

    def __init__(self, transport: Any) -> None:
        self._sender = Sender(transport, "")

    def send(self, target: oslo_messaging.Target, queue: str, marker: str) -> None:
        """Send a marker to the queue of a server.

        :raises BusUnavailable: it was not sent.
        """
        args = {"queue": queue, "marker": marker}
        versioned = target(version="3.0")
        self._sender.cast(RequestContext.admin(), versioned, MARKER, args, retry=_RETRIES)


def queue_of(target: oslo_messaging.Target) -> str:
    """Return the queue of a target's server, to which casts go that name a resource."""
    return f"{target.topic}.{target.server}"


def consumed(target: oslo_messaging.Target) -> tuple[str, str]:
    """Return the two queues that a server of a target consumes, besides its fanout queue."""
    return target.topic, queue_of(target)
