# SPDX-License-Identifier: Apache-2.0
"""Interrupted operations are resumed together once, and then in groups that shrink."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
from taskflow import states
from taskflow.persistence.models import FlowDetail, TaskDetail

from worker.execution.fairness.fair_executor import FairExecutor
from worker.execution.pools import resume_pool
from worker.execution.pools.resume_pool import PendingWork, ResumeCandidate, ResumePool, groups
from worker.journal import interruptions

MAX_RESUMES = 3


@dataclass
class Run:
    """An operation that is resumed."""

    group_size: int = 1
    project: str = ""


class Runs:
    """Notes which work began, and how much ran beside it."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.beside: dict[str, int] = {}
        self.go = threading.Event()
        self.ended = threading.Semaphore(0)
        self._now = 0
        self._guard = threading.Lock()

    def __call__(self, name: str, waits: bool = False) -> None:
        with self._guard:
            self.began.append(name)
            self._now += 1
            self.beside[name] = self._now
        if waits:
            self.go.wait(30)
        with self._guard:
            self._now -= 1
        self.ended.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.ended.acquire(timeout=30)


def suspect(group_size: int, interrupted: int = 2) -> ResumeCandidate:
    return ResumeCandidate(Run(), interrupted, group_size)


def test_nothing_begins_before_the_driver_is_up() -> None:
    resumes, runs = ResumePool(), Runs()
    resumes.submit(ResumeCandidate(Run()), runs, "a")
    assert runs.began == []
    resumes.start()
    runs.wait(1)
    resumes.submit(ResumeCandidate(Run()), runs, "b")
    runs.wait(1)

    assert runs.began == ["a", "b"]


def test_those_that_were_interrupted_once_resume_together() -> None:
    resumes, runs = ResumePool(), Runs()
    candidates = [ResumeCandidate(Run()) for _ in range(3)]
    for name, candidate in zip("abc", candidates, strict=True):
        resumes.submit(candidate, runs, name, True)
    resumes.start()
    while len(runs.began) < 3:
        pass
    runs.go.set()
    runs.wait(3)

    assert max(runs.beside.values()) == 3
    assert [candidate.run.group_size for candidate in candidates] == [3, 3, 3]


def test_the_last_project_of_many_operations_has_its_turn_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resume_pool, "THREADS", 1)
    resumes, runs = ResumePool(), Runs()
    for number in range(300):
        resumes.submit(ResumeCandidate(Run(project="flood")), runs, f"flood {number}")
    resumes.submit(ResumeCandidate(Run(project="other")), runs, "other")
    resumes.start()
    runs.wait(301)

    assert runs.began[:3] == ["flood 0", "other", "flood 1"]


def test_suspects_run_in_groups_after_the_others_and_the_least_suspected_first() -> None:
    resumes, runs = ResumePool(), Runs()
    candidates = {
        "worst": suspect(1),
        **{f"bad{n}": suspect(8) for n in range(4)},
        "one": ResumeCandidate(Run()),
    }
    for name, candidate in candidates.items():
        resumes.submit(candidate, runs, name)
    resumes.start()
    runs.wait(6)

    assert runs.began[0] == "one"
    assert set(runs.began[1:3]) == {"bad0", "bad1"}
    assert set(runs.began[3:5]) == {"bad2", "bad3"}
    assert runs.began[5] == "worst"
    assert [candidate.run.group_size for candidate in candidates.values()] == [1, 2, 2, 2, 2, 1]


def test_a_group_that_takes_long_does_not_keep_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resume_pool, "SUSPECT_TIME", 0.05)
    resumes, runs = ResumePool(), Runs()
    long, short = suspect(1), suspect(1)
    resumes.submit(long, runs, "long", True)
    resumes.submit(short, runs, "short")
    resumes.start()
    runs.wait(1)
    assert runs.began == ["long", "short"]
    assert (long.run.group_size, short.run.group_size) == (1, 2)
    runs.go.set()
    runs.wait(1)


def test_a_suspect_whose_turn_comes_later_gets_less_company_as_well() -> None:
    resumes, runs, candidate = ResumePool(), Runs(), suspect(8)
    resumes.start()
    resumes.submit(candidate, runs, "late")
    runs.wait(1)

    assert candidate.run.group_size == 2


def test_nothing_begins_after_the_end() -> None:
    resumes, runs = ResumePool(), Runs()
    resumes.start()
    resumes.close()
    resumes.submit(ResumeCandidate(Run()), runs, "a")
    resumes.submit(suspect(1), runs, "b")

    assert runs.began == []


