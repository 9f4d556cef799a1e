# SPDX-License-Identifier: Apache-2.0
"""The spans of an operation: parents, attributes, errors, and one trace over its attempts."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from taskflow.flow import Flow
from taskflow.patterns import linear_flow
from taskflow.persistence.models import FlowDetail

from drivers.interface.errors import VolumeBackendAPIException
from flows.engine.flow_run import Outcome
from flows.errors import ProcessStopping
from flows.factories import registered
from flows.lifecycle import Step
from tests.unit.flows.world.world import World
from worker.execution.concurrency import Limiter, blocking
from worker.execution.executor import Executor
from worker.execution.retry import JournalRetry
from worker.execution.runs.operation_run import OperationRun
from worker.execution.timeouts import OperationTimeouts
from worker.journal.entries.insertions import flow_id
from worker.journal.journal import Journal
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext
from worker.spans import traces
from worker.spans.tracer import OtelTracer
from worker.spans.traces import TRACES, TracedOperation

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=b", "baggage": "k=v"}

OPTIONS = SimpleNamespace(queue_size=100, service_name="", sampling_ratio=1.0)


class First(Step):
    """Needs nothing, and is undone in vain."""

    def execute(self, ctx: Any) -> None:
        WIRES.append(ctx.request.to_wire())

    def revert(self, ctx: Any) -> None:
        raise VolumeBackendAPIException("not undone")


class Second(Step):
    """Asks the driver."""

    def execute(self, ctx: Any) -> None:
        ctx.backend.create_volume()

    def revert(self, ctx: Any) -> None:
        """Leave nothing."""


@registered
def traced() -> Flow:
    return linear_flow.Flow("traced").add(First("first"), Second("second"))


WIRES: list[dict[str, Any]] = []


class Driver:
    """A driver that fails as it is told."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def create_volume(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


class Sent:
    """Takes spans as a collector does."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing."""

    def named(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.spans if span.name == name)
        return found


class Bench:
    """An executor, traced, over a journal in a file."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.driver = Driver()
        self.sent = Sent()
        self.begun: list[OtelTracer] = []
        self.begin()

    def begin(self, **options: Any) -> None:
        """Start as a process does."""
        self.tracer = OtelTracer(
            SimpleNamespace(**{**vars(OPTIONS), **options}), "holdfast-volume", "h1/0", self.sent
        )
        self.begun.append(self.tracer)
        TRACES.start(self.tracer)
        self.journal = Journal(f"sqlite:///{self.folder}/journal.sqlite")
        self.journal.upgrade()
        limiter = Limiter()
        driver = blocking(self.driver, limiter, measured=True)

        def contexts(request: Any, resumed: bool) -> Any:
            return replace(self.world.context(resumed), backend=driver, request=request)

        self.executor = Executor(
            self.journal,
            JournalRetry(threading.Event()),
            contexts,
            limiter,
            max_resumes=lambda: 3,
            timeouts=OperationTimeouts(),
        )

    def accepted(self, **wire: str) -> OperationRun:
        request = RequestContext({"request_id": "req-1", "project_id": "p1", **wire})
        operation = Operation(traced, ("volume", "v1"), {}, method="traced", request=request)
        detail = self.journal.accept(uuid.uuid4().hex, "slot", operation)
        assert detail is not None
        return OperationRun(operation, detail)

    def reloaded(self, run: OperationRun) -> OperationRun:
        """Return an operation as the next process finds it."""
        detail = self.journal.load(run.flow)
        return OperationRun(Operation.from_meta(detail.meta), detail, resumed=True)

    def run(self, run: OperationRun) -> None:
        self.executor.run(run, lambda run: None)

    def finish(self) -> Sent:
        self.tracer.close(10)
        return self.sent


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    WIRES.clear()
    made = Bench(World(tmp_path), tmp_path)
    yield made
    for tracer in made.begun:
        tracer.close(10)
    TRACES.start(None)


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return the ids of a span and of its trace."""
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent is not None else ""


def test_spans_continue_the_trace_of_the_sender(bench: Bench) -> None:
    bench.run(bench.accepted(**SENT))
    sent = bench.finish()

    operation = sent.named("traced")
    assert {ids(span)[0] for span in sent.spans} == {TRACE}
    assert parent(operation) == CALLER
    assert [parent(sent.named(task)) for task in ("first", "second")] == [ids(operation)[1]] * 2
    assert parent(sent.named("Driver.create_volume")) == ids(sent.named("second"))[1]
    assert len(sent.spans) == 4
    assert operation.attributes["holdfast.volume.id"] == "v1"
    assert operation.attributes["openstack.request_id"] == "req-1"
    assert operation.attributes["holdfast.result"] == "done"
    assert operation.status.is_unset or operation.status.is_ok
    assert operation.resource.attributes["service.name"] == "holdfast-volume"
    (wire,) = WIRES
    assert wire["traceparent"] == f"00-{TRACE}-{ids(sent.named('first'))[1]}-01"
    assert (wire["tracestate"], wire["baggage"]) == ("a=b", "k=v")


