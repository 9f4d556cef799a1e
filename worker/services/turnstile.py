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

WIDTH = 4
"""Threads at once; more than one, because the database's answers are waited for inside."""


class Turnstile:
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
    def outside(self) -> Iterator[None]:
        """Wait for somebody else; a thread that never came in just goes on."""
        if not getattr(self._mine, "inside", False):
            yield
            return
        self._leave()
        try:
            yield
        finally:
            self._enter()

    def _enter(self) -> None:
        self._free.acquire()
        self._mine.inside = True

    def _leave(self) -> None:
        self._mine.inside = False
        self._free.release()


class Courteous:
    """A driver whose calls step out of the turnstile.

    :param driver: the driver; what is no method of it is handed through as it is.
    """

    def __init__(self, driver: Any, turnstile: Turnstile) -> None:
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
