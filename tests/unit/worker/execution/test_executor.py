# SPDX-License-Identifier: Apache-2.0
"""What was cut short is resumed; too often: undone; and then without its driver."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from taskflow import states
from taskflow.flow import Flow
from taskflow.patterns import linear_flow

from drivers.interface.errors import VolumeBackendAPIException
from flows.errors import OperationCancelled, ProcessStopping
from flows.lifecycle import Step
from tests.unit.flows.world import World
from worker.execution import retry
from worker.execution.concurrency import Limiter
from worker.execution.executor import Executor, Job
from worker.execution.retry import JournalRetry
from worker.execution.timeouts import OperationTimeouts
from worker.journal.journal import Accepted, Journal
from worker.journal.persistence import JournalError
from worker.outage_log import OutageLog
from worker.rpc.context import RequestContext

SEEN: list[str] = []


class First(Step):
    """Writes that it was there."""

    def execute(self, ctx: Any) -> None:
        SEEN.append("first")

    def revert(self, ctx: Any) -> None:
        SEEN.append("undo first")


class Second(Step):
    """Asks the driver."""

    def execute(self, ctx: Any) -> None:
        SEEN.append("second")
        ctx.driver.create_volume({"id": "v1"})

    def revert(self, ctx: Any) -> None:
        ctx.driver.delete_volume({"id": "v1"})
        SEEN.append("undo second")


def two() -> Flow:
    return linear_flow.Flow("two").add(First("first"), Second("second"))


@pytest.fixture(autouse=True)
def _clean() -> None:
    SEEN.clear()


class Backend:
    """A backend whose driver notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def require_driver(self) -> Any:
        return self

    def create_volume(self, volume: Any) -> None:
        self.asked.append("create")

    def delete_volume(self, volume: Any) -> None:
        self.asked.append("delete")


class Bench:
    """An execution over a real journal."""

    def __init__(self, world: World, folder: Path, max_resumes: int = 3) -> None:
        self.journal = Journal(f"sqlite:///{folder}/journal.sqlite")
        self.journal.upgrade()
        self.backend = Backend()
        self.stopping = threading.Event()

        def contexts(_request: Any, resumed: bool) -> Any:
            return replace(world.context(resumed), backend=self.backend)

        self.execution = Executor(
            self.journal,
            JournalRetry(self.stopping),
            contexts,
            Limiter(),
            max_resumes=lambda: max_resumes,
            limits=OperationTimeouts(),
            take_over=lambda detail: None,
        )

    def job(self, **more: Any) -> Job:
        accepted = Accepted(
            method="two",
            factory=f"{__name__}:two",
            args={},
            request={"request_id": "req-1"},
            resource=("volume", "v1"),
            **more,
        )
        detail = self.journal.accept(uuid.uuid4().hex, "slot", accepted)
        assert detail is not None
        request = RequestContext.from_journal(detail.meta["request"])
        return Job(detail, accepted, request)

    def cut_short(self, job: Job, times: int) -> Job:
        detail = self.journal.load(job.flow)
        for _ in range(times):
            self.journal.resumed(detail)
        return Job(self.journal.load(job.flow), job.accepted, job.request, resumed=True)


@pytest.fixture
def bench(world: World, tmp_path: Path) -> Bench:
    return Bench(world, tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def state_of(bench: Bench, job: Job) -> str:
    return str(bench.journal.load(job.flow).state)


def test_it_runs_and_is_noted_as_done(bench: Bench) -> None:
    job = bench.job()

    assert bench.execution.run(job).state == "done"
    assert SEEN == ["first", "second"]
    assert state_of(bench, job) == states.SUCCESS


@pytest.mark.parametrize(
    ("times", "asked", "state"),
    [
        pytest.param(0, ["create"], states.SUCCESS, id="resumed"),
        pytest.param(2, ["create"], states.SUCCESS, id="the last time"),
        pytest.param(3, [], states.REVERTED, id="undone"),
        pytest.param(7, [], states.REVERTED, id="without the driver"),
    ],
)
def test_how_often_it_may_be_cut_short(
    bench: Bench, times: int, asked: list[str], state: str
) -> None:
    job = bench.cut_short(bench.job(), times)
    bench.execution.run(job)

    assert bench.backend.asked == asked
    assert state_of(bench, job) == state


def test_what_nobody_waits_for_is_undone(bench: Bench) -> None:
    job = bench.cut_short(bench.job(when_cut_short="revert"), 0)
    bench.execution.run(job)

    assert "second" not in SEEN
    assert state_of(bench, job) == states.REVERTED


def test_a_suspension_does_not_count(bench: Bench) -> None:
    job = bench.job()
    for _ in range(10):
        detail = bench.journal.load(job.flow)
        detail.state = states.SUSPENDED
        assert bench.journal.resumed(detail) == 0


def test_what_is_cancelled_before_it_begins_asks_nothing(bench: Bench) -> None:
    job = bench.job()
    bench.execution.cancel(job, OperationCancelled("an operator"))

    outcome = bench.execution.run(job)

    assert outcome.failure is not None and outcome.failure.check(OperationCancelled)
    assert bench.backend.asked == []
    assert SEEN == ["undo first"]


def test_a_bug_is_tried_again_and_undone_in_the_end(
    bench: Bench,
) -> None:
    job, tries = bench.job(), []
    whole = bench.execution._contexts

    def broken(request: Any, resumed: bool) -> Any:
        tries.append(resumed)
        if len(tries) < 3:
            raise RuntimeError("a bug")
        return whole(request, resumed)

    bench.execution._contexts = broken
    assert bench.execution.run(job).state == "done"
    assert len(tries) == 3


def test_nothing_begins_when_we_stop(bench: Bench) -> None:
    job = bench.job()
    bench.execution.close()

    with pytest.raises(ProcessStopping):
        bench.execution.run(job)
    assert SEEN == []
    assert state_of(bench, job) == states.PENDING


def test_a_failure_keeps_what_was_left(bench: Bench) -> None:
    def refuses(volume: Any) -> None:
        raise VolumeBackendAPIException("out of order")

    bench.backend.create_volume = refuses  # type: ignore[method-assign]
    bench.backend.delete_volume = refuses  # type: ignore[method-assign]
    job = bench.job()
    outcome = bench.execution.run(job)

    assert outcome.left == {"second": "VolumeBackendAPIException: out of order"}
    assert state_of(bench, job) == states.FAILURE
    assert "undo first" in SEEN


class TestPatience:
    def test_it_asks_until_there_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retry, "RETRY_FIRST", 0.01)
        answers = [JournalError("away"), JournalError("away"), 7]

        def ask() -> int:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert JournalRetry(threading.Event()).insist(ask) == 7

    def test_it_ends_when_we_stop(self) -> None:
        stopping = threading.Event()
        stopping.set()

        def ask() -> None:
            raise JournalError("away")

        with pytest.raises(ProcessStopping):
            JournalRetry(stopping).insist(ask)


def test_an_absence_is_told_once_by_many(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    absence = OutageLog("the thing", logging.getLogger("x"))
    for _ in range(5):
        absence.begin("no answer")
    time.sleep(0.01)
    for _ in range(5):
        absence.end()

    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert texts[0] == "the thing is away: no answer"
    assert texts[1].startswith("the thing is back after 0.0 s")
