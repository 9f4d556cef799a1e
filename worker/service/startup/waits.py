# SPDX-License-Identifier: Apache-2.0
"""Systems that a process waits for, for the status text of the service's supervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHOWN_AFTER = 10.0
"""Seconds after which a wait is shown; a start without an outage takes less."""


class Waits:
    """The systems that one process waits for at present."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._watched: dict[str, Callable[[], bool]] = {}
        self._guard = threading.Lock()

    @contextmanager
    def on(self, system: str) -> Iterator[None]:
        """Wait for a system inside the block."""
        with self._guard:
            self._since[system] = time.monotonic()
        try:
            yield
        finally:
            with self._guard:
                self._since.pop(system, None)

    def watch(self, system: str, is_away: Callable[[], bool]) -> None:
        """Show a system whenever it is away, also after the start.

        :param is_away: whether an outage of it is known; it returns at once.
        """
        self._watched[system] = is_away

    @property
    def shown(self) -> str:
        """Text with the systems that have not answered for long; empty if there are none."""
        before = time.monotonic() - SHOWN_AFTER
        with self._guard:
            names = {name for name, since in self._since.items() if since <= before}
        names |= {name for name, is_away in self._watched.items() if is_away()}
        return f"waits for {' and '.join(sorted(names))}" if names else ""
