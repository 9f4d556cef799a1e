# SPDX-License-Identifier: Apache-2.0
"""Threads of many projects follow limits that a reload changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.servers import until
from worker.execution.fairness.fair_executor import FairExecutor
from worker.execution.fairness.project_limits import ProjectLimits
from worker.execution.pools.thread_pool import FairPool


class Held:
    """Threads with limits, and work that holds them.

    :param most: the limit of the backend and of each project.
    """

    def __init__(self) -> None:
        self.most = {"backend": 1, "*": 1}
        limits = ProjectLimits(operations=lambda: self.most)
        self.executor = FairExecutor("held", 4, limits=limits, most=lambda: self.most["backend"])
        self.begun: list[str] = []
        self._go = threading.Event()

    def start(self, project: str) -> None:
        """Start work that runs until the end of the test."""

        def work() -> None:
            self.begun.append(project)
            self._go.wait()

        self.executor.start(project, work)

    def close(self) -> None:
        self._go.set()
        self.executor.close()


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.close()


def test_limits_that_are_raised_let_work_begin_while_all_other_work_goes_on(held: Held) -> None:
    for project in ("a", "a", "b"):
        held.start(project)
    until(lambda: held.begun == ["a"], 30, "the first")

    held.most["backend"] = 2
    held.executor.limits_changed()
    until(lambda: held.begun == ["a", "b"], 30, "the other project")
    held.most.update({"backend": 3, "*": 2})
    held.executor.limits_changed()
    until(lambda: held.begun == ["a", "b", "a"], 30, "the second one of the project")


def test_a_pool_is_busy_at_the_limit_of_its_backend(held: Held) -> None:
    pool = FairPool(held.executor, 4, most=10, most_bytes=1000)
    assert not pool.is_busy
    pool.add_waiting()

    assert pool.is_busy
    held.most["backend"] = 0
    held.executor.limits_changed()
    assert not pool.is_busy


def test_the_limit_of_the_backend_is_not_read_for_each_piece_of_work() -> None:
    read: list[int] = []

    def most() -> int:
        read.append(1)
        return 3

    executor = FairExecutor("read", 4, most=most)
    for _ in range(3):
        executor.submit("a", lambda: None).result(30)
    executor.close()

    assert len(read) == 1
