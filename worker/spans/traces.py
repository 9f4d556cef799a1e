# SPDX-License-Identifier: Apache-2.0
"""The traces of this process as the rest of the worker sees them; off unless they are started."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from taskflow.persistence.models import FlowDetail

from flows.engine.flow_run import Observer, Outcome

LOG = logging.getLogger(__name__)

CONTEXT = ("traceparent", "tracestate", "baggage")
"""Keys of a message's context with the trace of its sender (W3C Trace Context, W3C Baggage).

oslo.messaging puts them there."""

ACCEPTED = "accepted"
"""Key of the meta of a journal entry: when a traced operation was accepted, in Unix seconds."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TracedOperation:
    """The facts about an operation that its spans show.

    :param detail: its entry in the journal.
    :param sender: the trace of its sender.
    :param resumed: whether an earlier attempt was interrupted.
    :param is_call: whether a caller waits for it.
    :param waited: seconds since it came to this process.
    :param attributes: further values.
    """

    detail: FlowDetail
    sender: Mapping[str, str]
    resumed: bool
    is_call: bool
    waited: float
    attributes: Mapping[str, str]


class Attempt:
    """The spans of one attempt at an operation; this class has none."""

    def active(self) -> AbstractContextManager[None]:
        """Let spans of this thread, and messages that it sends, belong to the attempt."""
        return contextlib.nullcontext()

    def tasks(self, observer: Observer | None) -> Observer | None:
        """Return an observer of a flow that makes spans of its tasks.

        :param observer: called as well.
        """
        return observer

    def ended(self, outcome: Outcome | None) -> None:
        """End the spans. :param outcome: None where the attempt was interrupted."""


class Tracer(Protocol):
    """Makes spans."""

    def attempt(self, operation: TracedOperation) -> Attempt:
        """Begin the spans of an attempt."""

    def traced(self, call: Callable[P, T], name: str, method: str) -> Callable[P, T]:
        """Return a function of which each call has a span, within that of an operation."""

    def outgoing(self) -> Mapping[str, str]:
        """Return the present trace as the context of a message, or headers, have it."""

    def close(self, seconds: float) -> None:
        """Send the spans that wait, for so long at most."""


NO_SPANS = Attempt()


class Traces:
    """The traces of one process; without a tracer each method returns at once."""

    def __init__(self) -> None:
        self._tracer: Tracer | None = None
        self._failed = False

    def start(self, tracer: Tracer | None) -> None:
        """Make spans by a tracer; by none with None."""
        self._tracer = tracer

    @property
    def are_on(self) -> bool:
        """Whether there are any."""
        return self._tracer is not None

    def attempt(self, make: Callable[[], TracedOperation]) -> Attempt:
        """Begin the spans of an attempt at an operation; no error of theirs ends it."""
        if (tracer := self._tracer) is None:
            return NO_SPANS
        begun = self.harmless(lambda: tracer.attempt(make()))()
        return NO_SPANS if begun is None else begun

    def traced(self, call: Callable[P, T], name: str, method: str) -> Callable[P, T]:
        """Return a function of which each call has a span; the same one where traces are off."""
        return call if self._tracer is None else self._tracer.traced(call, name, method)

    def outgoing(self) -> Mapping[str, str]:
        """Return the present trace as the context of a message, or headers, have it."""
        if (tracer := self._tracer) is None:
            return {}
        return self.harmless(tracer.outgoing)() or {}

    def close(self, seconds: float) -> None:
        """Send the spans that wait, for so long at most."""
        if (tracer := self._tracer) is not None:
            self.harmless(tracer.close)(seconds)

    def harmless(self, work: Callable[P, T]) -> Callable[P, T | None]:
        """Return a function that logs its first error, and returns None after one."""

        @functools.wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return work(*args, **kwargs)
            except Exception:
                if not self._failed:
                    LOG.exception("traces are incomplete, operations are not affected")
                self._failed = True
                return None

        return run


TRACES = Traces()
"""The traces of this process."""


def sender_of(context: Mapping[str, Any]) -> dict[str, str]:
    """Return the trace of the sender of a message."""
    return {key: value for key in CONTEXT if isinstance(value := context.get(key), str)}
