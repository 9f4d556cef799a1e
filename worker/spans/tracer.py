# SPDX-License-Identifier: Apache-2.0
"""Spans of operations, tasks and driver calls, by the SDK of OpenTelemetry.

An operation has one span over all its attempts, which the process sends that ends it. Its ids
follow from that of the flow, so what a killed process has sent belongs to the same span as what
its successor sends. A further attempt has a span of its own below, with a link to the one before.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from opentelemetry import context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from oslo_config import cfg
from taskflow import states
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from drivers.trace_headers import TRACE_HEADERS
from flows.engine.flow_run import Observer, Outcome
from flows.lifecycle import UNDO_FAILED, error_name
from flows.storable_errors import LONGEST, text_of, traceback_of, without_secrets
from worker.spans.span_queue import SpanQueue
from worker.spans.traces import ACCEPTED, TRACES, Attempt, TracedOperation

ATTEMPT = "attempt"
"""Key of the meta of a journal entry: the span of the last attempt, as ``traceparent``."""

NAME = "holdfast"

_PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])

P = ParamSpec("P")
T = TypeVar("T")


class OtelTracer:
    """Makes spans, and sends them from a queue.

    :param service: the name of the service, where no option gives one.
    :param instance: the name of this process among those of all services.
    """

    def __init__(
        self, options: Any, service: str, instance: str, exporter: SpanExporter | None = None
    ) -> None:
        self._queue = SpanQueue(exporter or _exporter(options), options.queue_size)
        self._ids = _ChosenIds()
        resource = {
            "service.name": options.service_name or service,
            "service.instance.id": instance,
        }
        self.provider = TracerProvider(
            ParentBased(TraceIdRatioBased(options.sampling_ratio)),
            Resource.create(resource),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self.provider.add_span_processor(self._queue)
        self._tracer = self.provider.get_tracer(NAME)

    def attempt(self, operation: TracedOperation) -> Attempt:
        """Begin the spans of an attempt."""
        detail, sender = operation.detail, _PROPAGATOR.extract(operation.sender, Context())
        again = (detail.meta or {}).get("reopened")
        first, begun = f"{detail.uuid}", f"{detail.uuid} {again or ''}"
        links = [Link(_span_context(first, sender))] if again else []
        with self._ids.of(_trace_id(first), _span_id(begun)):
            span = self._tracer.start_span(
                detail.name,
                sender,
                SpanKind.SERVER if operation.is_call else SpanKind.CONSUMER,
                dict(operation.attributes),
                links,
                start_time=_nanoseconds((detail.meta or {}).get(ACCEPTED)),
            )
        around = trace.set_span_in_context(span, sender)
        if not operation.resumed:
            span.set_attribute("holdfast.waited_seconds", round(operation.waited, 3))
            return _Attempt(self._tracer, span, None, around)
        further = self._tracer.start_span(
            f"{detail.name} resumed", around, links=_links(detail, span)
        )
        around = trace.set_span_in_context(further, around)
        noted: dict[str, str] = {}
        _PROPAGATOR.inject(noted, around)
        detail.meta = {**(detail.meta or {}), ATTEMPT: noted.get("traceparent", "")}
        return _Attempt(self._tracer, span, further, around)

    def traced(self, call: Callable[P, T], name: str, method: str) -> Callable[P, T]:
        """Return a function of which each call has a span, within that of an operation."""

        @functools.wraps(call)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            if not trace.get_current_span().is_recording():
                return call(*args, **kwargs)
            span = self._tracer.start_span(name, kind=SpanKind.CLIENT)
            span.set_attribute("code.function.name", method)
            token = context.attach(trace.set_span_in_context(span))
            try:
                return call(*args, **kwargs)
            except BaseException as error:
                _fail(span, error)
                raise
            finally:
                context.detach(token)
                span.end()

        return run

    def outgoing(self) -> Mapping[str, str]:
        """Return the present trace as the context of a message, or headers, have it."""
        carrier: dict[str, str] = {}
        if trace.get_current_span().get_span_context().is_valid:
            _PROPAGATOR.inject(carrier)
        return carrier

    def close(self, seconds: float) -> None:
        """Send the spans that wait, for so long at most."""
        self._queue.close(seconds)


class _Attempt(Attempt):
    """The spans of one attempt.

    :param operation: of the operation; the process that ends it sends it.
    :param further: of this attempt, if it is not the first one.
    :param around: the context with the innermost of both.
    """

    def __init__(
        self, tracer: trace.Tracer, operation: Span, further: Span | None, around: Context
    ) -> None:
        self._tracer = tracer
        self._operation = operation
        self._further = further
        self._around = around
        self._tasks: list[_Tasks] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let spans of this thread, and messages that it sends, belong to the attempt."""
        token = context.attach(self._around)
        try:
            yield
        finally:
            context.detach(token)

    def tasks(self, observer: Observer | None) -> Observer | None:
        """Return an observer of a flow that makes spans of its tasks."""
        self._tasks.append(_Tasks(self._tracer, observer))
        return self._tasks[-1]

    def ended(self, outcome: Outcome | None) -> None:
        """End the spans; that of the operation only if the operation has ended."""
        TRACES.harmless(self._end)(outcome)

    def _end(self, outcome: Outcome | None) -> None:
        for one in self._tasks:
            one.abandon()
        state = "interrupted" if outcome is None else outcome.state
        spans = [] if self._further is None else [self._further]
        if state not in ("interrupted", "suspended"):
            spans.append(self._operation)
        for span in spans:
            span.set_attribute("holdfast.result", state)
            if outcome is not None and outcome.failure is not None:
                _fail_by(span, outcome.failure)
            elif outcome is None:
                span.set_status(StatusCode.ERROR, state)
            if outcome is not None and outcome.revert_failures:
                span.set_attribute("holdfast.leftovers", sorted(outcome.revert_failures))
            span.end()


