# SPDX-License-Identifier: Apache-2.0
"""Run what the bus brings: casts from the journal, calls in memory.

A cast is written to the journal, acknowledged, and run on a thread; what a kill
or an outage cut short is resumed. No more is taken than there are free slots.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from taskflow.exceptions import StorageFailure
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from flows import engine
from flows.context import Context
from flows.errors import DriverNotInitialized, FlowError, OperationInterrupted
from flows.lifecycle import Interrupted
from worker.endpoints.operation import Operation
from worker.journal import Accepted, Journal
from worker.locks import Locks
from worker.persistence import JournalError
from worker.rpc import codec
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import BadMessage, Bound, Dispatcher
from worker.rpc.server import Refused
from worker.services import outcomes
from worker.services.turnstile import Turnstile

LOG = logging.getLogger(__name__)

RETRY_MAX = 10.0
"""Longest pause between two tries while the journal is away, in seconds."""

_LAST = frozenset({"delete_volume", "delete_snapshot"})
"""Methods after which nobody needs the locks of their resource any more."""

Contexts = Callable[[RequestContext, bool, threading.Event], Context]


class Runner:
    """The intake of one process.

    :param slot: the name under which its flows stand in the journal.
    :param size: how many operations run at once.
    :param observer: told of every change of a task's state, for a demonstration.
    :param contexts: makes what a flow is given: request, resumed, stopping.
    :param turnstile: passed by each thread that runs a flow.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: Journal,
        locks: Locks,
        contexts: Contexts,
        turnstile: Turnstile,
        *,
        slot: str,
        size: int,
        max_resumes: int,
        observer: engine.Observer | None = None,
    ) -> None:
        self._observer = observer
        self._dispatcher = dispatcher
        self._journal = journal
        self._locks = locks
        self._contexts = contexts
        self._turnstile = turnstile
        self._slot = slot
        self._size = size
        self._max_resumes = max_resumes
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="operation")
        self._active = 0
        self._changed = threading.Condition()
        self._running: set[engine.Running] = set()
        self._stopping = threading.Event()

    def wait_for_slot(self, timeout: float) -> bool:
        """Wait for a free slot. :raises Refused: we are stopping."""
        with self._changed:
            self._changed.wait_for(self._may_go_on, timeout)
            if self._stopping.is_set():
                raise Refused
            return self._active < self._size

    def cast(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Journal a cast and start it."""
        try:
            bound = self._dispatcher.bind(message, context)
            asked = bound.invoke if not bound.journalled else bound.invoke()
        except BadMessage as error:
            self._reject(message, context, error)
            return
        if not isinstance(asked, Operation):
            self._start(self._at_once, bound.method, asked)
            return
        accepted = _accepted(bound, asked)
        detail = self._insist(lambda: self._journal.accept(bound.unique_id, self._slot, accepted))
        if detail is None:
            LOG.info("%s came twice, it is run once: message %s", bound.method, bound.unique_id)
            return
        self._start(self._run, detail, bound.request, False)

    def call(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
        """Carry out a call on the caller's thread and return its answer."""
        with self._slot_taken():
            try:
                bound = self._dispatcher.bind(message, context)
            except BadMessage as error:
                LOG.error("call refused: %s", error)
                raise
            if not bound.journalled:
                return bound.invoke()
            operation = bound.invoke()
            return self._answer(bound, operation)

    def malformed(self, body: Any, error: Exception) -> None:
        """Keep what could not even be read as a message."""
        LOG.error("a message that cannot be read was put aside: %s", error)
        shown = bytes(body)[:2000].decode(errors="replace") if isinstance(body, bytes) else body
        reason = f"not a message: {type(error).__name__}: {error}"
        self._insist(
            lambda: self._journal.reject(_made_up_id(), "", reason, body=str(shown)[:2000])
        )

    def resume(self) -> int:
        """Start again what was cut short in this slot; return how many flows."""
        details = self._insist(lambda: self._journal.unfinished(self._slot))
        for detail in details:
            request = RequestContext.from_journal(detail.meta["request"])
            self._start(self._run, detail, request, True)
        return len(details)

    def close_intake(self) -> None:
        """Take nothing more; what the broker has stays with it."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def stop(self, grace: float) -> bool:
        """Let flows end.

        :param grace: seconds after which the rest is suspended at a task boundary.
        :returns: whether everything ended.
        """
        self.close_intake()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._drained(grace):
            return True
        with self._changed:
            left = list(self._running)
        LOG.warning("%d operations are suspended and go on at the next start", len(left))
        for running in left:
            running.suspend()
        return self._drained(1.0)

    def _drained(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def _may_go_on(self) -> bool:
        return self._stopping.is_set() or self._active < self._size

    @contextmanager
    def _slot_taken(self) -> Iterator[None]:
        with self._changed:
            self._active += 1
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify()

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        with self._changed:
            self._active += 1
        try:
            self._pool.submit(self._work, work, *args).add_done_callback(self._free)
        except RuntimeError:  # the pool is shut down: the journal has it
            self._free(None)

    def _free(self, _done: Any) -> None:
        with self._changed:
            self._active -= 1
            self._changed.notify()

    @staticmethod
    def _work(work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except (Interrupted, Refused) as error:
            LOG.warning("an operation waits for the next start: %s", error)
        except BaseException:
            LOG.exception("an operation ended in an unexpected error; it is resumed at a start")

    def _at_once(self, method: str, invoke: Callable[[], Any]) -> None:
        try:
            invoke()
        except BadMessage as error:
            LOG.error("%s refused: %s", method, error)
        except (FlowError, DriverNotInitialized) as error:
            LOG.error("%s failed: %s", method, error)

    def _run(self, detail: FlowDetail, request: RequestContext, resumed: bool) -> None:
        accepted = Accepted.from_meta(detail.meta)
        with (
            request.bound(resource_id=accepted.resource[1]),
            self._locks.held(accepted.locks, accepted.shared),
            self._turnstile.inside(),
        ):
            self._run_to_end(detail, accepted, request, resumed)

    def _run_to_end(
        self, detail: FlowDetail, accepted: Accepted, request: RequestContext, resumed: bool
    ) -> None:
        """Run until there is an outcome, resuming what an outage or a bug cut short."""
        started = time.monotonic()
        while True:
            revert = resumed and self._too_often(detail)
            outcomes.log_start(accepted, resumed, revert)
            try:
                outcome = self._run_once(detail, accepted, request, resumed, revert)
                break
            except StorageFailure as error:
                LOG.warning("the journal is away, %s waits: %s", accepted.method, error)
            except (Interrupted, Refused):
                raise
            except Exception:  # a bug of ours: the resource must not stay as it is
                LOG.exception("%s was cut short and is tried again", accepted.method)
                if revert:
                    raise
            detail = self._insist(functools.partial(self._journal.load, detail.uuid))
            resumed = True
        if outcome.state == "done" and accepted.method in _LAST:
            for name in (*accepted.locks, accepted.resource[1]):
                self._locks.forget(name)
        outcomes.log_end(accepted, outcome, time.monotonic() - started)

    def _run_once(
        self,
        detail: FlowDetail,
        accepted: Accepted,
        request: RequestContext,
        resumed: bool,
        revert: bool,
    ) -> engine.Outcome:
        progress = self._journal.progress(detail)
        ctx = self._contexts(request, resumed, self._stopping)
        factory = engine.factory_of(accepted.factory)
        running = engine.Running(factory, accepted.args, ctx, detail, progress, self._observer)
        with self._changed:
            self._running.add(running)
        try:
            outcome = running.run(revert=_cut_too_often(accepted) if revert else None)
            if outcome.state == "suspended":
                progress.flush()
            else:
                self._insist(lambda: self._journal.finish(detail, progress, outcome.failure))
            return outcome
        finally:
            with self._changed:
                self._running.discard(running)
                self._changed.notify_all()

    def _too_often(self, detail: FlowDetail) -> bool:
        return bool(self._insist(lambda: self._journal.resumed(detail)) > self._max_resumes)

    def _answer(self, bound: Bound, operation: Operation) -> Any:
        accepted = _accepted(bound, operation)
        started = time.monotonic()
        with bound.request.bound(resource_id=operation.resource[1]):
            outcomes.log_start(accepted, False, False)
            with (
                self._locks.held(operation.exclusive, operation.shared),
                self._turnstile.inside(),
            ):
                ctx = self._contexts(bound.request, False, self._stopping)
                outcome = engine.run_in_memory(
                    operation.factory,
                    operation.args,
                    ctx,
                    self._observer,
                    resource=operation.resource,
                )
            outcomes.log_end(accepted, outcome, time.monotonic() - started)
        if outcome.failure is not None:
            raise _error_of(outcome.failure)
        return operation.answer(outcome.result) if operation.answer else outcome.result

    def _reject(
        self, message: Mapping[str, Any], context: Mapping[str, Any], error: BadMessage
    ) -> None:
        method = str(message.get("method"))
        unique_id = str(message.get("_unique_id") or _made_up_id())
        request_id = context.get("request_id")
        LOG.error("cast put aside: %s (message %s, request %s)", error, unique_id, request_id)
        reason = f"{type(error).__name__}: {error}"
        self._insist(lambda: self._journal.reject(unique_id, method, reason, request_id=request_id))

    def _insist(self, ask: Callable[[], Any]) -> Any:
        """Ask the journal until it answers. :raises Refused: we are stopping."""
        pause, away_since = 0.2, None
        while True:
            try:
                answer = ask()
            except JournalError as error:
                if away_since is None:
                    away_since = time.monotonic()
                    LOG.warning("the journal is away: %s", error)
                if self._stopping.wait(pause):
                    raise Refused from error
                pause = min(pause * 2, RETRY_MAX)
                continue
            if away_since is not None:
                LOG.info("the journal is back after %.1f s", time.monotonic() - away_since)
            return answer


def _accepted(bound: Bound, operation: Operation) -> Accepted:
    return Accepted(
        method=bound.method,
        factory=engine.path_of(operation.factory),
        args={name: codec.raw(value) for name, value in operation.args.items()},
        request=bound.request.to_journal(),
        resource=operation.resource,
        locks=operation.exclusive,
        shared=operation.shared,
    )


def _cut_too_often(accepted: Accepted) -> OperationInterrupted:
    return OperationInterrupted(f"{accepted.method} was cut short too often to be resumed")


def _error_of(failure: Failure) -> BaseException:
    error = failure.exception
    return error if error is not None else FlowError(failure.exception_str)


def _made_up_id() -> str:
    return uuid.uuid4().hex
