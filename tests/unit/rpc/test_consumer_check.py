# SPDX-License-Identifier: Apache-2.0
"""A process that receives no messages notices it, reconnects and lets itself be restarted."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping

import pytest

from worker.compat.oslo_messaging import Binding
from worker.rpc import consumer_check
from worker.rpc.consumer_check import MISSING_LIMIT, STALLED, ConsumerCheck


class Listener:
    """The consumers of a server."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.is_paused = False
        self.reasons: list[str] = []
        self.reconnect = self.reasons.append

    def bindings(self) -> list[Binding]:
        return [Binding("topic", "x", "topic"), Binding("topic.h1", "x", "topic.h1")]


class World:
    """A broker with its consumers, a listener and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.counts: Mapping[str, int] | None = {"topic": 1, "topic.h1": 1}
        self.listener = Listener()
        self.check = ConsumerCheck(self._ask, threading.Event())
        self.check._servers = [self.listener]
        monkeypatch.setattr(consumer_check, "time", self)

    def monotonic(self) -> float:
        return self.now

    def _ask(self, bindings: Collection[Binding]) -> Mapping[str, int]:
        if self.counts is None:
            raise ConnectionError("away")
        return {one.queue: self.counts[one.queue] for one in bindings}

    def after(self, seconds: float, *, alive: bool = True) -> None:
        self.now += seconds
        if alive:
            self.listener.passed = self.now
        self.check.check()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_healthy_listener_is_left_alone(world: World) -> None:
    for _ in range(3):
        world.after(MISSING_LIMIT)

    assert not world.check.lacks_consumers and world.listener.reasons == []


def test_one_without_a_consumer_connects_anew(world: World) -> None:
    world.counts = {"topic": 1, "topic.h1": 0}
    world.after(10)
    assert world.listener.reasons == ["the broker has no consumer of, or no exchange for, topic.h1"]
    world.counts = {"topic": 1, "topic.h1": 1}
    world.after(10)
    world.after(MISSING_LIMIT + 1)

    assert not world.check.lacks_consumers and len(world.listener.reasons) == 1


def test_missing_consumers_are_reported_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.counts = {"topic": 0, "topic.h1": 0}
    world.after(10)
    assert not world.check.lacks_consumers
    for _ in range(3):
        world.after(MISSING_LIMIT)

    assert world.check.lacks_consumers
    assert len([r for r in caplog.records if "no messages have been received" in r.message]) == 1


def test_a_listener_that_hangs_is_reported(world: World) -> None:
    world.after(10)
    world.after(STALLED + 1, alive=False)
    assert world.listener.reasons == ["it hangs"]
    world.after(MISSING_LIMIT + 1, alive=False)

    assert world.check.lacks_consumers


def test_an_outage_of_the_broker_does_not_count(world: World) -> None:
    world.counts = None
    for _ in range(3):
        world.after(MISSING_LIMIT, alive=False)
    assert not world.check.lacks_consumers
    world.counts = {"topic": 1, "topic.h1": 1}
    world.after(10, alive=False)

    assert not world.check.lacks_consumers and world.listener.reasons == []


def test_consumers_have_time_to_come_back_after_an_outage(world: World) -> None:
    world.counts = None
    world.after(10)
    world.counts = {"topic": 0, "topic.h1": 0}
    world.after(1)
    assert world.listener.reasons == []
    world.after(10)

    assert len(world.listener.reasons) == 1


def test_the_thread_goes_on_after_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(consumer_check, "time", time)
    monkeypatch.setattr(consumer_check, "CHECK_PAUSE", 0.001)
    stopping, calls = threading.Event(), threading.Semaphore(0)

    class Odd(Listener):
        def bindings(self) -> list[Binding]:
            calls.release()
            raise KeyError("a bug")

    check = ConsumerCheck(world._ask, stopping)
    monkeypatch.setattr(check, "_check", lambda server: server.bindings())
    check.start([Odd()])
    for _ in range(2):
        assert calls.acquire(timeout=20)
    stopping.set()

    assert "could not be checked" in caplog.text


def test_a_listener_that_is_paused_lacks_no_consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.counts = {"topic": 0, "topic.h1": 0}
    world.listener.is_paused = True
    world.check.check()
    world.now += MISSING_LIMIT + 1
    world.check.check()

    assert not world.check.lacks_consumers and world.listener.reasons == []
