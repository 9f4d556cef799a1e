# SPDX-License-Identifier: Apache-2.0
"""Times at which the loops of this process last passed; a health check compares their ages."""

from __future__ import annotations

import time


class Beats:
    """The last pass of each loop, by its name."""

    def __init__(self) -> None:
        self._passed: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """Note a pass of a loop, on its thread."""
        self._passed[loop] = time.monotonic()

    def end(self, loop: str) -> None:
        """Forget a loop that has ended in order."""
        self._passed.pop(loop, None)

    def ages(self, now: float) -> dict[str, float]:
        """Return the seconds since the last pass of each loop."""
        return {loop: max(0.0, now - passed) for loop, passed in self._passed.copy().items()}


BEATS = Beats()
"""The loops of this process."""
