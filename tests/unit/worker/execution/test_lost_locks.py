# SPDX-License-Identifier: Apache-2.0
"""Locks of a server: renewed one by one, confirmed before driver calls, lost and taken again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tooz import coordination

from flows.errors import LocksLost, ProcessStopping
from tests.servers import until
from worker import locks as module
from worker.execution import retry
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.locks import Locks, LocksUnavailable

LIFETIME = 30.0


class Server:
    """A server of locks, and the clock of this host."""

    def __init__(self) -> None:
        self.now = 100.0
        self.away = False
        self.owners: dict[bytes, object] = {}
        self.renewals: list[bytes] = []

    def ask(self) -> None:
        if self.away:
            raise coordination.ToozConnectionError("connection refused")


class Lock:
    """A lock as tooz's driver for Redis has it."""

    def __init__(self, server: Server, name: bytes) -> None:
        self.name = name
        self._server = server

    def acquire(self, blocking: bool = True) -> bool:
        self._server.ask()
        assert self.name not in self._server.owners, "a test waits for ever"
        self._server.owners[self.name] = self
        return True

    def release(self) -> bool:
        self._server.ask()
        assert self._server.owners.pop(self.name) is self
        return True

    def heartbeat(self) -> bool:
        self._server.ask()
        self._server.renewals.append(self.name)
        if self._server.owners.get(self.name) is self:
            return True
        error = coordination.ToozError("not owned")
        error.cause = LockNotOwnedError()
        raise error


class LockError(Exception):
    """The root of the errors of redis about its locks."""


class LockNotOwnedError(LockError):
    """What redis raises for a key of another owner."""


class Coordinator:
    """A coordinator of tooz whose locks expire."""

    lock_timeout = LIFETIME

    def __init__(self, server: Server) -> None:
        self._server = server
        self._acquired_locks: set[Any] = set()
        self.hearts: list[bool] = []

    def start(self, start_heart: bool) -> None:
        self.hearts.append(start_heart)

    def stop(self) -> None:
        self._server.ask()

    def get_lock(self, name: bytes) -> Lock:
        return Lock(self._server, name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(coordination, "get_coordinator", lambda *_, **__: Coordinator(made))
    monkeypatch.setattr(module.libc, "now", lambda: made.now)
    monkeypatch.setattr(retry, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(retry, "RETRY_MAX", 0.01)
    return made


@pytest.fixture
def locks(server: Server) -> Iterator[Locks]:
    made = Locks("redis://server", "test")
    yield made
    made.stop()


def queue_of(locks: Locks, stopping: threading.Event | None = None) -> tuple[ResourceQueue, Ticket]:
    queue = ResourceQueue(locks, stopping or threading.Event())
    ticket = Ticket(["v1"], ["v2"], lambda: None)
    queue.enter(ticket)
    return queue, ticket


def test_a_lock_is_asked_for_after_half_of_its_lifetime(server: Server, locks: Locks) -> None:
    with locks.held(["v1"]) as holds:
        locks.confirm(holds)
        assert server.renewals == []
        server.now += LIFETIME / 2 + 1
        locks.confirm(holds)
        locks.confirm(holds)
        assert server.renewals == [b"cinder-v1"]


def test_a_process_that_was_stopped_notices_the_loss(server: Server, locks: Locks) -> None:
    with locks.held(["v1", "v2"]) as holds:
        server.now += 2 * LIFETIME
        theirs = server.owners[b"cinder-v1"] = object()
        for _twice in range(2):
            with pytest.raises(LocksLost, match="cinder-v1"):
                locks.confirm(holds)

    assert server.owners == {b"cinder-v1": theirs}  # the lock of another owner stays


def test_a_lost_lock_is_another_one_when_it_is_taken_again(server: Server, locks: Locks) -> None:
    queue, ticket = queue_of(locks)
    with queue.held(ticket) as held:
        server.now += 2 * LIFETIME
        del server.owners[b"cinder-v1"]
        with pytest.raises(LocksLost):
            held.require()
        held.take()
        held.require()
        assert set(server.owners) == {b"cinder-v1", b"cinder-v2"}
    assert server.owners == {}
    assert locks._holds == {}


def test_an_outage_is_waited_for_before_a_driver_call(
    server: Server, locks: Locks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    queue, ticket = queue_of(locks)
    returned = threading.Event()
    with queue.held(ticket) as held:
        server.away, server.now = True, server.now + LIFETIME

        def call() -> None:
            held.require()
            returned.set()

        threading.Thread(target=call, daemon=True).start()
        until(lambda: "is away" in caplog.text, 10, "the outage")
        assert not returned.wait(0.1)
        server.away = False
        assert returned.wait(10)
    assert caplog.text.count("the server of the locks is away: connection refused") == 1
    assert caplog.text.count("the server of the locks is back") == 1


def test_locks_that_are_waited_for_in_an_outage_are_taken_later(
    server: Server, locks: Locks
) -> None:
    queue, ticket = queue_of(locks)
    server.away, held = True, threading.Event()

    def hold() -> None:
        with queue.held(ticket):
            held.set()

    threading.Thread(target=hold, daemon=True).start()
    assert not held.wait(0.1)
    server.away = False
    assert held.wait(10)


def test_a_stop_ends_the_wait(server: Server, locks: Locks) -> None:
    stopping = threading.Event()
    queue, ticket = queue_of(locks, stopping)
    with queue.held(ticket) as held:
        server.away, server.now = True, server.now + LIFETIME
        stopping.set()
        with pytest.raises(ProcessStopping):
            held.require()


def test_a_release_that_fails_ends_no_operation(
    server: Server, locks: Locks, caplog: pytest.LogCaptureFixture
) -> None:
    with locks.held(["v1", "v2"]):
        server.away = True
    assert locks._holds == {}
    assert caplog.text.count("is away") == 1
    server.away = False
    server.owners.clear()  # they expire
    with locks.held(["v1"]):
        pass


def test_a_lost_lock_does_not_stop_the_renewal_of_others(
    server: Server, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_lifetime", 0.03)
    with locks.held(["v1", "v2", "v3"]) as holds:
        server.owners[b"cinder-v2"] = object()
        locks.start()
        until(lambda: server.renewals.count(b"cinder-v3") > 2, 10, "renewals")
        assert [hold.lost for hold in holds] == [False, True, False]
        assert server.renewals.count(b"cinder-v2") == 1
    assert locks._coordinator.hearts == [False]  # the one of tooz would log it each second


def test_errors_of_the_server_are_no_loss(
    server: Server, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loading(_lock: Lock) -> bool:
        error = coordination.ToozError("LOADING Redis is loading the dataset in memory")
        error.cause = RuntimeError()
        raise error

    with locks.held(["v1"]) as holds:
        server.now += LIFETIME
        with monkeypatch.context() as patch:
            patch.setattr(Lock, "heartbeat", loading)
            with pytest.raises(LocksUnavailable, match="LOADING"):
                locks.confirm(holds)
        locks.confirm(holds)


class TestServer:
    """Whether the server answers, as the consumers of a cluster's queue need to know."""

    def test_it_is_away_after_some_seconds(self, locks, server, monkeypatch):
        locks.outage.begin("no route")
        assert not locks.is_away
        monkeypatch.setattr(module, "SHORT_OUTAGE", 0.0)
        assert locks.is_away
        server.away = True
        locks.ask()
        assert locks.is_away
        server.away = False
        locks.ask()

        assert not locks.is_away and server.owners == {}

    def test_it_is_not_asked_without_an_outage(self, locks, server):
        server.away = True
        locks.ask()

        assert not locks.is_away
        server.away = False
