# SPDX-License-Identifier: Apache-2.0
"""Limits that all transfers of a process share: threads, open objects and bandwidth.

An object that is being transferred uses a few MiB. A fixed number of them is transferred at
once, whichever operations they belong to, and the others wait. So neither the size of a
volume nor the number of operations changes the memory that is used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_POLL_INTERVAL = 0.2
"""Seconds after which a thread that waits for a slot checks whether its transfer has ended."""


class TransferEnded(Exception):
    """Another part of the same transfer failed, or the transfer was cancelled."""


class TransferLimits:
    """Threads, slots for objects, and bandwidth.

    :param threads: number of threads that hash and compress.
    :param transfers: number of objects that are transferred at once.
    :param bandwidth: bytes of volumes in a second; 0 for no limit.
    """

    def __init__(self, threads: int, transfers: int, bandwidth: float = 0) -> None:
        self.transfers = transfers
        self._hashers = ThreadPoolExecutor(threads, "hash")
        self._fetchers = ThreadPoolExecutor(transfers, "fetch")
        self._slots = threading.Semaphore(transfers)
        self._bandwidth = bandwidth
        self._lock = threading.Lock()
        self._free_at = 0.0

    def submit(self, work: Callable[..., T], *args: object) -> Future[T]:
        """Run a function on one of the threads that hash and compress."""
        return self._hashers.submit(work, *args)

    def fetch(self, work: Callable[..., T], *args: object) -> Future[T]:
        """Run a function on one of the threads that may block in a store."""
        return self._fetchers.submit(work, *args)

    @contextmanager
    def slot(self, stop: threading.Event) -> Iterator[None]:
        """Wait for a slot and hold it. :raises TransferEnded: the transfer has ended."""
        while not self._slots.acquire(timeout=_POLL_INTERVAL):
            _check_not_ended(stop)
        try:
            yield
        finally:
            self._slots.release()

    def admit(self, length: int, stop: threading.Event) -> None:
        """Wait for the bandwidth of some bytes. :raises TransferEnded: the transfer has ended."""
        _check_not_ended(stop)
        if not self._bandwidth:
            return
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._free_at)
            self._free_at = begin + length / self._bandwidth
        if stop.wait(max(0.0, begin - now)):
            raise TransferEnded


def _check_not_ended(stop: threading.Event) -> None:
    if stop.is_set():
        raise TransferEnded
