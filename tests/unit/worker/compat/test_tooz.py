# SPDX-License-Identifier: Apache-2.0
"""The private parts of tooz are as ``worker.compat`` uses them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tooz import coordination

from worker.compat import tooz as compat


def test_the_descriptor_of_a_held_lock_is_that_of_its_file(tmp_path: Path) -> None:
    coordinator = coordination.get_coordinator(f"file://{tmp_path}", b"member")
    coordinator.start()
    lock = coordinator.get_lock(b"name")
    assert lock.acquire()

    found = os.fstat(compat.descriptor(lock))

    assert os.path.samestat(found, os.stat(tmp_path / "name"))
    lock.release()
    coordinator.stop()


def test_a_client_of_redis_repeats_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only tooz repeats it, at once: its client waits for up to ten seconds before each."""
    redis = pytest.importorskip("redis")
    coordinator = coordination.get_coordinator("redis://127.0.0.1:1", b"member")
    compat.fail_at_once(coordinator)
    waits: list[float] = []
    monkeypatch.setattr(redis.retry, "sleep", waits.append)

    with pytest.raises(coordination.ToozConnectionError):
        coordinator.start()
    assert waits == []

    plain = coordination.get_coordinator("redis://127.0.0.1:1", b"member")
    with pytest.raises(redis.exceptions.ConnectionError):
        plain._make_client(plain._parsed_url, {}, 1).info()
    assert waits  # the library waits, unless it is prevented


def test_an_error_of_etcd_is_one_of_a_start() -> None:
    exceptions = pytest.importorskip("etcd3gw.exceptions")

    assert issubclass(exceptions.ConnectionFailedError, compat.errors_of_a_start())
