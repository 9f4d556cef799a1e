# SPDX-License-Identifier: Apache-2.0
"""The queue of notifications: bounded, in order, and never in the way of an operation."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import patient
from worker.rpc.notifications import notification_queue
from worker.rpc.notifications.notification_queue import (
    GivenUp,
    Notification,
    NotificationQueue,
    TryAgain,
)

WAIT = 20.0


class Bus:
    """Takes notifications, or raises, or hangs while it is closed."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.errors: list[Exception] = []
        self.attempts = 0

    def send(self, notification: Notification) -> None:
        self.attempts += 1
        assert self.open.wait(WAIT)
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(notification.name)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def queue(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotificationQueue]:
    monkeypatch.setattr(notification_queue, "PAUSE", 0.01)
    made = NotificationQueue(bus.send)
    yield made
    bus.open.set()
    made.close(0.1)


def one(name: object, body: str = "{}") -> Notification:
    return Notification({}, body, str(name))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_notifications_are_sent_in_order(queue: NotificationQueue, bus: Bus) -> None:
    for number in range(200):
        queue.put(one(number))

    assert queue.flush(WAIT)
    assert bus.taken == [str(number) for number in range(200)]
    assert queue.dropped == 0


def test_a_bus_that_hangs_delays_nobody_and_drops_the_newest(
    queue: NotificationQueue, bus: Bus, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(notification_queue, "MAX_MESSAGES", 10)
    bus.open.clear()
    with caplog.at_level(logging.INFO):
        for number in range(1000):
            queue.put(one(number))
        assert (queue.pending, queue.dropped) == (10, 990)
        bus.open.set()
        assert queue.flush(WAIT)
        queue.close(WAIT)

    assert bus.taken == [str(number) for number in range(10)]
    begin, end = (line for line in caplog.messages if "notifications" in line)
    assert begin == (
        "notifications are not sent, operations continue without them: too many of them wait"
    )
    assert end.startswith("notifications are sent again after ")
    assert end.endswith(" s, 990 were dropped")


def test_the_queue_is_bounded_in_bytes(
    queue: NotificationQueue, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_queue, "MAX_BYTES", 1000)
    bus.open.clear()
    for number in range(10):
        queue.put(one(number, "x" * 300))
    assert (queue.pending, queue.dropped) == (3, 7)
    bus.open.set()
    assert queue.flush(WAIT)
    for number in range(3):
        queue.put(one(number, "x" * 300))

    assert queue.flush(WAIT)
    assert len(bus.taken) == 6


def test_a_notification_that_is_too_large_is_dropped(
    queue: NotificationQueue, bus: Bus, caplog: Any
) -> None:
    queue.put(one("huge", "x" * (notification_queue.MAX_SIZE + 1)))

    assert (queue.pending, queue.dropped, bus.attempts) == (0, 1, 0)
    assert warnings(caplog) == ["notification huge was not sent: it is too large"]


def test_a_bus_that_takes_too_long_is_reported_while_it_hangs(
    queue: NotificationQueue, bus: Bus, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(notification_queue, "SLOW", 0.0)
    bus.open.clear()
    queue.put(one("a"))
    deadline = time.monotonic() + WAIT
    while not warnings(caplog) and time.monotonic() < deadline:
        queue.put(one("b"))

    assert warnings(caplog) == [
        "notifications are not sent, operations continue without them: "
        "the bus has not taken one for 0 s"
    ]


def test_an_outage_is_two_lines_and_loses_nothing(
    queue: NotificationQueue, bus: Bus, caplog: Any
) -> None:
    bus.errors = [TryAgain("refused")] * 5
    with caplog.at_level(logging.INFO):
        for name in "abc":
            queue.put(one(name))
        assert queue.flush(WAIT)
        queue.close(WAIT)

    assert bus.taken == ["a", "b", "c"]
    assert [line for line in caplog.messages if "refused" in line] == caplog.messages[:1]
    assert caplog.messages[1].endswith(", 0 were dropped")


def test_a_notification_that_is_given_up_is_counted_without_a_line_of_its_own(
    queue: NotificationQueue, bus: Bus, caplog: Any
) -> None:
    bus.errors = [GivenUp("refused")] * 2
    with caplog.at_level(logging.INFO):
        for name in "abc":
            queue.put(one(name))
        assert queue.flush(WAIT)
        queue.close(WAIT)

    assert (bus.taken, queue.dropped) == (["c"], 2)
    assert len(caplog.messages) == 2
    assert caplog.messages[1].endswith(", 2 were dropped")


def test_an_error_of_the_notification_drops_it_alone(
    queue: NotificationQueue, bus: Bus, caplog: Any
) -> None:
    bus.errors = [TypeError("no JSON")]
    queue.put(one("a"))
    queue.put(one("b"))

    assert queue.flush(WAIT)
    assert (bus.taken, queue.dropped) == (["b"], 1)
    assert warnings(caplog) == ["notification a was not sent: no JSON"]


class TestStop:
    def test_waiting_notifications_are_sent(self, queue: NotificationQueue, bus: Bus) -> None:
        for number in range(50):
            queue.put(one(number))
        queue.close(WAIT)

        assert len(bus.taken) == 50

    def test_a_bus_that_hangs_holds_up_no_stop(
        self, queue: NotificationQueue, bus: Bus, caplog: Any
    ) -> None:
        bus.open.clear()
        queue.put(one("a"))
        queue.put(one("b"))
        begin = time.monotonic()
        queue.close(0.2)

        assert time.monotonic() - begin < patient(WAIT / 2)
        assert queue.dropped == 2
        assert warnings(caplog) == ["2 notifications were not sent before the stop"]

    def test_connections_are_closed_by_the_thread_that_sends(self, bus: Bus) -> None:
        where: list[str] = []
        queue = NotificationQueue(bus.send, lambda: where.append(threading.current_thread().name))
        queue.put(one("a"))
        queue.close(WAIT)

        assert where == ["notifications"]

    def test_later_notifications_are_dropped(self, queue: NotificationQueue, bus: Bus) -> None:
        queue.close(WAIT)
        queue.put(one("a"))

        assert (bus.taken, queue.dropped) == ([], 1)
