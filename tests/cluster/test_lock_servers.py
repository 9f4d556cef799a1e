# SPDX-License-Identifier: Apache-2.0
"""etcd and Redis as servers of locks, in a namespace: locks exclude, and outlive a restart."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tooz import coordination

from tests.conftest import require
from tests.servers import until
from tests.servers.several.etcd import Etcd
from tests.servers.several.network import Network
from tests.servers.several.redis import Redis
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
