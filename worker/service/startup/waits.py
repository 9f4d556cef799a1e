# SPDX-License-Identifier: Apache-2.0
"""Systems that a start waits for, for the status text of the service's supervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHOWN_AFTER = 10.0
"""Seconds after which a wait is shown; a start without an outage takes less."""


class Waits:
    """The systems that one process waits for at present."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
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

    @property
    def shown(self) -> str:
        """Text with the systems that have not answered for long; empty if there are none."""
        before = time.monotonic() - SHOWN_AFTER
        with self._guard:
            names = [name for name, since in self._since.items() if since <= before]
        return f"waits for {' and '.join(sorted(names))}" if names else ""