@pytest.mark.parametrize("candidate", [ResumeCandidate(Run()), suspect(1)])
def test_work_with_threads_of_its_kind_runs_there(candidate: ResumeCandidate) -> None:
    resumes, ran, pool = ResumePool(), threading.Event(), FairExecutor("mine", 1)
    names: list[str] = []

    def work() -> None:
        names.append(threading.current_thread().name)
        ran.set()

    resumes.submit(candidate, work, pool=pool)
    resumes.start()

    assert ran.wait(30)
    assert names == ["mine_0"]


@dataclass
class Operations:
    """Operations of one process, some of which end it; no time passes.

    :param lost: whether each end is the loss of a host.
    :param first_step: whether they end it in their first step, whose begin is not journalled.
    """

    count: int
    culprits: Collection[int]
    first_step: bool = False
    lost: bool = False
    deaths: int = 0
    rounds: int = 0
    reverted: set[int] = field(default_factory=set)
    entries: dict[int, FlowDetail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(self.count):
            detail = FlowDetail("flow", str(number))
            detail.state, detail.meta = states.PENDING, {"resumes": 0}
            if not self.first_step:
                detail.state = states.RUNNING
                task = TaskDetail("step", str(number))
                task.state = states.RUNNING
                detail.add(task)
            self.entries[number] = detail
        self.die()

    def die(self) -> None:
        """End the process, or its host."""
        self.deaths += 1
        for detail in self.entries.values():
            if self.lost and detail.state == states.RUNNING:
                detail.state = interruptions.LOST

    def live(self) -> None:
        """Start again until all have ended."""
        while self.entries:
            together, suspects = [], []
            for number, detail in self.entries.items():
                found = interruptions.of(detail)
                one: Any = PendingWork(ResumeCandidate.of(Run(), found, MAX_RESUMES), None, number)  # type: ignore[arg-type]
                (suspects if one.candidate.group_size else together).append(one)
            self.rounds = max(self.rounds, len(list(groups(suspects))))
            self._run([together, *groups(suspects)])

    def _run(self, order: list[list[Any]]) -> None:
        for group in filter(None, order):
            for one in group:
                self._resume(one.work, len(group))
            if any(one.work in self.culprits and one.work in self.entries for one in group):
                self.die()
                return
            for one in group:
                self.entries.pop(one.work, None)

    def _resume(self, number: int, group_size: int) -> None:
        detail = self.entries[number]
        found = interruptions.of(detail)
        if found.is_exhausted(MAX_RESUMES):
            self.reverted.add(number)
            del self.entries[number]
            return
        detail.meta = interruptions.noted(detail, found, group_size, None)
        detail.state = states.RUNNING


@pytest.mark.parametrize("first_step", [False, True])
@pytest.mark.parametrize("culprit", [0, 1, 57, 100, 198, 199])
def test_one_culprit_among_two_hundred_is_found(culprit: int, first_step: bool) -> None:
    operations = Operations(200, {culprit}, first_step)
    operations.live()

    assert operations.reverted == {culprit}
    # Twice all together, then 50, 13, 4 and 1; the first step is not known to have begun.
    assert operations.deaths <= 6 + first_step
    assert operations.rounds <= 8


def test_operations_of_hosts_that_died_in_turn_resume_at_once() -> None:
    operations = Operations(32, (), lost=True)
    for _ in range(MAX_RESUMES - 1):
        for number in operations.entries:
            operations._resume(number, 32)
        operations.die()
    operations.live()

    assert operations.reverted == set()
    assert operations.rounds == 0  # no groups: all at the same time


@pytest.mark.parametrize("culprit", [0, 57, 199])
def test_one_operation_that_ends_each_of_its_hosts_is_found(culprit: int) -> None:
    operations = Operations(200, {culprit}, lost=True)
    operations.live()

    assert operations.reverted == {culprit}
    assert operations.deaths <= MAX_RESUMES + 5  # together, then 50, 13, 4 and 1


def test_several_culprits_are_found_and_only_they() -> None:
    culprits = set(random.Random(7).sample(range(200), 5))
    operations = Operations(200, culprits)
    operations.live()

    assert operations.reverted == culprits
    assert operations.deaths <= 2 + 4 * len(culprits)


def test_without_a_culprit_few_groups_run() -> None:
    operations = Operations(200, ())
    for _ in range(14):  # kills from outside, while all of them run
        for number in operations.entries:
            operations._resume(number, 200)
    operations.live()

    assert operations.reverted == set()
    assert operations.rounds == 4
