# SPDX-License-Identifier: Apache-2.0
"""Campaigns on several worlds at once: their faults in sum, and those of their servers."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator

from tests.cluster.checks.evidence import Struck


class Allowance:
    """The faults that all campaigns together may strike.

    :param faults: how many.
    :param seconds: the time after which no round begins.
    """

    def __init__(self, faults: int, seconds: float | None = None) -> None:
        self._left = faults
        self._lock = threading.Lock()
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def take(self, most: int) -> int:
        """Return for how many faults a round may have, 0 after the end."""
        with self._lock:
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._left = 0
            granted = min(most, self._left)
            self._left -= granted
            return granted

    def end(self) -> None:
        """Let no other round begin."""
        with self._lock:
            self._left = 0


class ServerFaults:
    """The faults of the servers that several worlds share.

    One world strikes them, and all are struck. No world is judged meanwhile, as the judge
    reads rows, the journal and queues.
    """

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._struck: list[Struck] = []
        self._running = self._judges = self._waiting_judges = 0
        self._last = 0.0

    @contextlib.contextmanager
    def striking(self) -> Iterator[None]:
        """Wait until no world is judged, and let none be judged."""
        with self._state:
            self._state.wait_for(lambda: not (self._judges or self._waiting_judges))
            self._running += 1
        try:
            yield
        finally:
            with self._state:
                self._running -= 1
                self._last = time.monotonic()
                self._state.notify_all()

    def note(self, struck: Struck) -> None:
        """Note a fault that has begun."""
        with self._state:
            self._struck.append(struck)

    @contextlib.contextmanager
    def judging(self) -> Iterator[None]:
        """Wait until all servers run, and let none be struck."""
        with self._state:
            self._waiting_judges += 1
            self._state.wait_for(lambda: not self._running)
            self._waiting_judges -= 1
            self._judges += 1
        try:
            yield
        finally:
            with self._state:
                self._judges -= 1
                self._state.notify_all()

    def last(self) -> float:
        """Return when a server was last away, by the monotonic clock."""
        with self._state:
            return time.monotonic() if self._running else self._last

    def since(self, moment: float, hosts: tuple[str, ...]) -> list[Struck]:
        """Return the faults from a moment on, as faults of hosts that did not strike them."""
        with self._state:
            return [
                dataclasses.replace(one, hosts=hosts, counted=False)
                for one in self._struck
                if one.ended >= moment
            ]