class _Tasks:
    """Makes spans of the tasks of a flow, each the present one while its task runs."""

    def __init__(self, tracer: trace.Tracer, observer: Observer | None) -> None:
        self._tracer = tracer
        self._observer = observer
        self._guard = threading.Lock()
        self._span: Span | None = None
        self._token: Any = None

    def __call__(self, detail: FlowDetail, task: str, state: str) -> None:
        """Follow a change of a task's state."""
        TRACES.harmless(self._follow)(detail, task, state)
        if self._observer is not None:
            self._observer(detail, task, state)

    def _follow(self, detail: FlowDetail, task: str, state: str) -> None:
        if state in (states.RUNNING, states.REVERTING):
            name = task if state == states.RUNNING else f"revert {task}"
            span = self._span = self._tracer.start_span(name)
            self._token = context.attach(trace.set_span_in_context(span))
        elif (ended := self._taken()) is not None:
            context.detach(self._token)
            ended.set_attribute("holdfast.task.state", state)
            if (failure := _failure(detail, task, state)) is not None:
                _fail_by(ended, failure)
            ended.end()

    def abandon(self) -> None:
        """End the span of a task whose thread hangs, or that was interrupted."""
        if (span := self._taken()) is not None:
            span.set_status(StatusCode.ERROR, "it did not end")
            span.end()

    def _taken(self) -> Span | None:
        with self._guard:
            span, self._span = self._span, None
        return span


class _ChosenIds(RandomIdGenerator):
    """Random ids, and chosen ones for the span of an operation."""

    def __init__(self) -> None:
        self._chosen = threading.local()

    @contextmanager
    def of(self, trace_id: int, span_id: int) -> Iterator[None]:
        """Give these ids to the span that is started by this thread."""
        self._chosen.ids = trace_id, span_id
        try:
            yield
        finally:
            self._chosen.ids = None

    def generate_trace_id(self) -> int:
        """Return the id of a trace that has no sender."""
        ids = getattr(self._chosen, "ids", None)
        return int(super().generate_trace_id() if ids is None else ids[0])

    def generate_span_id(self) -> int:
        """Return the id of a span."""
        ids = getattr(self._chosen, "ids", None)
        return int(super().generate_span_id() if ids is None else ids[1])


