# SPDX-License-Identifier: Apache-2.0
"""Pool of threads for one kind of operation; counts operations that wait, and their bytes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from worker.execution.fairness.fair_executor import FairExecutor

LOG = logging.getLogger(__name__)


class PoolCounts:
    """Counts the operations of one kind: those that wait, with their bytes, and those that run.

    An operation waits in its pool from its acceptance on, first for its turn on its
    resource, which needs no thread, and then for a thread.

    :param threads: how many operations run at once.
    :param most: how many may wait.
    :param most_bytes: how many bytes of arguments those that wait may have.
    """

    def __init__(self, threads: int, most: int, most_bytes: int) -> None:
        self._threads = threads
        self._most = most
        self._most_bytes = most_bytes
        self._guard = threading.Lock()
        self._waiting = 0
        self._waiting_bytes = 0
        self._running = 0

    @property
    def threads(self) -> int:
        """How many operations run at once."""
        return self._threads

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many operations run, how many wait, and the bytes of those."""
        return self._running, self._waiting, self._waiting_bytes

    @property
    def accepts_more(self) -> bool:
        """Whether one more operation may wait."""
        return self.has_room(0)

    def has_room(self, ahead: int) -> bool:
        """Return whether one more operation may wait, beside some that are about to."""
        return self._waiting + ahead < self._most and self._waiting_bytes < self._most_bytes

    @property
    def is_busy(self) -> bool:
        """Whether the next operation waits for a thread."""
        return self._waiting + self._running >= self._threads

    def add_waiting(self, size: int = 0) -> None:
        """Count one more operation that waits, and its bytes."""
        with self._guard:
            self._waiting += 1
            self._waiting_bytes += size

    @contextmanager
    def running(self, size: int = 0) -> Iterator[None]:
        """Count an operation that waited as one that runs.

        :param size: the bytes with which it waited.
        """
        with self._guard:
            self._waiting -= 1
            self._waiting_bytes -= size
            self._running += 1
        try:
            yield
        finally:
            with self._guard:
                self._running -= 1


class ThreadPool(PoolCounts):
    """Threads for calls: first come, first served.

    :param threads: how many run at once.
    :param most: how many may wait.
    :param most_bytes: how many bytes of arguments those that wait may have.
    """

    def __init__(self, name: str, threads: int, most: int, most_bytes: int) -> None:
        super().__init__(threads, most, most_bytes)
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def submit(self, work: Callable[..., None], *args: Any) -> None:
        """Run work on a thread; after the stop, never."""
        try:
            self.executor.submit(work, *args)
        except RuntimeError:
            LOG.debug("not started before the stop; it stays in the journal")

    def close(self) -> None:
        """Start no thread any more; work that was submitted is done."""
        self.executor.shutdown(wait=False)


class FairPool(PoolCounts):
    """Threads for casts of one kind, which projects get in fair turns.

    No other kind of operation uses them, so that none waits behind another kind.

    :param executor: the threads.
    """

    def __init__(self, executor: FairExecutor, threads: int, most: int, most_bytes: int) -> None:
        super().__init__(threads, most, most_bytes)
        self.executor = executor

    @property
    def is_busy(self) -> bool:
        """Whether the next operation waits for a thread, or for the limit of the backend."""
        running, waiting, _size = self.counts
        return waiting + running >= self.executor.places()

    def submit(self, project: str, work: Callable[..., None], *args: Any) -> None:
        """Run work of a project on a thread; after the stop, never: casts stay in the journal."""
        try:
            self.executor.start(project, work, *args)
        except RuntimeError:
            LOG.debug("not started before the stop; it stays in the journal")

    def close(self) -> None:
        """Start no work any more; work that waits is dropped."""
        self.executor.close()
