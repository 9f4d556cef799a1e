# SPDX-License-Identifier: Apache-2.0
"""An interrupted operation is resumed; too often: reverted; and then without its driver."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from taskflow import states
from taskflow.flow import Flow
from taskflow.patterns import linear_flow

from drivers.interface.errors import VolumeBackendAPIException
from flows.engine.flow_run import Outcome
from flows.errors import OperationCancelled, ProcessStopping
from flows.factories import registered
from flows.lifecycle import Step
from tests.unit.flows.world.world import World
from worker import outage_log
from worker.execution import retry
from worker.execution.concurrency import Limiter
from worker.execution.executor import Executor
from worker.execution.retry import JournalRetry
from worker.execution.runs.operation_run import OperationRun
from worker.execution.timeouts import OperationTimeouts
from worker.journal.errors import JournalRefused, JournalUnavailable
from worker.journal.journal import Journal
from worker.outage_log import OutageLog
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

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


@registered
def two() -> Flow:
    return linear_flow.Flow("two").add(First("first"), Second("second"))


@pytest.fixture(autouse=True)
def _clean() -> None:
    SEEN.clear()


class Backend:
    """A backend whose driver notes its calls."""

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

        self.executor = Executor(
            self.journal,
            JournalRetry(self.stopping),
            contexts,
            Limiter(),
            max_resumes=lambda: max_resumes,
            timeouts=OperationTimeouts(),
        )

    def accepted(self, **more: Any) -> OperationRun:
        request = RequestContext({"request_id": "req-1"})
        given = {"resource": ("volume", "v1"), "method": "two", "request": request, **more}
        operation = Operation(two, args={}, **given)
        detail = self.journal.accept(uuid.uuid4().hex, "slot", operation)
        assert detail is not None
        return OperationRun(operation, detail)

    def interrupted(self, run: OperationRun, times: int) -> OperationRun:
        for _ in range(1 + times if times else 0):  # whether it had begun is not known at first
            self.executor._choose_direction(self.resumed(run))
        return self.resumed(run)

    def resumed(self, run: OperationRun, group_size: int = 1) -> OperationRun:
        detail = self.journal.load(run.flow)
        return OperationRun(run.operation, detail, resumed=True, group_size=group_size)

    def run(self, run: OperationRun) -> Outcome:
        return self.executor.run(run, lambda run: None)


@pytest.fixture
def bench(world: World, tmp_path: Path) -> Bench:
    return Bench(world, tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def state_of(bench: Bench, run: OperationRun) -> str:
    return str(bench.journal.load(run.flow).state)


def test_it_runs_and_is_noted_as_done(bench: Bench) -> None:
    run = bench.accepted()

    assert bench.run(run).state == "done"
    assert SEEN == ["first", "second"]
    assert state_of(bench, run) == states.SUCCESS


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
    run = bench.interrupted(bench.accepted(), times)
    bench.run(run)

    assert bench.backend.asked == asked
    assert state_of(bench, run) == state


def test_what_was_resumed_in_company_is_not_taken_for_the_cause(bench: Bench) -> None:
    run = bench.accepted()
    for _ in range(10):
        bench.executor._choose_direction(bench.resumed(run, group_size=2))
    bench.executor._choose_direction(alone := bench.resumed(run))
    assert alone.revert is None

    bench.run(bench.resumed(run))
    assert state_of(bench, run) == states.REVERTED


def test_reverts_that_were_decided_on_are_tried_as_often_with_the_driver(bench: Bench) -> None:
    run = bench.accepted()
    for _ in range(10):
        bench.executor._choose_direction(bench.resumed(run, group_size=2))
    bench.executor._choose_direction(bench.resumed(run))
    tries = []
    for _ in range(5):
        bench.executor._choose_direction(tried := bench.resumed(run))
        tries.append((tried.revert is not None, tried.calls_driver))

    assert tries == 4 * [(True, True)] + [(True, False)]


def test_what_nobody_waits_for_is_undone(bench: Bench) -> None:
    run = bench.interrupted(bench.accepted(when_interrupted="revert"), 0)
    bench.run(run)

    assert "second" not in SEEN
    assert state_of(bench, run) == states.REVERTED


@pytest.mark.parametrize(
    ("second", "repeated"),
    [
        ({}, True),
        ({"request": RequestContext({"request_id": "req-2"})}, False),
        ({"resource": ("volume", "v2")}, False),
        ({"method": "three"}, False),
    ],
    ids=["the same", "another request", "another volume", "another method"],
)
def test_a_call_is_repeated_by_the_same_request_for_the_same(
    bench: Bench, second: dict[str, Any], repeated: bool
) -> None:
    first = bench.interrupted(bench.accepted(when_interrupted="revert"), 0)
    bench.run(bench.accepted(when_interrupted="revert", **second))
    bench.run(first)

    assert first.repeated is repeated


def test_a_repetition_that_has_not_ended_is_none(bench: Bench) -> None:
    first = bench.interrupted(bench.accepted(when_interrupted="revert"), 0)
    bench.accepted(when_interrupted="revert")
    bench.run(first)

    assert not first.repeated


def test_a_suspension_does_not_count(bench: Bench) -> None:
    run = bench.accepted()
    for _ in range(10):
        detail = bench.journal.load(run.flow)
        detail.state = states.SUSPENDED
        assert bench.journal.count_interruption(detail) == 0


def test_what_is_cancelled_before_it_begins_asks_nothing(bench: Bench) -> None:
    run = bench.accepted()
    bench.executor.cancel(run, OperationCancelled("an operator"))

    outcome = bench.run(run)

    assert outcome.failure is not None and outcome.failure.check(OperationCancelled)
    assert bench.backend.asked == []
    assert SEEN == ["undo first"]


@pytest.mark.parametrize("left", [True, False])
def test_an_error_of_a_step_that_the_stop_left_is_none_of_the_operation(
    bench: Bench, left: bool
) -> None:
    run = bench.accepted()

    def create(volume: Any) -> None:
        if left:
            bench.executor.abandon()
            raise AttributeError("the connection pool is closed")
        try:
            raise ProcessStopping("the service stops")
        except ProcessStopping:
            raise AttributeError("the connection pool is closed")  # noqa: B904 - as a cleanup does

    bench.backend.create_volume = create  # type: ignore[method-assign]
    with pytest.raises(ProcessStopping):
        bench.run(run)

    assert state_of(bench, run) not in (states.REVERTED, states.FAILURE)
    assert "undo first" not in SEEN


def test_a_checkpoint_is_in_the_journal_at_once(bench: Bench) -> None:
    run = bench.accepted()

    def create(volume: Any) -> None:
        bench.executor._running[run.flow]._note_checkpoint(0.25)
        raise ProcessStopping("killed after a checkpoint")

    bench.backend.create_volume = create  # type: ignore[method-assign]
    with pytest.raises(ProcessStopping):
        bench.run(run)

    saved = {atom.name: atom.meta.get("saved") for atom in bench.journal.load(run.flow)}
    assert saved == {"first": None, "second": 0.25}


def test_a_bug_is_tried_again_and_undone_in_the_end(
    bench: Bench,
) -> None:
    run, tries = bench.accepted(), []
    whole = bench.executor._contexts

    def broken(request: Any, resumed: bool) -> Any:
        tries.append(resumed)
        if len(tries) < 3:
            raise RuntimeError("a bug")
        return whole(request, resumed)

    bench.executor._contexts = broken
    assert bench.run(run).state == "done"
    assert len(tries) == 3


def test_nothing_begins_when_we_stop(bench: Bench) -> None:
    run = bench.accepted()
    bench.executor.close()

    with pytest.raises(ProcessStopping):
        bench.run(run)
    assert SEEN == []
    assert state_of(bench, run) == states.PENDING


def test_a_failure_keeps_what_was_left(bench: Bench) -> None:
    def refuses(volume: Any) -> None:
        raise VolumeBackendAPIException("out of order")

    bench.backend.create_volume = refuses  # type: ignore[method-assign]
    bench.backend.delete_volume = refuses  # type: ignore[method-assign]
    run = bench.accepted()
    outcome = bench.run(run)

    assert outcome.revert_failures == {"second": "VolumeBackendAPIException: out of order"}
    assert state_of(bench, run) == states.FAILURE
    assert "undo first" in SEEN


class TestPatience:
    def test_it_asks_until_there_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retry, "RETRY_FIRST", 0.01)
        answers = [JournalUnavailable("away"), JournalUnavailable("away"), 7]

        def ask() -> int:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert JournalRetry(threading.Event()).until_available(ask) == 7

    def test_it_ends_when_we_stop(self) -> None:
        stopping = threading.Event()
        stopping.set()

        def ask() -> None:
            raise JournalUnavailable("away")

        with pytest.raises(ProcessStopping):
            JournalRetry(stopping).until_available(ask)


def test_an_absence_is_told_once_by_many(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(outage_log, "time", SimpleNamespace(monotonic=lambda: now))
    caplog.set_level(logging.INFO)
    absence = OutageLog("the thing", logging.getLogger("x"), "thing")
    for _ in range(5):
        absence.begin("no answer")
    now += 2.5
    for _ in range(5):
        absence.end()

    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert texts[0] == "the thing is away: no answer"
    assert texts[1] == "the thing is back after 2.5 s"


class Long(Step):
    """Provides a result that is as long as the test wants."""

    default_provides = "long"

    def execute(self, ctx: Any, length: int) -> str:
        SEEN.append("long")
        return "x" * length

    def revert(self, ctx: Any) -> None:
        SEEN.append("undo long")


@registered
def long() -> Flow:
    return linear_flow.Flow("long").add(First("first"), Long("long"), Second("second"))


def long_run(bench: Bench, length: int) -> OperationRun:
    request = RequestContext({"request_id": "req-1"})
    args = {"length": length}
    operation = Operation(long, ("volume", "v1"), args, method="long", request=request)
    detail = bench.journal.accept(uuid.uuid4().hex, "slot", operation)
    assert detail is not None
    return OperationRun(operation, detail)


class TestRefusedProgress:
    @pytest.fixture(autouse=True)
    def _small(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.journal._statements.limit.longest = 60_000
        monkeypatch.setattr(retry, "RETRY_FIRST", 0.01)

    def test_an_operation_whose_result_is_not_stored_is_reverted(self, bench: Bench) -> None:
        run = long_run(bench, 70_000)
        outcome = bench.run(run)

        assert outcome.state == "failed"
        assert SEEN == ["first", "long", "undo second", "undo long", "undo first"]
        assert state_of(bench, run) == states.REVERTED
        assert "cannot be stored" in str(bench.journal.entries()[0].failure)

    def test_one_that_is_stored_goes_on(self, bench: Bench) -> None:
        assert bench.run(long_run(bench, 7_000)).state == "done"

    @pytest.mark.parametrize("method", ["create_volume", "delete_volume"])
    @pytest.mark.parametrize(
        "text", ["x" * 1_000_000, "\0" * 70_000, "\ud800" * 70_000, "\U0001f600" * 70_000]
    )
    def test_errors_of_a_driver_of_any_length(self, bench: Bench, method: str, text: str) -> None:
        def refuses(volume: Any) -> None:
            bench.backend.asked.append(method)
            raise VolumeBackendAPIException(text)

        bench.backend.create_volume = refuses  # type: ignore[method-assign]
        if method == "delete_volume":
            bench.backend.delete_volume = refuses  # type: ignore[method-assign]
        run = bench.accepted()
        outcome = bench.run(run)

        assert outcome.state == "failed"
        assert "undo first" in SEEN
        wanted = states.REVERTED if method == "create_volume" else states.FAILURE
        assert state_of(bench, run) == wanted
        assert len(bench.backend.asked) == 2

    def test_an_outcome_stands_though_its_last_progress_is_refused(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain, tries = bench.journal.finish, []

        def finish(*args: Any) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise JournalRefused("too long")
            plain(*args)

        monkeypatch.setattr(bench.journal, "finish", finish)
        run = bench.accepted()

        assert bench.run(run).state == "done"
        assert state_of(bench, run) == states.SUCCESS
        assert SEEN == ["first", "second"]


class Waits(threading.Event):
    """Notes the pauses, and makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append(timeout)
        return self.is_set()


