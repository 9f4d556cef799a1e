# SPDX-License-Identifier: Apache-2.0
"""From a message to the end of its operation: intake, slots, order, threads, stop."""

from __future__ import annotations

import functools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from unittest.mock import Mock

import pytest
from taskflow import states
from taskflow.flow import Flow
from taskflow.patterns import linear_flow

from flows.errors import (
    FlowError,
    InvalidVolume,
    OperationCancelled,
    OperationDeferred,
    ProcessStopping,
)
from flows.factories import registered
from flows.lifecycle import Step
from tests import messages
from tests.messages import answer
from tests.unit.flows.world.world import World
from worker.execution.concurrency import Limiter
from worker.execution.executor import Executor
from worker.execution.intake import Intake
from worker.execution.operator_requests import RequestHandler, RequestRefused
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.pools.pool_limits import PoolSize, WaitingLimits
from worker.execution.pools.thread_pool import ThreadPool
from worker.execution.rejections.rejected import RejectedMessages
from worker.execution.rejections.retried import MessageRetry
from worker.execution.resource_queue import ResourceQueue
from worker.execution.retry import JournalRetry
from worker.execution.slot_journal import SlotJournal
from worker.execution.timeouts import OperationTimeouts
from worker.journal.errors import JournalRefused, JournalUnavailable
from worker.journal.journal import Journal
from worker.locks import Locks
from worker.rpc.dispatch import Dispatcher, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

SLOT = "h1@b1/0"
WAIT = 20.0


