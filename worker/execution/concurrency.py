# SPDX-License-Identifier: Apache-2.0
"""Let few threads run our code at once, and any number wait inside a driver.

A backend that takes a second for a call needs many operations under way, so
there are many threads. Python runs one at a time, and dozens that compete for it
spend a third of the processor on taking turns. So a thread passes a turnstile
before it runs an operation, and steps out of it for each call of the driver.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.errors import ThreadAbandoned

WIDTH = 4
"""Threads at once; more than one, because the database's answers are waited for inside."""


class ThreadGuard:
    """Keeps a thread that came back too late from an operation that was given up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away = False
        self._given_up = False

    def leave(self) -> None:
        """Go where nobody knows when one comes back. :raises ThreadAbandoned: it was given up."""
        with self._lock:
            self._check()
            self._away = True

    def come_back(self) -> None:
        """Come back. :raises ThreadAbandoned: it was given up meanwhile."""
        with self._lock:
            self._away = False
            self._check()

    def give_up(self) -> bool:
        """Wait no longer for a thread that is away; say whether it is."""
        with self._lock:
            self._given_up = self._away
            return self._given_up

    def _check(self) -> None:
        if self._given_up:
            raise ThreadAbandoned("the operation ended without this thread")


class Limiter:
    """A count of threads that run our code.

    :param width: how many may do so at once.
    """

    def __init__(self, width: int = WIDTH) -> None:
        self._free = threading.Semaphore(width)
        self._mine = threading.local()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Run our code."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def fenced(self, fence: ThreadGuard) -> Iterator[None]:
        """Have a fence around what this thread does."""
        self._mine.fence = fence
        try:
            yield
        finally:
            self._mine.fence = None

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Wait for somebody else; a thread that never came in just goes on.

        :raises ThreadAbandoned: the operation was given up while this thread was away.
        """
        fence, inside = getattr(self._mine, "fence", None), getattr(self._mine, "inside", False)
        if fence is not None:
            fence.leave()
        if inside:
            self._leave()
        try:
            yield
        finally:
            if inside:
                self._enter()
            if fence is not None:
                fence.come_back()

    def _enter(self) -> None:
        self._free.acquire()
        self._mine.inside = True

    def _leave(self) -> None:
        self._mine.inside = False
        self._free.release()


class LimitedDriver:
    """A driver whose calls step out of the turnstile.

    :param driver: the driver; what is no method of it is handed through as it is.
    """

    def __init__(self, driver: Any, turnstile: Limiter) -> None:
        self._driver = driver
        self._turnstile = turnstile

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if not callable(found):
            return found
        turnstile = self._turnstile

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            with turnstile.outside():
                return found(*args, **kwargs)

        self.__dict__[name] = call
        return call