class TestPausesBetweenAttempts:
    @pytest.fixture
    def waits(self, bench: Bench) -> Waits:
        waits = Waits()
        bench.executor._journal_retry.stopping = waits
        return waits

    def test_a_journal_that_takes_no_progress_is_asked_less_and_less(
        self, bench: Bench, waits: Waits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain, tries = bench.journal._statements.insert_atoms, []

        def insert(*args: Any) -> None:
            tries.append(1)
            if len(tries) <= 8:
                raise OSError("no space left")
            plain(*args)

        monkeypatch.setattr(bench.journal._statements, "insert_atoms", insert)
        assert bench.run(bench.accepted()).state == "done"
        assert waits.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]

    def test_a_stop_ends_the_pause(self, bench: Bench, waits: Waits) -> None:
        def broken(_request: Any, _resumed: bool) -> Any:
            waits.set()
            raise RuntimeError("a bug")

        bench.executor._contexts = broken
        with pytest.raises(ProcessStopping, match="a bug"):
            bench.run(bench.accepted())

    def test_a_bug_has_an_end(self, bench: Bench, waits: Waits) -> None:
        def broken(_request: Any, _resumed: bool) -> Any:
            raise RuntimeError("a bug")

        bench.executor._contexts = broken
        with pytest.raises(RuntimeError, match="a bug"):
            bench.run(bench.accepted())
        assert waits.pauses[:3] == [0.2, 0.4, 0.8]
        assert len(waits.pauses) < 12