def test_an_error_of_the_driver_stands_in_each_span_above(bench: Bench) -> None:
    bench.driver.errors.append(VolumeBackendAPIException("no space, password=hunter2"))
    bench.run(bench.accepted())
    sent = bench.finish()

    for name in ("traced", "second", "Driver.create_volume"):
        span = sent.named(name)
        assert not span.status.is_ok and "no space" in (span.status.description or "")
        assert "hunter2" not in span.to_json()
        assert span.events[-1].attributes["exception.type"] == "VolumeBackendAPIException"
    assert sent.named("traced").attributes["holdfast.result"] == "failed"
    assert sent.named("traced").attributes["holdfast.leftovers"] == ("first",)
    assert "not undone" in (sent.named("revert first").status.description or "")


@pytest.mark.parametrize("wire", [{}, SENT], ids=["no-sender", "sender"])
def test_attempts_of_an_interrupted_operation_are_one_trace(
    bench: Bench, wire: dict[str, str]
) -> None:
    run = bench.accepted(**wire)
    for _ in range(2):
        bench.driver.errors.append(ProcessStopping("killed"))
        with pytest.raises(ProcessStopping):
            bench.run(run)
        bench.finish()
        bench.begin()  # as another process
        run = bench.reloaded(run)
    bench.run(run)
    sent = bench.finish()

    operation = sent.named("traced")
    assert {ids(span)[0] for span in sent.spans} == {ids(operation)[0]}
    further = [span for span in sent.spans if span.name == "traced resumed"]
    assert {parent(span) for span in further} == {ids(operation)[1]}
    before = [f"{span.links[0].context.span_id:016x}" for span in further]
    assert before == [ids(operation)[1], ids(further[0])[1]]
    seconds = [span for span in sent.spans if span.name == "second"]
    assert [parent(span) for span in seconds] == [ids(one)[1] for one in (operation, *further)]
    assert [span.status.is_ok or span.status.is_unset for span in seconds] == [False, False, True]
    assert operation.start_time <= seconds[0].start_time


def test_the_decision_of_the_sender_holds(bench: Bench) -> None:
    bench.run(bench.accepted(traceparent=f"00-{TRACE}-{CALLER}-00"))

    assert bench.finish().spans == []
    assert WIRES[0]["traceparent"].startswith(f"00-{TRACE}-")
    assert WIRES[0]["traceparent"].endswith("-00")


@pytest.mark.parametrize("ratio", [0.0, 0.25])
def test_a_share_of_the_operations_without_a_sender_is_traced(bench: Bench, ratio: float) -> None:
    bench.begin(sampling_ratio=ratio, queue_size=1000)
    for number in range(1000):
        detail = FlowDetail("traced", flow_id(f"{number}"))
        facts = {"sender": {}, "resumed": False, "is_call": False, "waited": 0, "attributes": {}}
        bench.tracer.attempt(TracedOperation(detail=detail, **facts)).ended(Outcome("done"))

    assert 800 * ratio <= len(bench.finish().spans) <= 1200 * ratio


@pytest.mark.parametrize("bad", ["", "00-0-0-00", "x" * 5000, f"00-{'0' * 32}-{CALLER}-01"])
def test_a_trace_that_is_none_begins_another(bench: Bench, bad: str) -> None:
    bench.run(bench.accepted(traceparent=bad, baggage="=;,=" * 100))

    assert parent(bench.finish().named("traced")) == ""


def test_an_error_in_traces_does_not_end_an_operation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(TRACES, "_failed", False)
    monkeypatch.setattr(bench.tracer._tracer, "start_span", broken)
    monkeypatch.setattr(bench.tracer, "outgoing", broken)
    run = bench.accepted()
    bench.run(run)

    assert bench.journal.load(run.flow).state == "SUCCESS"
    assert caplog.text.count("traces are incomplete") == 1


def test_without_traces_the_context_goes_on_as_it_came(bench: Bench) -> None:
    TRACES.start(None)
    profiled = {"hmac_key": "k", "base_id": "b", "parent_id": "p"}
    wire = RequestContext({**SENT, "trace_info": profiled}).to_wire()

    assert {key: wire[key] for key in traces.CONTEXT} == SENT
    assert wire["trace_info"] == profiled
    bench.run(bench.accepted())
    assert traces.ACCEPTED not in bench.accepted().detail.meta


def test_keys_of_a_profiler_are_kept_from_journal_and_listeners() -> None:
    request = RequestContext({"trace_info": {"hmac_key": "k", "base_id": "b"}})

    assert "trace_info" not in request.to_journal()
    assert "trace_info" not in request.redacted_copy().to_wire()
