# SPDX-License-Identifier: Apache-2.0
"""Limits that all transfers of a process share: threads, objects, and bandwidth.

An object on its way holds a few MiB. So many may be on their way at once, whichever
operations they belong to, and the rest wait: memory has a bound that neither the size
of a volume nor the number of operations moves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.2
"""Seconds between two looks at whether to go on waiting."""


class Stopped(Exception):
    """Another part of the same transfer failed, or the transfer was cancelled."""


class TransferLimits:
    """Threads, places and bandwidth.

    :param threads: that hash and compress.
    :param transfers: objects that are on their way at once.
    :param limit: bytes of volumes in a second; 0 for as many as there may be.
    """

    def __init__(self, threads: int, transfers: int, limit: float = 0) -> None:
        self.transfers = transfers
        self._pool = ThreadPoolExecutor(threads, "hash")
        self._ahead = ThreadPoolExecutor(transfers, "fetch")
        self._places = threading.Semaphore(transfers)
        self._limit = limit
        self._guard = threading.Lock()
        self._free_at = 0.0

    def submit(self, work: Callable[..., T], *args: object) -> Future[T]:
        """Have work done on one of the threads that hash and compress."""
        return self._pool.submit(work, *args)

    def fetch(self, work: Callable[..., T], *args: object) -> Future[T]:
        """Have something fetched by a thread that may wait for a store."""
        return self._ahead.submit(work, *args)

    @contextmanager
    def place(self, stop: threading.Event) -> Iterator[None]:
        """Hold a place. :raises Stopped: it is not wanted any more."""
        while not self._places.acquire(timeout=_PAUSE):
            _check(stop)
        try:
            yield
        finally:
            self._places.release()

    def admit(self, length: int, stop: threading.Event) -> None:
        """Wait until so many bytes more may move. :raises Stopped: they need not any more."""
        _check(stop)
        if not self._limit:
            return
        with self._guard:
            now = time.monotonic()
            begin = max(now, self._free_at)
            self._free_at = begin + length / self._limit
        if stop.wait(max(0.0, begin - now)):
            raise Stopped


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped
