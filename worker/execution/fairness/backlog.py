# SPDX-License-Identifier: Apache-2.0
"""Messages that arrived and have not been looked at: projects are served in turns.

The broker delivers in the order of sending, so that the cast of one project arrives behind all
those that another one has sent before. To accept a cast costs a millisecond, to put it here a tenth
of that. So thousands of casts wait here rather than at the broker, and the next one is that of
the project whose turn it is. Casts of one project stay in their order.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from worker.execution.fairness.fair_queue import FairQueue
from worker.rpc.received.waiting_body import nodes_of
from worker.rpc.server import Cast, Undecoded, Unreadable

UNPACKED = 256
"""Messages from which on the bodies of further ones are compressed."""

Message = Cast | Undecoded | Unreadable


class Arrived(NamedTuple):
    """A message that waits, or was taken.

    :param number: in the order of arrival.
    :param at: when it arrived, by the monotonic clock.
    :param size: bytes of its body, while it waits.
    """

    number: int
    message: Message
    at: float
    size: int


class Backlog:
    """Messages of any projects; threads put them in, and one thread takes them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._queue: FairQueue[int] = FairQueue(lambda: 1)
        self._waiting: OrderedDict[int, Arrived] = OrderedDict()  # by number
        self._returns: Counter[int] = Counter()
        self.size = 0
        """Bytes of the bodies."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> None:
        """Append a message to those of its project; returns at once."""
        project, size = _project(message), 0
        if isinstance(message, Undecoded):
            if len(self._waiting) >= UNPACKED:
                message.body.pack()
            size = message.body.size
        with self._guard:
            number = next(self._numbers)
            self._waiting[number] = Arrived(number, message, time.monotonic(), size)
            self._returns[_returns(message)] += 1
            self.size += size
            self._queue.push(project, number)

    def take(self) -> Arrived | None:
        """Take the next message; None where there is none."""
        with self._guard:
            while (found := self._queue.pop()) is not None:
                project, number = found
                self._queue.done(project)
                if number in self._waiting:
                    return self._taken(number)
        return None

    def must_not_wait(self, longest: float, returns: int) -> bool:
        """Return whether a message has waited for so many seconds, or returned so often."""
        with self._guard:
            oldest = next(iter(self._waiting.values()), None)
            if oldest is not None and time.monotonic() - oldest.at >= longest:
                return True
            return any(count and often >= returns for often, count in self._returns.items())

    def take_before(self, number: int, ids: Collection[str]) -> list[Arrived]:
        """Take the messages that must not follow one that was taken, in the order of arrival.

        :param number: of the message that was taken.
        :param ids: of its resources. Each message is taken that arrived before one which may name
            such a resource, and that one as well, if they arrived before the given number.
        """
        nodes = nodes_of(ids)
        with self._guard:
            earlier = list(itertools.takewhile(lambda one: one < number, self._waiting))
            while earlier and not _may_name(self._waiting[earlier[-1]].message, nodes):
                earlier.pop()
            return [self._taken(one) for one in earlier]

    def _taken(self, number: int) -> Arrived:
        found = self._waiting.pop(number)
        self._returns[_returns(found.message)] -= 1
        self.size -= found.size
        return found


def _project(message: Message) -> str:
    if isinstance(message, Undecoded):
        return message.body.project()
    project = message.context.get("project_id") if isinstance(message, Cast) else None
    return project if isinstance(project, str) else ""


def _may_name(message: Message, nodes: Collection[str] | None) -> bool:
    if isinstance(message, Undecoded):
        return message.body.may_name(nodes)
    return isinstance(message, Cast)


def _returns(message: Message) -> int:
    return 0 if isinstance(message, Unreadable) else message.returns
