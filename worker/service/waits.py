# SPDX-License-Identifier: Apache-2.0
"""The systems that a start waits for, as the supervisor of the service is shown them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHOWN_AFTER = 10.0
"""Seconds after which a wait is shown; a start without an outage takes less."""


class Waits:
    """What one process waits for at present."""

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
        """The systems that are waited for since long; empty where there are none."""
        before = time.monotonic() - SHOWN_AFTER
        with self._guard:
            names = [name for name, since in self._since.items() if since <= before]
        return f"waits for {' and '.join(sorted(names))}" if names else ""