def start(conf: cfg.ConfigOpts, name: str, number: int) -> None:
    """Start the traces of this process, after its fork.

    :param name: of the service, as ``holdfast-volume-lvm``.
    :param number: of the process among those of the service.
    """
    program = "-".join(name.split("-")[:2])
    tracer = OtelTracer(conf.tracing, program, f"{conf.host}/{name}/{number}")
    # Libraries that make spans, as oslo.messaging does by an option, use the same.
    trace.set_tracer_provider(tracer.provider)
    TRACES.start(tracer)
    TRACE_HEADERS.current = TRACES.outgoing


def _exporter(options: Any) -> SpanExporter:
    protocol, headers = options.protocol.partition("/")[0], dict(options.headers)
    kind = importlib.import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.trace_exporter")
    address = str(options.endpoint).rstrip("/")
    if protocol == "http":
        made: SpanExporter = kind.OTLPSpanExporter(
            f"{address}/v1/traces",
            certificate_file=options.ca_file or None,
            headers=headers,
            timeout=options.timeout,
        )
        return made
    secured = address.startswith("https://")
    roots = None
    if secured and options.ca_file:
        with open(options.ca_file, "rb") as file:
            roots = importlib.import_module("grpc").ssl_channel_credentials(file.read())
    grpc: SpanExporter = kind.OTLPSpanExporter(
        address, insecure=not secured, credentials=roots, headers=headers, timeout=options.timeout
    )
    return grpc


def _links(detail: FlowDetail, operation: Span) -> list[Link]:
    """Return the link of a further attempt to the one before."""
    carrier = {"traceparent": str((detail.meta or {}).get(ATTEMPT, ""))}
    found = trace.get_current_span(_PROPAGATOR.extract(carrier, Context())).get_span_context()
    return [Link(found if found.is_valid else operation.get_span_context())]


def _span_context(text: str, sender: Context) -> trace.SpanContext:
    """Return the context of the span of an operation, which another process has sent."""
    caller = trace.get_current_span(sender).get_span_context()
    trace_id = caller.trace_id if caller.is_valid else _trace_id(text)
    return trace.SpanContext(trace_id, _span_id(f"{text} "), is_remote=True)


def _trace_id(text: str) -> int:
    """Return the id of a trace. Bits of the flow's own id are fixed: samplers need random ones."""
    return int.from_bytes(hashlib.sha256(f"trace {text}".encode()).digest()[:16]) or 1


def _span_id(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"span {text}".encode()).digest()[:8]) or 1


def _nanoseconds(seconds: object) -> int:
    """Return a time of the journal, and now for one that it does not have."""
    is_time = isinstance(seconds, int | float) and 0 < seconds <= time.time()
    return int(seconds * 1e9) if is_time else time.time_ns()  # type: ignore[operator]


def _failure(detail: FlowDetail, task: str, state: str) -> Failure | str | None:
    """Return why a task, or its revert, has failed."""
    atom = next((one for one in detail if one.name == task), None)
    if atom is None or state not in (states.FAILURE, states.REVERT_FAILURE, states.REVERTED):
        return None
    if state == states.FAILURE:
        return atom.failure or state
    result = atom.revert_results
    if isinstance(result, Mapping) and UNDO_FAILED in result:
        return str(result[UNDO_FAILED])
    return state if state == states.REVERT_FAILURE else None


def _fail(span: Span, error: BaseException) -> None:
    """Note an error; of a driver, one that is not implemented says that it lacks a feature."""
    text = text_of(error)
    attributes = {"exception.type": type(error).__name__, "exception.message": text}
    if not isinstance(error, NotImplementedError):
        attributes["exception.stacktrace"] = traceback_of(error)
        span.set_status(StatusCode.ERROR, text)
    span.add_event("exception", attributes)


def _fail_by(span: Span, failure: Failure | str) -> None:
    if isinstance(failure, str):
        span.set_status(StatusCode.ERROR, without_secrets(failure, LONGEST))
        return
    text = without_secrets(failure.exception_str, LONGEST)
    attributes = {"exception.type": error_name(failure), "exception.message": text}
    span.add_event("exception", attributes)
    span.set_status(StatusCode.ERROR, text)
