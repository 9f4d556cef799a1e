# SPDX-License-Identifier: Apache-2.0
"""Rules of every unit test: no thread outlives it, and statements are compiled once."""

from __future__ import annotations

import gc
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from futurist._thread import ThreadWorker

from tests.unit import compiled_statements

_DEATH = 30.0
"""Time for a thread to end after it was stopped, in seconds."""


@pytest.fixture(autouse=True, scope="session")
def statements_are_compiled_once() -> Iterator[None]:
    """Compile each statement once in a run, not in each test."""
    with compiled_statements.shared():
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Release a test's fixtures before those of its module end.

    The last test of a module, which differs from run to run, would keep its objects, and their
    threads, until all fixtures have ended.
    """
    getattr(item, "funcargs", {}).clear()


@pytest.fixture(autouse=True, scope="module")
def no_thread_is_left() -> Iterator[None]:
    """Fail a module that leaves threads: a bus in memory polls, and slows all that follows."""
    before = _threads()
    yield
    deadline = time.monotonic() + _DEATH
    while left := [thread.name for thread in _threads() - before]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads were left running: {', '.join(sorted(left))}", pytrace=False)
        # A pool ends with its last reference, which a traceback of another thread may hold.
        gc.collect()
        time.sleep(0.05)


def _threads() -> set[threading.Thread]:
    """Return all that may run; oslo.messaging never ends its pools, whose workers sleep."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, ThreadWorker)}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that every user can reach; those of ``tmp_path`` are closed to others."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
