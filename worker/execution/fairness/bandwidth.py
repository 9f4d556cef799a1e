# SPDX-License-Identifier: Apache-2.0
"""Bandwidth of data transfers: of a project, and of the backend, in one process.

A transfer reports the bytes that it has moved, and waits until they are paid for. So it needs at
least its size divided by the bandwidth, and transfers that share a limit take turns by piece.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from worker.execution.fairness.project_limits import UNLIMITED, ProjectLimits, no_limit
from worker.metrics.definitions import THROTTLED
from worker.metrics.measurements import MEASURED

_MANY = 1000
"""Limits that are remembered, before those that are paid for are forgotten."""


class Bandwidth:
    """The limits of all transfers of a process.

    :param limits: of projects.
    :param backend: returns the bytes in a second of all transfers together; 0 for no limit.
    """

    def __init__(
        self, limits: ProjectLimits = UNLIMITED, backend: Callable[[], int] = no_limit
    ) -> None:
        self._limits = limits
        self._backend = backend
        self._guard = threading.Lock()
        self._free_at: dict[tuple[str, str], float] = {}

    def wait(self, project: str, size: int) -> float:
        """Return the seconds that a transfer has to wait after it moved some bytes."""
        now, longest, by = time.monotonic(), 0.0, ""
        with self._guard:
            for kind, name, rate in self._rates(project):
                begin = max(now, self._free_at.get((kind, name), 0.0))
                self._free_at[kind, name] = begin + size / rate
                if begin + size / rate - now > longest:
                    longest, by = begin + size / rate - now, kind
            if len(self._free_at) > _MANY:
                self._free_at = {key: at for key, at in self._free_at.items() if at > now}
        if by:
            MEASURED.count(THROTTLED, by, by=longest)
        return longest

    def _rates(self, project: str) -> Iterator[tuple[str, str, int]]:
        if rate := self._limits.bytes_per_second(project):
            yield "project", project, rate
        if rate := self._backend():
            yield "backend", "", rate
