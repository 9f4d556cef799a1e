# SPDX-License-Identifier: Apache-2.0
"""Interrupted operations are resumed together once, and then one after the other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.execution import resume_pool
from worker.execution.resume_pool import ResumePool


class Runs:
    """Notes who began and who ran beside him."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.beside: dict[str, int] = {}
        self.go = threading.Event()
        self.ended = threading.Semaphore(0)
        self._now = 0
        self._guard = threading.Lock()

    def __call__(self, who: str, waits: bool = False) -> None:
        with self._guard:
            self.began.append(who)
            self._now += 1
            self.beside[who] = self._now
        if waits:
            self.go.wait(5)
        with self._guard:
            self._now -= 1
        self.ended.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.ended.acquire(timeout=5)


def test_nothing_begins_before_the_driver_is_up() -> None:
    resumes, runs = ResumePool(), Runs()
    resumes.submit(0, runs, "a")
    assert runs.began == []
    resumes.start()
    runs.wait(1)
    resumes.submit(0, runs, "b")
    runs.wait(1)

    assert runs.began == ["a", "b"]


def test_those_that_were_cut_short_once_go_on_together() -> None:
    resumes, runs = ResumePool(), Runs()
    for who in "abc":
        resumes.submit(0, runs, who, True)
    resumes.start()
    while len(runs.began) < 3:
        pass
    runs.go.set()
    runs.wait(3)

    assert max(runs.beside.values()) == 3


def test_suspects_go_one_by_one_and_the_least_suspected_first() -> None:
    resumes, runs = ResumePool(), Runs()
    for who, times in (("worst", 3), ("bad", 2), ("first", 1), ("second", 1)):
        resumes.submit(times, runs, who)
    resumes.start()
    runs.wait(4)

    assert runs.began == ["first", "second", "bad", "worst"]
    assert set(runs.beside.values()) == {1}


def test_a_suspect_that_takes_long_does_not_keep_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resume_pool, "SUSPECT_TIME", 0.05)
    resumes, runs = ResumePool(), Runs()
    resumes.submit(1, runs, "long", True)
    resumes.submit(1, runs, "short")
    resumes.start()
    runs.wait(1)
    assert runs.began == ["long", "short"]
    runs.go.set()
    runs.wait(1)


def test_nothing_begins_after_the_end() -> None:
    resumes, runs = ResumePool(), Runs()
    resumes.start()
    resumes.close()
    resumes.submit(0, runs, "a")
    resumes.submit(1, runs, "b")

    assert runs.began == []


@pytest.mark.parametrize("times", [0, 1])
def test_what_has_threads_of_its_kind_goes_on_there(times: int) -> None:
    resumes, ran, pool = ResumePool(), threading.Event(), ThreadPoolExecutor(1, "mine")
    names: list[str] = []

    def work() -> None:
        names.append(threading.current_thread().name)
        ran.set()

    resumes.submit(times, work, pool=pool)
    resumes.start()

    assert ran.wait(5)
    assert names == ["mine_0"]