class Gate:
    """Notes each operation that runs, and holds those that are named."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.reverted: list[str] = []
        self.held: dict[str, threading.Event] = {}

    def reset(self) -> None:
        for notes in (self.ran, self.reverted, self.held):
            notes.clear()

    def hold(self, name: str) -> threading.Event:
        """Return the event that lets an operation of that name go on."""
        self.held[name] = threading.Event()
        return self.held[name]

    def pass_by(self, name: str) -> None:
        self.ran.append(name)
        if name in self.held:
            assert self.held[name].wait(WAIT)


GATE = Gate()


class Note(Step):
    """Notes its operation. Idempotent: it changes nothing."""

    default_provides = "result"

    def execute(self, ctx: Any, name: str) -> str:
        GATE.pass_by(name)
        if name.startswith("bad"):
            raise InvalidVolume(f"{name} is bad")
        return name

    def revert(self, ctx: Any, name: str) -> None:
        GATE.reverted.append(name)


class Last(Step):
    """Ends the operation. Idempotent: it changes nothing."""

    def execute(self, ctx: Any) -> None: ...


class Wait(Step):
    """Waits for the operation on a volume. Idempotent: it changes nothing."""

    bookkeeping = True

    def execute(self, ctx: Any, other: str) -> None:
        if not ctx.deferrals:
            raise OperationDeferred(other)


@registered
def wait_for() -> Flow:
    return linear_flow.Flow("wait_for").add(Last("first"), Wait("wait"), Note("note"), Last("last"))


@registered
def note() -> Flow:
    return linear_flow.Flow("note").add(Note("note"), Last("last"))


class Endpoint:
    @exposed("3.0")
    def note(self, request: RequestContext, name: str, volume: str = "v1") -> Operation:
        return Operation(note, ("volume", volume), {"name": name}, exclusive=(volume,))

    @exposed("3.0")
    def wait_for(self, request: RequestContext, name: str, other: str) -> Operation:
        args = {"name": name, "other": other}
        return Operation(wait_for, ("volume", name), args, exclusive=(name,))

    @exposed("3.0")
    def transfer(self, request: RequestContext, name: str) -> Operation:
        return replace(self.note(request, name, name), moves_data=True)

    @exposed("3.0")
    def ask(self, request: RequestContext, name: str) -> Operation:
        return replace(self.note(request, name, name), answer=str.upper, when_interrupted="revert")

    @exposed("3.0", quick=True)
    def quick(self, request: RequestContext, name: str) -> Operation:
        return self.note(request, name, name)

    @exposed("3.0", journalled=False)
    def direct(self, request: RequestContext, name: str) -> str:
        GATE.pass_by(name)
        return name


class Bench:
    """The execution of one process, over a real journal and real locks."""

    def __init__(
        self,
        world: World,
        folder: Path,
        most_bytes: int = 1 << 20,
        threads: int = 2,
        places: Limiter | None = None,
    ) -> None:
        self.journal = Journal(f"sqlite:///{folder}/journal.sqlite")
        self.journal.upgrade()
        self.locks = Locks(f"file://{folder}", "test")
        self.locks.start()
        self.stopping = threading.Event()
        retry = JournalRetry(self.stopping)
        own = SlotJournal(self.journal, retry, SLOT)
        executor = Executor(
            self.journal,
            retry,
            lambda _request, resumed: world.context(resumed),
            places or Limiter(),
            max_resumes=lambda: 3,
            timeouts=OperationTimeouts(),
        )
        self.operations = OperationPool(
            executor,
            own,
            ResourceQueue(self.locks, self.stopping),
            size=PoolSize(threads, data_transfers=1),
            limits=WaitingLimits(most=4, per_resource=2, most_bytes=most_bytes),
            stopping=self.stopping,
        )
        rejected = RejectedMessages(own, lambda: 100)
        dispatcher = Dispatcher([Endpoint()], "3.0")
        self.intake = Intake(dispatcher, own, self.operations, rejected, stopping=self.stopping)
        self.requests = RequestHandler(self.journal, retry, self.operations)
        self.messages = MessageRetry(own, self.operations, dispatcher)
        self.taken: list[str] = []
        """The casts that were acknowledged."""

    def cast(
        self, method: str, unique_id: str | None = None, project: str = "", **args: Any
    ) -> str:
        """Cast a message and return its unique id, which is the flow's as well."""
        unique_id = unique_id or str(uuid.uuid4())
        message = {"method": method, "version": "3.0", "args": args, "_unique_id": unique_id}
        taken = functools.partial(self.taken.append, unique_id)
        context = {"request_id": "req-1", "project_id": project}
        messages.cast(self.intake, message, context, taken)
        return unique_id

    def reject(self, message: dict[str, Any], context: dict[str, Any]) -> None:
        """Cast a message that is no operation."""
        messages.cast(self.intake, message, context, lambda: None)

    def begin(
        self, method: str, size: int = 0, timeout: float | None = None, **args: Any
    ) -> SimpleQueue[Any]:
        """Begin a call and return the queue in which its reply will be."""
        message = {"method": method, "version": "3.0", "args": args}
        return messages.begin(self.intake, message, {}, size=size, timeout=timeout)

    def call(self, method: str, timeout: float | None = None, **args: Any) -> Any:
        return answer(self.begin(method, timeout=timeout, **args))

    def state(self, flow: str) -> str:
        return str(self.journal.load(flow).state)

    def ended(self, flow: str, state: str = states.SUCCESS) -> None:
        until(lambda: self.state(flow) == state)

    def close(self) -> None:
        for event in GATE.held.values():
            event.set()
        assert self.operations.stop(WAIT)
        self.locks.stop()
        self.journal.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    GATE.reset()
    made = Bench(World(tmp_path), tmp_path)
    made.operations.resumed.start()
    yield made
    made.close()


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """A function that makes a bench whose waiting operations may have so many bytes."""
    made: list[Bench] = []

    def make(most_bytes: int, threads: int = 2, places: Limiter | None = None) -> Bench:
        GATE.reset()
        made.append(Bench(World(tmp_path), tmp_path, most_bytes, threads, places))
        made[0].operations.resumed.start()
        return made[0]

    yield make
    made[0].close()


class TestCastsOfACluster:
    """Another host can take them, so they wait here only where they could not run there."""

    def test_one_is_admitted_while_a_thread_is_free(self, bench: Bench) -> None:
        holds = [GATE.hold(name) for name in "ab"]
        other = Operation(note, ("volume", "v3"), {"name": "c"}, exclusive=("v3",))
        same = Operation(note, ("volume", "v1"), {"name": "d"}, exclusive=("v1",))
        assert bench.operations.admits(other, True)
        flows = [bench.cast("note", name=name, volume=f"v{n}") for n, name in enumerate("ab", 1)]
        until(lambda: set(GATE.ran) == {"a", "b"})

        assert not bench.operations.admits(other, True)
        assert bench.operations.admits(other, False)
        assert bench.operations.admits(same, True)  # its volume is locked for the others
        bench.operations.capacity_freed.clear()
        assert not bench.operations.admits(other, True)
        for hold in holds:
            hold.set()
        for flow in flows:
            bench.ended(flow)
        until(lambda: bench.operations.admits(other, True))
        assert bench.operations.capacity_freed.is_set()


