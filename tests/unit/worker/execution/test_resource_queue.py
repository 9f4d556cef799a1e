# SPDX-License-Identifier: Apache-2.0
"""The line: who came first goes first, and readers go together."""

from __future__ import annotations

import random

from worker.execution.resource_queue import ResourceQueue, Ticket


class Queue:
    """Tickets by name, and who was called, in order."""

    def __init__(self) -> None:
        self.line = ResourceQueue()
        self.called: list[str] = []
        self.tickets: dict[str, Ticket] = {}

    def enter(self, who: str, *exclusive: str, shared: tuple[str, ...] = ()) -> None:
        ticket = Ticket(exclusive, shared, lambda: self.called.append(who))
        self.tickets[who] = ticket
        self.line.enter(ticket)

    def leave(self, who: str) -> None:
        self.line.leave(self.tickets[who])


def test_who_has_nobody_before_him_is_called_at_once() -> None:
    queue = Queue()
    queue.enter("a", "v1")
    queue.enter("b", "v2")
    queue.enter("c")

    assert queue.called == ["a", "b", "c"]


def test_they_are_called_in_the_order_in_which_they_came() -> None:
    queue = Queue()
    for who in "abc":
        queue.enter(who, "v1")
    assert queue.called == ["a"]
    queue.leave("a")
    assert queue.called == ["a", "b"]
    queue.leave("b")
    assert queue.called == ["a", "b", "c"]


def test_readers_go_together_and_a_writer_waits_for_all() -> None:
    queue = Queue()
    queue.enter("reader 1", shared=("v1",))
    queue.enter("reader 2", shared=("v1",))
    queue.enter("writer", "v1")
    queue.enter("reader 3", shared=("v1",))
    assert queue.called == ["reader 1", "reader 2"]
    queue.leave("reader 2")
    assert queue.called == ["reader 1", "reader 2"]
    queue.leave("reader 1")
    assert queue.called[-1] == "writer"
    queue.leave("writer")
    assert queue.called[-1] == "reader 3"


def test_who_needs_several_waits_for_each() -> None:
    queue = Queue()
    queue.enter("a", "v1")
    queue.enter("b", "v2")
    queue.enter("both", "v1", "v2")
    queue.leave("a")
    assert "both" not in queue.called
    queue.leave("b")
    assert queue.called[-1] == "both"


def test_who_leaves_before_his_turn_is_not_called() -> None:
    queue = Queue()
    queue.enter("a", "v1")
    queue.enter("b", "v1")
    queue.enter("c", "v1")
    queue.leave("b")
    queue.leave("a")

    assert queue.called == ["a", "c"]


def test_a_name_that_is_exclusive_and_shared_is_exclusive() -> None:
    queue = Queue()
    queue.enter("a", "v1", shared=("v1",))
    queue.enter("b", shared=("v1",))

    assert queue.called == ["a"]


def test_everybody_is_called_once_and_nobody_together_with_whom_he_excludes() -> None:
    chance = random.Random(7)
    queue, inside, waiting = Queue(), set(), set()
    wants: dict[str, tuple[set[str], set[str]]] = {}
    for number in range(600):
        names = ["v1", "v2", "v3", "v4"]
        chance.shuffle(names)
        who = str(number)
        alone, together = set(names[:1]), set(names[1 : 1 + chance.randrange(3)])
        wants[who] = (alone, together)
        waiting.add(who)
        queue.enter(who, *alone, shared=tuple(together))
        while True:
            came = {w for w in queue.called if w in waiting}
            waiting -= came
            inside |= came
            for one in inside:
                for other in inside - {one}:
                    assert not wants[one][0] & (wants[other][0] | wants[other][1])
            if not inside or chance.random() < 0.5:
                break
            gone = chance.choice(sorted(inside))
            inside.discard(gone)
            queue.leave(gone)
    while inside:
        gone = chance.choice(sorted(inside))
        inside.discard(gone)
        queue.leave(gone)
        came = {w for w in queue.called if w in waiting}
        waiting -= came
        inside |= came

    assert not waiting
    assert len(queue.called) == len(set(queue.called)) == 600
    assert not queue.line._lines
