# SPDX-License-Identifier: Apache-2.0
"""The operations of one process that have not ended, by flow, and how many each project has."""

from __future__ import annotations

import threading
from collections import Counter

from worker.execution.runs.operation_run import OperationRun


class UnendedRuns:
    """Operations that wait or run; any thread may add and remove them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._runs: dict[str, OperationRun] = {}
        self._projects: Counter[str] = Counter()

    def add(self, run: OperationRun) -> None:
        """Add a run; it replaces an earlier attempt of its flow."""
        with self._guard:
            if run.flow not in self._runs:
                self._projects[run.project] += 1
            self._runs[run.flow] = run

    def remove(self, run: OperationRun) -> None:
        """Remove the run of a flow, if there is one."""
        with self._guard:
            found = self._runs.pop(run.flow, None)
            if found is None:
                return
            self._projects[found.project] -= 1
            if not self._projects[found.project]:
                del self._projects[found.project]

    def all(self) -> list[OperationRun]:
        """Return the runs."""
        with self._guard:
            return list(self._runs.values())

    def find(self, flow: str) -> OperationRun | None:
        """Return the run of a flow."""
        return self._runs.get(flow)

    def of(self, project: str) -> int:
        """Return how many runs a project has."""
        return self._projects[project]
