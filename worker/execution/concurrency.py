# SPDX-License-Identifier: Apache-2.0
"""Limit how many threads run Python code at once; threads in blocking calls do not count.

A backend that takes a second for a call needs many operations at a time, so there are many
threads. Python runs one of them at a time, and dozens that compete for it spend a third of
the processor on switching. So a thread waits for the limiter before it runs a flow, and
leaves it for each call of the driver.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.errors import ThreadAbandoned

THREADS = 4
"""Threads that run at once; more than one, because they wait for the database meanwhile."""


class AbandonableThread:
    """A thread whose operation may end without it while it is in a blocking call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocked = False
        self._abandoned = False

    def enter_call(self) -> None:
        """Note the start of a blocking call. :raises ThreadAbandoned: it was abandoned."""
        with self._lock:
            self._check()
            self._blocked = True

    def leave_call(self) -> None:
        """Note the end of a blocking call. :raises ThreadAbandoned: it was abandoned in it."""
        with self._lock:
            self._blocked = False
            self._check()

    def abandon(self) -> bool:
        """End the operation without this thread if it is in a call; return whether it is."""
        with self._lock:
            self._abandoned = self._blocked
            return self._abandoned

    def _check(self) -> None:
        if self._abandoned:
            raise ThreadAbandoned("the operation ended without this thread")


class Limiter:
    """The threads that run Python code now.

    :param threads: how many may run at once.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._free = threading.Semaphore(threads)
        self._local = threading.local()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run code that counts, after a wait for a free place."""
        self._acquire()
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def abandonable(self, thread: AbandonableThread) -> Iterator[None]:
        """Let the operation of this thread end without it while it is in a blocking call."""
        self._local.thread = thread
        try:
            yield
        finally:
            self._local.thread = None

    @contextmanager
    def released(self) -> Iterator[None]:
        """Make a blocking call, which does not count.

        A thread that did not count before, as one of a driver, does not count afterwards.

        :raises ThreadAbandoned: the operation ended without this thread meanwhile.
        """
        thread: AbandonableThread | None = getattr(self._local, "thread", None)
        counted = getattr(self._local, "counted", False)
        if thread is not None:
            thread.enter_call()
        if counted:
            self._release()
        try:
            yield
        finally:
            if counted:
                self._acquire()
            if thread is not None:
                thread.leave_call()

    def _acquire(self) -> None:
        self._free.acquire()
        self._local.counted = True

    def _release(self) -> None:
        self._local.counted = False
        self._free.release()


class LimitedDriver:
    """A driver whose methods are blocking calls for the limiter.

    :param driver: the driver; its attributes that are no methods are returned unchanged.
    """

    def __init__(self, driver: Any, limiter: Limiter) -> None:
        self._driver = driver
        self._limiter = limiter

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if not callable(found):
            return found
        limiter = self._limiter

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            with limiter.released():
                return found(*args, **kwargs)

        self.__dict__[name] = call
        return call
