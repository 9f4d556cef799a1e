# SPDX-License-Identifier: Apache-2.0
"""Queue of messages that were not decoded yet: projects are served in turns.

The broker delivers in the order of sending, so that the cast of one project arrives behind all
those that another one has sent before. To accept a cast costs a millisecond, to put it here a tenth
of that. So thousands of casts wait here rather than at the broker, and the next one is that of
the project whose turn it is. Casts of one project stay in their order. For one that is taken
before earlier ones, :meth:`Backlog.follows` says whether one of these may name its resource.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection

from worker.execution.fairness.fair_queue import FairQueue
from worker.rpc.operation import Operation
from worker.rpc.received.waiting_body import ManyNodes, nodes_of
from worker.rpc.server import Cast

UNPACKED = 256
"""Messages from which on the bodies of further ones are compressed."""

_NODE_SIZE = 200
"""Bytes of memory for a resource that a message may name."""


class WaitingCast:
    """A cast from its arrival to its acceptance; its operation is found when it has its turn.

    :ivar number: in the order of arrival.
    :ivar project: whose turn it takes. Casts of a queue of many hosts have turns of their own.
    :ivar nodes: of the resources that it may name (:func:`nodes_of`); None for any.
    :ivar size: bytes of memory that it needs while it waits to be decoded.
    :ivar at: when it arrived, by the monotonic clock.
    :ivar operation: the one that it asks for, with the names of its resources; after :meth:`found`.
    """

    __slots__ = (
        *("cast", "number", "project", "nodes", "size", "at"),
        *("operation", "names", "of_backend", "until"),
    )

    def __init__(
        self, cast: Cast, number: int, project: str, nodes: Collection[str] | None, size: int
    ) -> None:
        self.cast = cast
        self.number, self.project, self.nodes, self.size = number, project, nodes, size
        self.at = time.monotonic()
        self.operation: Operation
        self.names: set[str]
        self.of_backend: bool
        self.until: float

    def found(self, operation: Operation, longest: float) -> None:
        """Note the operation, which may wait for so many seconds from now on."""
        self.operation = operation
        self.names = {*operation.exclusive, *operation.shared}
        self.of_backend = operation.resource[0] == "backend"  # no message names all its resources
        self.nodes = None if self.of_backend else nodes_of(self.names)
        self.until = time.monotonic() + longest

    def follows(self, other: WaitingCast) -> bool:
        """Return whether another one arrived earlier that may be on the same resource.

        The operations of both were found.
        """
        if other.number >= self.number:
            return False
        unknown = self.nodes is None or other.nodes is None
        return unknown or not self.names.isdisjoint(other.names)


class Backlog:
    """Casts of any projects; threads put them in, and one thread takes them.

    :param often: returns to its queue after which a cast is taken before all others.
    """

    def __init__(self, often: int) -> None:
        self._often = often
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._held_back: frozenset[str] = frozenset()
        self._queue: FairQueue[int] = FairQueue(lambda: 1, keeps=lambda one: one in self._held_back)
        self._waiting: OrderedDict[int, WaitingCast] = OrderedDict()  # by number
        self._naming: dict[str, list[int]] = {}  # numbers of messages, by node of a resource
        self._naming_many: dict[int, ManyNodes] = {}  # by number, in order
        self._unknown: list[int] = []  # numbers of messages that may name any resource
        self._urgent: deque[int] = deque()  # numbers of messages that came back often
        self.size = 0
        """Bytes of memory that the messages need."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, cast: Cast) -> None:
        """Append a cast to those of its project; returns at once."""
        project, nodes = _project(cast), cast.body.nodes()
        if len(self._waiting) >= UNPACKED:
            cast.body.pack()
        size = cast.body.size + _size_of(nodes)
        with self._guard:
            number = next(self._numbers)
            arrived = WaitingCast(cast, number, project, nodes, size)
            self._waiting[number] = arrived
            if isinstance(nodes, ManyNodes):
                self._naming_many[number] = nodes
            for numbers in self._numbers_of(arrived):
                numbers.append(number)
            if cast.returns >= self._often:
                self._urgent.append(number)
            self.size += size
            self._queue.push(project, number)

    def take(self, held_back: frozenset[str] = frozenset()) -> WaitingCast | None:
        """Take the next message; None where there is none.

        :param held_back: projects of which none is taken.
        """
        with self._guard:
            if held_back != self._held_back:
                self._held_back = held_back
                self._queue.limits_changed()
            number = self._next()
            return None if number is None else self._taken(number)

    def follows(self, number: int, nodes: Collection[str] | None, *, passes: bool = False) -> bool:
        """Return whether an earlier message waits that may name one of some resources.

        :param number: of a message that was taken.
        :param nodes: of the resources; None for any.
        :param passes: whether it passes messages of projects that are held back.
        """
        with self._guard:
            if nodes is None:
                passed = self._held_back if passes else ()
                others = (one for one in self._waiting.values() if one.project not in passed)
                return next((one.number for one in others), number) < number
            named = (self._naming.get(node) for node in nodes)
            if any(found and found[0] < number for found in (self._unknown, *named)):
                return True
            many = itertools.takewhile(lambda one: one[0] < number, self._naming_many.items())
            return any(node in found for _number, found in many for node in nodes)

    @property
    def is_urgent(self) -> bool:
        """Whether a message waits that came back often."""
        with self._guard:
            return any(number in self._waiting for number in self._urgent)

    def oldest(self) -> WaitingCast | None:
        """Return the message that has waited longest; None where there is none."""
        with self._guard:
            return next(iter(self._waiting.values()), None)

    def forget_lost(self) -> None:
        """Drop the messages whose connection has gone: the broker delivers them again."""
        with self._guard:
            for arrived in list(self._waiting.values()):
                if arrived.cast.is_lost():
                    self._taken(arrived.number)

    def _next(self) -> int | None:
        """Return the number of the next message."""
        while self._urgent:
            if (urgent := self._urgent.popleft()) in self._waiting:
                return urgent
        while (found := self._queue.pop()) is not None:
            project, number = found
            self._queue.done(project)
            if number in self._waiting:
                return number
        return None

    def _taken(self, number: int) -> WaitingCast:
        found = self._waiting.pop(number)
        self._naming_many.pop(number, None)
        for numbers in self._numbers_of(found):
            numbers.remove(number)
        for node in _few(found.nodes):
            if not self._naming[node]:
                del self._naming[node]
        self.size -= found.size
        return found

    def _numbers_of(self, arrived: WaitingCast) -> list[list[int]]:
        if arrived.nodes is None:
            return [self._unknown]
        return [self._naming.setdefault(node, []) for node in _few(arrived.nodes)]


def _project(cast: Cast) -> str:
    project = cast.body.project()
    return f"{project} on a shared queue" if cast.shared else project


def _few(nodes: Collection[str] | None) -> Collection[str]:
    """Return the nodes that are looked up by themselves."""
    return () if nodes is None or isinstance(nodes, ManyNodes) else nodes


def _size_of(nodes: Collection[str] | None) -> int:
    return nodes.size if isinstance(nodes, ManyNodes) else _NODE_SIZE * len(_few(nodes))
