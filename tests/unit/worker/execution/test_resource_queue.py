# SPDX-License-Identifier: Apache-2.0
"""The queue: first come, first served; readers share; one hold against other processes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flows.errors import ProcessStopping
from worker.execution import resource_queue, retry
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.locks import LocksUnavailable

WAIT = 10.0


class Locks:
    """Locks against other processes: notes which are held, and fails a given number of times."""

    on_server = expire = False

    def __init__(self) -> None:
        self.held_now: list[str] = []
        self.errors: list[Exception] = []

    @contextmanager
    def held(self, names: Iterable[str]) -> Iterator[None]:
        if self.errors:
            raise self.errors.pop()
        taken = sorted(names)
        self.held_now += taken
        try:
            yield
        finally:
            for name in taken:
                self.held_now.remove(name)


def make() -> tuple[ResourceQueue, Any, threading.Event]:
    locks: Any = Locks()
    stopping = threading.Event()
    return ResourceQueue(locks, stopping), locks, stopping


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


class Queue:
    """Tickets by name, and who was called, in order."""

    def __init__(self) -> None:
        self.queue, _locks, _stopping = make()
        self.called: list[str] = []
        self.tickets: dict[str, Ticket] = {}

    def enter(self, who: str, *exclusive: str, shared: tuple[str, ...] = ()) -> None:
        ticket = Ticket(exclusive, shared, lambda: self.called.append(who))
        self.tickets[who] = ticket
        self.queue.enter(ticket)

    def leave(self, who: str) -> None:
        self.queue.leave(self.tickets[who])


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


def test_those_that_wait_for_a_name_are_counted() -> None:
    queue = Queue()
    queue.enter("a", "v1")
    queue.enter("b", "v1", "v2")
    queue.enter("c", "v1")
    queue.enter("reader", shared=("v3",))
    assert queue.queue.waiting(["v1", "v3"]) == 2 and queue.queue.waiting(["v3", "v4"]) == 0
    assert queue.queue.is_taken(["v3"]) and not queue.queue.is_taken(["v4"])
    queue.leave("a")
    assert queue.queue.waiting(["v1"]) == 1
    queue.leave("c")  # before its turn
    queue.leave("b")
    queue.leave("reader")

    assert queue.queue.waiting(["v1"]) == 0
    assert not queue.queue._waiting and not queue.queue.is_taken(["v1", "v2", "v3"])


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
    assert not queue.queue._queues


class TestTurn:
    def test_exclusive_turns_of_threads_come_in_order(self) -> None:
        queue, locks, _stopping = make()
        order: list[str] = []
        with queue.turn(["v1"]):
            threads = []
            for who in "abc":
                threads.append(in_thread(lambda who=who: self.note(queue, order, who)))
                until(lambda: len(queue._queues["v1"]) == len(threads) + 1)
            assert (order, locks.held_now) == ([], ["v1"])
        for thread in threads:
            thread.join(WAIT)

        assert order == ["a", "b", "c"]
        assert locks.held_now == []

    @staticmethod
    def note(queue: ResourceQueue, order: list[str], who: str) -> None:
        with queue.turn(["v1"]):
            order.append(who)

    def test_readers_hold_a_name_together(self) -> None:
        queue, _locks, _stopping = make()
        together = threading.Barrier(3, timeout=WAIT)

        def read() -> None:
            with queue.turn([], ["source"]):
                together.wait()

        threads = [in_thread(read), in_thread(read)]
        together.wait()
        for thread in threads:
            thread.join(WAIT)

        assert not together.broken

    def test_a_thread_waits_for_an_operation_that_has_entered(self) -> None:
        queue, _locks, _stopping = make()
        ticket = Ticket(["v1"], [], lambda: None)
        queue.enter(ticket)
        order: list[str] = []
        thread = in_thread(lambda: self.note(queue, order, "thread"))
        until(lambda: len(queue._queues["v1"]) == 2)
        with queue.held(ticket):
            order.append("operation")
        queue.leave(ticket)
        thread.join(WAIT)

        assert order == ["operation", "thread"]

    def test_a_turn_that_does_not_come_before_the_stop(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resource_queue, "STOP_CHECK", 0.01)
        queue, _locks, stopping = make()
        with queue.turn(["v1"]):
            stopping.set()
            with pytest.raises(ProcessStopping), queue.turn([], ["v1"]):
                raise AssertionError("it was let in")

        assert queue._queues == {}

    def test_the_place_is_given_up_after_an_error(self) -> None:
        queue, locks, _stopping = make()
        with pytest.raises(ValueError, match="x"), queue.turn(["v1"]):
            raise ValueError("x")

        assert (queue._queues, locks.held_now) == ({}, [])


class TestOutage:
    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retry, "RETRY_FIRST", 0.01)

    def test_a_full_disk_is_waited_for(self) -> None:
        queue, locks, _stopping = make()
        locks.errors = [OSError(28, "No space left on device")] * 3

        with queue.turn(["v1"]):
            assert locks.held_now == ["v1"]

    def test_the_patience_of_a_caller_ends_the_wait(self) -> None:
        queue, locks, _stopping = make()
        locks.errors = [OSError(28, "No space left on device")] * 3
        ticket = Ticket(["v1"], [], lambda: None)
        queue.enter(ticket)

        with pytest.raises(LocksUnavailable, match="No space left"), queue.held(ticket, 0.0):
            raise AssertionError("it was let in")
        with queue.held(ticket, 60.0):
            assert locks.held_now == ["v1"]

    def test_a_stop_ends_the_wait(self) -> None:
        queue, locks, stopping = make()
        locks.errors = [OSError(28, "No space left on device")] * 3
        stopping.set()

        with pytest.raises(ProcessStopping), queue.turn(["v1"]):
            raise AssertionError("it was let in")
        assert queue._queues == {}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
