# SPDX-License-Identifier: Apache-2.0
"""Order of the processes' starts: the first one alone, then few at once, none for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.servers import until
from worker.service.startup import start_order
from worker.service.startup.start_order import AT_ONCE, StartOrder, Turn


class Parent:
    """Forks as fast as it may."""

    def __init__(self, order: StartOrder) -> None:
        self.forked = 0
        self.stopping = threading.Event()
        self._order = order
        self._thread = threading.Thread(target=self._fork, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def has_forked(self, count: int) -> None:
        until(lambda: self.forked >= count, 10, f"process {count} to be forked")
        assert self.forked == count

    def _fork(self) -> None:
        while self.forked < 100:
            self._order.wait(self.stopping)
            if self.stopping.is_set():
                return
            self.forked += 1


def timers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


@pytest.fixture
def order() -> StartOrder:
    return StartOrder()


@pytest.fixture
def parent(order: StartOrder) -> Iterator[Parent]:
    found = Parent(order)
    yield found
    found.stop()


def test_the_first_process_starts_alone_and_then_a_few_at_once(
    order: StartOrder, parent: Parent
) -> None:
    parent.has_forked(1)
    with Turn(order).start():
        parent.has_forked(1)

    parent.has_forked(1 + AT_ONCE)
    for number in range(1, 4):
        order.started()
        parent.has_forked(1 + AT_ONCE + number)


def test_the_parent_works_once_while_the_first_process_starts() -> None:
    worked = threading.Semaphore(0)
    order = StartOrder(worked.release)
    parent = Parent(order)

    assert worked.acquire(timeout=10)
    parent.has_forked(1)
    order.started()
    parent.has_forked(1 + AT_ONCE)
    parent.stop()

    assert not worked.acquire(blocking=False)


@pytest.mark.parametrize("waiting", [1, 1 + AT_ONCE])
def test_processes_that_do_not_start_hold_the_others_back_once(
    order: StartOrder, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    stopping = threading.Event()
    order.wait(stopping)
    if waiting > 1:
        order.started()
        for _ in range(AT_ONCE):
            order.wait(stopping)
    monkeypatch.setattr(start_order, "LONGEST", 0.2)
    began = time.monotonic()
    order.wait(stopping)

    assert time.monotonic() - began >= 0.2
    monkeypatch.setattr(start_order, "LONGEST", 600.0)
    for _ in range(3 * AT_ONCE):
        order.wait(stopping)


def test_a_set_up_that_waits_lets_the_next_process_start(
    order: StartOrder, parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_order, "SET_UP", 0.01)
    turn = Turn(order)
    with turn.start(), turn.set_up():
        parent.has_forked(1 + AT_ONCE)
    order.started()

    parent.has_forked(1 + AT_ONCE + 1)  # the turn ended once


def test_a_set_up_in_time_ends_no_turn(order: StartOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    monkeypatch.setattr(order, "started", lambda: ended.append(threading.current_thread().name))
    turn = Turn(order)
    with turn.start():
        with turn.set_up():
            pass
        until(lambda: not timers(), 10, "the timer to end")
        assert not ended

    assert ended == ["MainThread"]


def test_a_start_that_fails_ends_its_turn(order: StartOrder, parent: Parent) -> None:
    with pytest.raises(ValueError, match="refused"), Turn(order).start():
        raise ValueError("refused")

    parent.has_forked(1 + AT_ONCE)


def test_the_only_process_of_a_service_has_no_turn() -> None:
    turn = Turn()
    with turn.start(), turn.set_up():
        assert not timers()


def test_processes_that_nothing_waits_for_start_all_the_same(order: StartOrder) -> None:
    for _ in range(70_000):  # more than a pipe holds
        order.started()
