# SPDX-License-Identifier: Apache-2.0
"""etcd and Redis as servers of locks, in a namespace: locks exclude, and outlive a restart."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tooz import coordination

from flows.errors import LocksLost
from tests.conftest import require
from tests.servers import until
from tests.servers.several.etcd import Etcd
from tests.servers.several.network import Network
from tests.servers.several.redis import Redis
from worker.compat import libc
from worker.execution.resource_queue import HeldLocks, ResourceQueue, Ticket
from worker.locks import Locks


@pytest.fixture(scope="module", params=[Redis, Etcd], ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    kind = request.param
    require(kind)
    directory = tmp_path_factory.mktemp("locks") / kind.name
    made = kind(directory, place=network.namespace(kind.name.lower()).place)
    made.start()
    yield made
    made.close()


HOLDER = """
import sys
from worker.locks import Locks

locks = Locks(sys.argv[1], "dead", lifetime=2)
locks.start()
print(locks.try_hold("volume"), flush=True)
sys.stdin.readline()
"""


def member(url: str) -> Any:
    coordinator = coordination.get_coordinator(url, uuid.uuid4().bytes)
    coordinator.start(start_heart=True)
    return coordinator


def test_lock_excludes_and_outlives_a_restart_of_its_server(server: Any) -> None:
    one, other = member(server.url), member(server.url)
    held = one.get_lock(b"volume")
    assert held.acquire()

    assert not other.get_lock(b"volume").acquire(blocking=False)
    server.stop()
    server.start()
    assert not other.get_lock(b"volume").acquire(blocking=False)

    held.release()
    until(lambda: other.get_lock(b"volume").acquire(blocking=False), 30, "the released lock")
    other.stop()
    one.stop()


def test_lock_of_a_dead_process_is_released_after_its_lifetime(server: Any) -> None:
    argv = [sys.executable, "-c", HOLDER, server.url]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    held = process.stdout.readline().strip()
    process.kill()
    process.communicate()
    locks = Locks(server.url, "living", lifetime=2)
    locks.start()
    try:
        assert (held, locks.try_hold("volume")) == ("True", False)
        # The default of tooz would be 30 s.
        until(lambda: locks.try_hold("volume"), 14, "the lock of the dead process")
    finally:
        locks.stop()


def test_locks_are_confirmed_or_taken_again_after_an_outage(server: Any) -> None:
    """Redis forgets a lock whose time is over, etcd gives its leases their whole time again."""
    locks, other = (Locks(server.url, name, lifetime=2) for name in ("one", "other"))
    for one in (locks, other):
        one.start()
    stopping = threading.Event()
    queue = ResourceQueue(locks, stopping)
    ticket = Ticket(["volume-1"], [], lambda: None)
    queue.enter(ticket)
    began: list[bool] = []

    def wait() -> None:
        theirs = ResourceQueue(other, stopping)
        second = Ticket(["volume-1"], [], lambda: None)
        theirs.enter(second)
        with theirs.held(second) as held:
            held.require()
            began.append(released.is_set())

    released = threading.Event()
    with queue.held(ticket) as held:
        waiter = threading.Thread(target=wait, daemon=True)
        server.kill()
        [hold] = held._holds
        until(lambda: libc.now() - hold.confirmed > 1.0, 30, "a lock that has to be renewed")
        confirmed = threading.Thread(target=lambda: _confirm(held), daemon=True)
        confirmed.start()
        confirmed.join(3.0)  # longer than a lock lasts
        assert confirmed.is_alive()
        server.start()
        confirmed.join(60)
        assert not confirmed.is_alive()
        held.require()
        waiter.start()
        waiter.join(3.0)
        assert began == []
        held.require()
        server.kill()
        server.start()
        _confirm(held)
        released.set()
    waiter.join(60)
    assert began == [True]
    for one in (locks, other):
        one.stop()


def _confirm(held: HeldLocks) -> None:
    """Wait until the locks are held, as the executor does."""
    while True:
        try:
            held.require()
        except LocksLost:
            held.take()
        else:
            return