class TestCasts:
    def test_it_runs_and_ends_in_the_journal(self, bench: Bench) -> None:
        flow = bench.cast("note", name="a")

        bench.ended(flow)
        assert GATE.ran == ["a"]

    def test_messages_without_an_id_are_no_copies_of_each_other(self, bench: Bench) -> None:
        message = {"method": "note", "version": "3.0"}
        for name in ("a", "b"):
            messages.cast(bench.intake, {**message, "args": {"name": name}}, {}, lambda: None)

        until(lambda: sorted(GATE.ran) == ["a", "b"])

    def test_a_message_that_is_delivered_twice_runs_once(self, bench: Bench) -> None:
        flow = bench.cast("note", name="a")
        bench.cast("note", flow, name="a")

        bench.ended(flow)
        assert GATE.ran == ["a"]

    def test_one_resource_has_one_operation_at_a_time_in_order(self, bench: Bench) -> None:
        go = GATE.hold("a")
        flows = [bench.cast("note", name=name) for name in "abc"]
        bench.ended(bench.cast("note", name="other", volume="v2"))
        assert GATE.ran == ["a", "other"]
        go.set()

        for flow in flows:
            bench.ended(flow)
        assert [name for name in GATE.ran if name != "other"] == ["a", "b", "c"]

    def test_a_message_that_no_endpoint_accepts_is_kept(self, bench: Bench) -> None:
        bench.cast("unknown")
        bench.cast("note")

        entries = bench.journal.entries(rejected=True)
        assert {entry.method for entry in entries} == {"unknown", "note"}

    def test_a_call_that_starts_no_flow_runs_on_a_thread(self, bench: Bench) -> None:
        go = GATE.hold("d")
        bench.cast("direct", name="d")
        until(lambda: GATE.ran == ["d"])
        go.set()

        assert bench.journal.entries() == []


class TestDeferredOperations:
    def waiting(self, bench: Bench) -> tuple[threading.Event, str, list[str]]:
        """Have three operations wait for one, whose gate is returned, beside their flows."""
        go = GATE.hold("a")
        first = bench.cast("note", name="a")
        until(lambda: GATE.ran == ["a"])
        flows = [bench.cast("wait_for", name=name, other="v1") for name in ("w1", "w2", "w3")]
        for flow in flows:
            bench.ended(flow, states.SUSPENDED)
        return go, first, flows

    def test_one_that_cannot_wait_for_another_leaves_its_resource_to_others(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bench.journal, "load", Mock(side_effect=JournalRefused("torn")))
        bench.cast("wait_for", name="w1", other="v1")
        until(lambda: not bench.operations.runs())
        monkeypatch.undo()

        bench.ended(bench.cast("note", name="after", volume="w1"))

    def test_they_hold_no_thread_and_keep_their_turn(self, bench: Bench) -> None:
        go, _first, flows = self.waiting(bench)
        behind = bench.cast("note", name="behind", volume="w1")
        bench.ended(bench.cast("note", name="other", volume="v2"))
        assert GATE.ran == ["a", "other"]
        go.set()

        for flow in (*flows, behind):
            bench.ended(flow)
        assert sorted(GATE.ran[2:]) == ["behind", "w1", "w2", "w3"]
        assert GATE.ran.index("w1") < GATE.ran.index("behind")
        assert [bench.journal.load(flow).meta["resumes"] for flow in flows] == [0, 0, 0]

    def test_one_that_is_cancelled_meanwhile_is_reverted(self, bench: Bench) -> None:
        go, _first, flows = self.waiting(bench)
        bench.requests.cancel(flows[0])
        go.set()

        bench.ended(flows[0], states.REVERTED)
        bench.ended(flows[1])

    def test_they_resume_after_a_restart(self, bench: Bench, tmp_path: Path) -> None:
        go, first, flows = self.waiting(bench)
        bench.operations.suspend()
        go.set()
        until(lambda: bench.operations.find(first) is None)
        following = Bench(World(tmp_path), tmp_path)
        following.operations.resumed.load_unfinished()
        following.operations.resumed.start()

        for flow in (first, *flows):
            following.ended(flow)
        following.close()


