# SPDX-License-Identifier: Apache-2.0
"""Order in which the processes of a service start: the first one alone, then a few at a time.

Sixteen processes that start at once on two processors all take operations late. So the parent
forks the next one when those before it have started. It does not wait for long for a system or a
driver that they wait for.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterator

AT_ONCE = 4 * (os.cpu_count() or 1)
"""Processes that start at once, after the first one: each also waits for the bus and databases."""

LONGEST = 5.0
"""Seconds that the parent waits for one process; then it starts all others at once."""

SET_UP = 0.5
"""Seconds that a driver's set-up may take until the next process starts beside it."""

_PAUSE = 0.05
"""Seconds between two looks at a stop."""


class StartOrder:
    """Counts the processes that start at present; made before they are forked.

    Each writes a byte to a pipe when it has started. It holds nothing that a process which is
    killed would keep.

    :param meanwhile: work of the parent while the first process starts on another processor.
    """

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._meanwhile = meanwhile
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._forked = self._starting = 0
        self._in_order = True

    def wait(self, stopping: threading.Event) -> None:
        """Wait in the parent until the next process may be forked, and count it."""
        if self._forked == 1:
            self._meanwhile()
        until = time.monotonic() + LONGEST
        limit = 1 if self._forked == 1 else AT_ONCE
        while self._in_order and self._starting >= limit and not stopping.is_set():
            if time.monotonic() > until:
                self._in_order = False
            elif select.select([self._reader], [], [], _PAUSE)[0]:
                self._starting -= len(os.read(self._reader, self._starting))
        self._forked += 1
        self._starting += 1

    def started(self) -> None:
        """Let the next process start; called by a child."""
        with contextlib.suppress(BlockingIOError):  # nothing reads any more
            os.write(self._writer, b".")


class Turn:
    """The start of one process, which ends once.

    :param order: None for the only process of a service.
    """

    def __init__(self, order: StartOrder | None = None) -> None:
        self._order = order
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def start(self) -> Iterator[None]:
        """Start inside the block."""
        try:
            yield
        finally:
            self._end()

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Set up a driver inside the block; the turn ends if that takes long."""
        timer = threading.Timer(SET_UP, self._end)
        timer.daemon = True
        if self._order is not None:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        with self._guard:
            order, self._order = self._order, None
        if order is not None:
            order.started()
