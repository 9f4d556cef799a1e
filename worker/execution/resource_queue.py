# SPDX-License-Identifier: Apache-2.0
"""Per-resource FIFO queues: the order of operations, and the locks that they hold.

A lock alone keeps two operations from running at once and says nothing of their order: a
deletion must not overtake a creation that waits to be resumed. So each operation enters
the queues of the names that it locks when it is accepted, and starts when all of them have
let it in; no thread waits meanwhile. The queues exclude the operations of this process
from each other; one hold of the process on each name, by :mod:`worker.locks`, excludes
those of other processes.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tooz import ToozError

from flows.errors import ProcessStopping
from worker.execution.retry import OutageRetry
from worker.locks import Locks, LocksUnavailable
from worker.metrics.definitions import LOCK_SECONDS
from worker.metrics.measurements import MEASURED

STOP_CHECK = 1.0
"""Seconds between two checks whether the process stops, while a thread waits for its turn."""


class Ticket:
    """A place in the queues of some names.

    :param exclusive: names that no other ticket holds at the same time.
    :param shared: names that other tickets may share at the same time.
    :param ready: called once, when it is this ticket's turn in all queues.
    :param owner: the operation, whose text is for reports.
    """

    __slots__ = ("names", "owner", "ready", "waits_for")

    def __init__(
        self,
        exclusive: Sequence[str],
        shared: Sequence[str],
        ready: Callable[[], None],
        owner: object = "",
    ) -> None:
        self.owner = owner
        self.names = dict.fromkeys(shared, False) | dict.fromkeys(exclusive, True)
        """Each name, and whether it is held exclusively."""
        self.ready = ready
        self.waits_for = set(self.names)


class HeldLocks:
    """The locks of one ticket, which a server may give up while its operation runs.

    :param locks: exclude other processes.
    :param retry: waits for their server.
    """

    def __init__(self, locks: Locks, names: Iterable[str], retry: OutageRetry) -> None:
        self._locks = locks
        self._names = tuple(names)
        self._retry = retry
        self._stack = ExitStack()
        self._holds: Collection[Any] = ()

    @property
    def expire(self) -> bool:
        """Whether they can be lost while they are held."""
        return self._locks.expire

    def take(self, patience: float | None = None) -> None:
        """Take them, again after a loss.

        :param patience: seconds of an outage after which its error is raised.
        :raises ProcessStopping: they are not held.
        """
        self.release()
        held = functools.partial(self._locks.held, self._names)
        self._holds = self._retry.until_available(
            lambda: self._stack.enter_context(held()), patience
        )

    def require(self) -> None:
        """Return when the locks are certainly held: an outage of their server is waited for.

        :raises LocksLost: one was given up.
        :raises ProcessStopping: the process stops meanwhile.
        """
        self._retry.until_available(lambda: self._locks.confirm(self._holds))

    def release(self) -> None:
        """Release them."""
        self._stack.close()


class ResourceQueue:
    """The queues of all names in this process; tickets that share a name are let in together.

    :param locks: exclude other processes.
    :param stopping: set when the process stops; ends the waits of threads.
    """

    def __init__(self, locks: Locks, stopping: threading.Event) -> None:
        self._locks = locks
        self._stopping = stopping
        errors = (OSError, ToozError, LocksUnavailable)
        outage = locks.outage if locks.on_server else None
        self._retry = OutageRetry("the directory of the locks", errors, stopping, outage)
        self._guard = threading.Lock()
        # A deque would need half a KiB for each resource, and thousands may wait.
        self._queues: dict[str, list[Ticket]] = {}
        self._waiting: Counter[str] = Counter()

    def enter(self, ticket: Ticket) -> None:
        """Append a ticket to its queues; its turn may come at once."""
        with self._guard:
            for name in ticket.names:
                self._queues.setdefault(name, []).append(ticket)
                self._waiting[name] += 1
            turn = self._let_in(ticket.names) if ticket.names else [ticket]
        _call(turn)

    def waiting(self, names: Iterable[str]) -> int:
        """Return how many tickets wait for the name of these that most wait for."""
        with self._guard:
            return max((self._waiting[name] for name in names), default=0)

    def is_exclusive(self, name: str) -> bool:
        """Return whether a ticket waits for a name to hold it exclusively, or holds it so."""
        with self._guard:
            return any(ticket.names[name] for ticket in self._queues.get(name, ()))

    def is_taken(self, names: Iterable[str]) -> bool:
        """Return whether any ticket waits for one of these names, or holds it."""
        with self._guard:
            return not self._queues.keys().isdisjoint(names)

    def places(self) -> dict[str, list[tuple[object, bool]]]:
        """Return the tickets of each name in their order: their owners, and whether they wait."""
        with self._guard:
            return {
                name: [(one.owner, name in one.waits_for) for one in queue]
                for name, queue in self._queues.items()
            }

    def leave(self, ticket: Ticket) -> None:
        """Remove a ticket from its queues, which lets others in."""
        with self._guard:
            for name in tuple(ticket.waits_for):  # it leaves before its turn
                self._come(ticket, name)
            for name in ticket.names:
                queue = self._queues[name]
                queue.remove(ticket)
                if not queue:
                    del self._queues[name]
            ticket.ready = _nothing  # it refers to the ticket: both would be garbage
            turn = self._let_in(ticket.names)
        _call(turn)

    @contextmanager
    def held(self, ticket: Ticket, patience: float | None = None) -> Iterator[HeldLocks]:
        """Hold the locks of a ticket whose turn it is against other processes.

        A full disk, a lack of descriptors, and an outage of their server are waited for.

        :param patience: seconds after which none of these is waited for any more.
        :raises ProcessStopping: the locks are not held.
        :raises LocksUnavailable: neither are they, after the patience.
        """
        locks = HeldLocks(self._locks, ticket.names, self._retry)
        began = time.monotonic()
        try:
            try:
                locks.take(patience)
            except (OSError, ToozError) as error:
                raise LocksUnavailable(str(error)) from error
            MEASURED.observe(LOCK_SECONDS, time.monotonic() - began)
            yield locks
        finally:
            locks.release()

    @contextmanager
    def turn(
        self, exclusive: Sequence[str], shared: Sequence[str] = (), owner: str = ""
    ) -> Iterator[None]:
        """Wait on this thread for a turn, and hold the locks.

        :param owner: the work, for reports.
        :raises ProcessStopping: the turn did not come before the stop.
        """
        come = threading.Event()
        ticket = Ticket(exclusive, shared, come.set, owner)
        self.enter(ticket)
        try:
            while not come.wait(STOP_CHECK):
                if self._stopping.is_set():
                    raise ProcessStopping("it was not begun: the service stops")
            with self.held(ticket):
                yield
        finally:
            self.leave(ticket)

    def _let_in(self, names: Iterable[str]) -> list[Ticket]:
        """Return the tickets whose turn it has become."""
        turn = []
        for name in names:
            for place, ticket in enumerate(self._queues.get(name, ())):
                exclusive = ticket.names[name]
                if exclusive and place:
                    break
                if name in ticket.waits_for:
                    self._come(ticket, name)
                    if not ticket.waits_for:
                        turn.append(ticket)
                if exclusive:
                    break
        return turn

    def _come(self, ticket: Ticket, name: str) -> None:
        """Note that a ticket does not wait for a name any more."""
        ticket.waits_for.discard(name)
        self._waiting[name] -= 1
        if not self._waiting[name]:
            del self._waiting[name]


def _call(turn: Iterable[Ticket]) -> None:
    for ticket in turn:
        ticket.ready()


def _nothing() -> None:
    return None