class TestLanes:
    def test_one_that_waits_for_its_turn_needs_no_thread(self, bench: Bench) -> None:
        go = GATE.hold("a")
        flows = [bench.cast("note", name=name) for name in "abc"]
        others = [bench.cast("note", name=name, volume=name) for name in ("x", "y", "z")]

        for flow in others:
            bench.ended(flow)
        assert [name for name in GATE.ran if name in "abc"] == ["a"]
        go.set()
        for flow in flows:
            bench.ended(flow)

    def test_no_kind_waits_behind_another(self, bench: Bench) -> None:
        names = ("s1", "s2", "t1")
        gates = [GATE.hold(name) for name in names]
        slow = [bench.cast("note", name=name, volume=name) for name in ("s1", "s2", "s3")]
        moving = [bench.cast("transfer", name=name) for name in ("t1", "t2")]
        until(lambda: set(names) <= set(GATE.ran))
        bench.ended(bench.cast("quick", name="q"))

        assert bench.call("ask", name="c") == "C"
        assert not {"s3", "t2"} & set(GATE.ran)
        for gate in gates:
            gate.set()
        for flow in (*slow, *moving):
            bench.ended(flow)

    def test_a_resource_that_many_wait_for_lets_others_pass(self, bench: Bench) -> None:
        go = GATE.hold("a")
        flows = [bench.cast("note", name=name) for name in "abcde"]
        other = bench.cast("note", name="other", volume="v2")
        bench.ended(other)
        assert bench.taken == [*flows[:3], other]  # one runs, two wait, two are not taken
        go.set()
        until(lambda: bench.operations.capacity_freed.is_set())
        until(lambda: bench.intake._casts.process() or bench.intake.is_empty)

        for flow in flows:
            bench.ended(flow)
        assert [name for name in GATE.ran if name != "other"] == list("abcde")

    def test_no_more_wait_than_the_limit(self, bench: Bench) -> None:
        gates = [GATE.hold(name) for name in ("a0", "a1")]
        flows = [bench.cast("note", name=f"a{n}", volume=f"v{n}") for n in range(8)]
        until(lambda: len(GATE.ran) == 2)
        bench.intake._casts.process()
        assert bench.taken == flows[:6]  # two run, four wait
        bench.ended(bench.cast("quick", name="q"))
        for gate in gates:
            gate.set()
        until(lambda: bench.intake._casts.process() or bench.intake.is_empty)

        for flow in flows:
            bench.ended(flow)

    def test_no_more_bytes_wait_than_the_limit(self, bench_of: Callable[..., Bench]) -> None:
        bench, large = bench_of(60_000), random.Random(1).randbytes(30_000).hex()
        gates = [GATE.hold(name) for name in ("a0", "a1")]
        running = [bench.cast("note", name=name, volume=name) for name in ("a0", "a1")]
        until(lambda: len(GATE.ran) == 2)
        flows = [bench.cast("note", name=f"{large}{n}", volume=f"v{n}") for n in range(4)]
        assert bench.taken == [*running, *flows[:2]]  # by their number, all might wait
        bench.ended(bench.cast("quick", name="q"))  # another kind
        for gate in gates:
            gate.set()
        until(lambda: bench.intake._casts.process() or bench.intake.is_empty)

        for flow in flows:
            bench.ended(flow)

    def test_a_project_without_operations_exceeds_the_limits_by_a_few(
        self, bench_of: Callable[..., Bench]
    ) -> None:
        bench = bench_of(1 << 20, 8)  # one further thread, and four may wait
        gates = [GATE.hold(f"a{n}") for n in range(8)]
        flood = [bench.cast("note", project="p1", name=f"a{n}", volume=f"v{n}") for n in range(15)]
        slow = dict(bench.operations.threads())["casts"]
        until(lambda: bench.intake._casts.process() or slow.counts[:2] == (8, 4))
        assert bench.taken == flood[:12]

        few = [bench.cast("note", project="p2", name=f"b{n}", volume=f"w{n}") for n in range(2)]
        assert bench.taken == [*flood[:12], few[0]]
        for gate in gates:
            gate.set()
        until(lambda: bench.intake._casts.process() or bench.intake.is_empty)
        for flow in [*flood, *few]:
            bench.ended(flow)
        until(lambda: not bench.operations.runs() and not bench.operations._runs.of("p1"))

    def test_those_that_wait_for_a_place_to_run_stay_packed(
        self, bench_of: Callable[..., Bench]
    ) -> None:
        places = Limiter(1, 0)
        bench = bench_of(1 << 20, threads=4, places=places)
        with places.running():
            flows = [bench.cast("note", name=name, volume=name) for name in "abc"]
            until(lambda: places.waiting == 3)
            runs = [bench.operations.find(flow) for flow in flows]
            assert [bool(run and run.operation.args) for run in runs] == [True, False, False]

        for flow in flows:
            bench.ended(flow)
        assert sorted(GATE.ran) == ["a", "b", "c"]

    def test_one_that_was_packed_runs_with_its_arguments(self, bench: Bench) -> None:
        go = GATE.hold("a")
        bench.cast("note", name="a")
        flow = bench.cast("note", name="b")
        run = bench.operations.find(flow)
        assert run is not None and not run.operation.args and run.flow == flow
        go.set()

        bench.ended(flow)
        assert GATE.ran == ["a", "b"]


