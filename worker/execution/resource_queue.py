# SPDX-License-Identifier: Apache-2.0
"""Operations on a resource begin in the order in which they were accepted.

A lock alone says that two operations do not run at once, not which goes first. A
deletion that comes while a creation waits to be resumed must not overtake it. So
each operation takes a ticket for the names of its locks when it is accepted, and
is started when those before it have left; no thread waits meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence


class Ticket:
    """A place in the lines of some names.

    :param exclusive: names for which nobody else may go at the same time.
    :param shared: names for which others that share them may.
    :param ready: called once, when it is this ticket's turn.
    """

    def __init__(
        self, exclusive: Sequence[str], shared: Sequence[str], ready: Callable[[], None]
    ) -> None:
        self.alone = dict.fromkeys(shared, False) | dict.fromkeys(exclusive, True)
        self.ready = ready
        self.waits_for = set(self.alone)


class ResourceQueue:
    """The lines of all names, first come first served; those who share go together."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lines: dict[str, deque[Ticket]] = {}

    def enter(self, ticket: Ticket) -> None:
        """Stand in line; a ticket that has nobody before it is called at once."""
        with self._guard:
            for name in ticket.alone:
                self._lines.setdefault(name, deque()).append(ticket)
            turn = self._let_in(ticket.alone) if ticket.alone else [ticket]
        _call(turn)

    def leave(self, ticket: Ticket) -> None:
        """Give a ticket back; those whose turn it is then are called."""
        with self._guard:
            for name in ticket.alone:
                line = self._lines[name]
                line.remove(ticket)
                if not line:
                    del self._lines[name]
            turn = self._let_in(ticket.alone)
        _call(turn)

    def _let_in(self, names: Iterable[str]) -> list[Ticket]:
        """Return whose turn it has become."""
        turn = []
        for name in names:
            for place, ticket in enumerate(self._lines.get(name, ())):
                alone = ticket.alone[name]
                if alone and place:
                    break
                if name in ticket.waits_for:
                    ticket.waits_for.discard(name)
                    if not ticket.waits_for:
                        turn.append(ticket)
                if alone:
                    break
        return turn


def _call(turn: Iterable[Ticket]) -> None:
    for ticket in turn:
        ticket.ready()