def test_an_operation_on_whose_resource_another_process_works_waits_for_its_lock(
    bench: Bench, tmp_path: Path
) -> None:
    other = Locks(f"file://{tmp_path}", "other")
    other.start()
    with other.held(["v1"]):
        flow = bench.cast("note", name="v1")
        until(lambda: [run.waits_for for run in bench.operations.runs()] == ["lock"])
        assert bench.locks.held_names() == {"v1": (0, 1)}
        call = bench.begin("ask", name="v2")
        assert answer(call) == "V2"
    bench.ended(flow)
    other.stop()

    until(lambda: not bench.operations.runs())


class TestCalls:
    def test_the_answer_is_made_of_the_result(self, bench: Bench) -> None:
        assert bench.call("ask", name="a") == "A"

    def test_a_failure_is_raised(self, bench: Bench) -> None:
        with pytest.raises(InvalidVolume, match="bad is bad"):
            bench.call("ask", name="bad")
        assert GATE.reverted == ["bad"]

    def test_it_waits_for_its_turn(self, bench: Bench) -> None:
        go = GATE.hold("v1")
        bench.cast("note", name="v1")
        until(lambda: GATE.ran == ["v1"])
        reply = bench.begin("ask", name="v1")
        go.set()

        assert answer(reply) == "V1"

    def test_many_that_wait_for_one_resource_hold_no_thread(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.operations.calls._pool = ThreadPool("call", 1, 10, 10)
        go = GATE.hold("v1")
        bench.cast("note", name="v1")
        until(lambda: GATE.ran == ["v1"])
        waiting = [bench.begin("ask", name="v1") for _ in range(3)]
        assert bench.call("ask", name="v2") == "V2"
        go.set()

        assert [answer(reply) for reply in waiting] == ["V1"] * 3

    def test_too_many_bytes_that_wait_are_refused(self, bench_of: Callable[..., Bench]) -> None:
        bench = bench_of(100)
        go = GATE.hold("v1")
        bench.cast("note", name="v1")
        until(lambda: GATE.ran == ["v1"])
        waiting = [bench.begin("ask", size=60, name="v1") for _ in range(2)]
        until(lambda: len(bench.operations.calls._waiting) == 2)
        with pytest.raises(FlowError, match="too many calls wait"):
            bench.call("ask", name="v2")
        go.set()

        assert [answer(reply) for reply in waiting] == ["V1"] * 2
        assert bench.call("ask", name="v2") == "V2"

    def test_they_are_counted_by_the_reason_for_which_they_wait(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = bench.operations.calls
        monkeypatch.setattr(calls, "_pool", ThreadPool("call", 1, 10, 10))
        go, gone = GATE.hold("v1"), GATE.hold("v2")
        bench.cast("note", name="v1")
        until(lambda: GATE.ran == ["v1"])
        replies = [bench.begin("ask", name="v1")]
        until(lambda: calls.waiting() == {("ask", "turn"): 1})
        replies.append(bench.begin("ask", name="v2"))
        until(lambda: GATE.ran == ["v1", "v2"])
        replies.append(bench.begin("ask", name="v3"))
        assert calls.waiting() == {("ask", "turn"): 1, ("ask", "thread"): 1}
        gone.set()
        go.set()

        assert [answer(reply) for reply in replies] == ["V1", "V2", "V3"]
        assert +calls.waiting() == {}

    def test_one_that_was_not_begun_before_the_stop_is_an_error(self, bench: Bench) -> None:
        go = GATE.hold("v1")
        bench.cast("note", name="v1")
        until(lambda: GATE.ran == ["v1"])
        reply = bench.begin("ask", name="v1")
        until(lambda: bool(bench.operations.calls._waiting))
        assert not bench.operations.stop(0)
        go.set()

        with pytest.raises(ProcessStopping):
            answer(reply)


class TestStop:
    def test_the_thread_that_accepts_casts_ends(self, bench: Bench) -> None:
        bench.intake.start()
        (thread,) = [one for one in threading.enumerate() if one.name == "casts"]
        bench.operations.close()

        thread.join(WAIT)
        assert not thread.is_alive()

    def test_the_rest_is_suspended_and_resumed_by_the_next_process(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        go = GATE.hold("a")
        running, waiting = bench.cast("note", name="a"), bench.cast("note", name="b")
        until(lambda: GATE.ran == ["a"])
        assert not bench.operations.stop(0)
        go.set()
        until(lambda: bench.operations.find(running) is None)

        assert bench.state(running) == states.SUSPENDED
        assert bench.state(waiting) == states.PENDING
        again = Bench(World(tmp_path), tmp_path)
        assert again.operations.resumed.load_unfinished() == 2
        again.operations.resumed.start()
        again.ended(running)
        again.ended(waiting)
        again.close()

    def test_an_operation_that_hangs_in_the_driver_is_left_as_suspended(self, bench: Bench) -> None:
        flow = self._held_after_a_resume(bench)
        assert bench.state(flow) == states.RUNNING
        assert not bench.operations.stop(0)

        assert bench.state(flow) == states.SUSPENDED

    def test_a_stop_ends_without_the_journal(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def suspend(_slot: str) -> None:
            raise JournalUnavailable("away")

        monkeypatch.setattr(bench.journal, "suspend", suspend)
        flow = self._held_after_a_resume(bench)
        assert not bench.operations.stop(0)

        assert bench.state(flow) == states.RUNNING
        assert f"the stop of {SLOT} cannot be noted" in caplog.text

    @staticmethod
    def _held_after_a_resume(bench: Bench) -> str:
        """Return a flow that hangs in its first step."""
        GATE.hold("a")
        operation = Operation(note, ("volume", "v1"), {"name": "a"})
        detail = bench.journal.accept(uuid.uuid4().hex, SLOT, operation)
        assert detail is not None
        bench.operations.resumed.load_unfinished()
        until(lambda: GATE.ran == ["a"])
        return str(detail.uuid)


class TestOperators:
    def test_a_waiting_operation_is_cancelled_without_running(self, bench: Bench) -> None:
        go = GATE.hold("a")
        bench.cast("note", name="a")
        flow = bench.cast("note", name="b")
        assert bench.requests.cancel(flow)
        go.set()

        bench.ended(flow, states.REVERTED)
        assert GATE.ran == ["a"]
        assert "cancelled" in bench.journal.entries(beginning=flow)[0].failure

    def test_a_failed_operation_is_run_again(self, bench: Bench) -> None:
        flow = bench.cast("note", name="bad")
        bench.ended(flow, states.REVERTED)
        until(lambda: bench.operations.find(flow) is None)
        assert bench.requests.resume(flow)

        until(lambda: GATE.ran == ["bad", "bad"])
        bench.ended(flow, states.REVERTED)

    def test_what_has_ended_is_refused(self, bench: Bench) -> None:
        flow = bench.cast("note", name="a")
        bench.ended(flow)
        until(lambda: bench.operations.find(flow) is None)

        for request in (bench.requests.cancel, bench.requests.revert, bench.requests.resume):
            with pytest.raises(RequestRefused, match="ended"):
                request(flow)

    def test_an_operation_whose_caller_has_gone_is_not_run_again(self, bench: Bench) -> None:
        with pytest.raises(InvalidVolume):
            bench.call("ask", name="bad")
        (entry,) = bench.journal.entries()
        until(lambda: bench.operations.find(entry.flow) is None)

        with pytest.raises(RequestRefused, match="caller .* is gone"):
            bench.requests.resume(entry.flow)

    def test_the_reason_of_a_cancellation_survives_a_restart(self, bench: Bench) -> None:
        go = GATE.hold("a")
        bench.cast("note", name="a")
        flow = bench.cast("note", name="b")
        bench.requests.cancel(flow)
        run = bench.operations.find(flow)
        assert run is not None and isinstance(run.cancelled, OperationCancelled)
        assert bench.journal.load(flow).meta["undo"] == "cancelled by an operator"
        go.set()
        bench.ended(flow, states.REVERTED)
