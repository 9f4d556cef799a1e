# SPDX-License-Identifier: Apache-2.0
"""Run one operation to its outcome, through interruptions, outages and hung drivers.

An interrupted operation is resumed; one that was interrupted too often without progress, and
alone in the end, is reverted. When its reverts are interrupted as often, the driver is not
called any more: the resource gets its error status, and the journal lists the possible
remains on the backend. :mod:`worker.journal.interruptions` counts the interruptions.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from taskflow import states
from taskflow.exceptions import StorageFailure

from flows.context import OperationContext
from flows.engine import flow_run, no_persistence
from flows.errors import (
    FlowError,
    LocksLost,
    OperationInterrupted,
    ProcessStopping,
)
from flows.protocols.backends import Backend
from worker.execution import operation_log
from worker.execution.concurrency import Limiter
from worker.execution.fairness.bandwidth import Bandwidth
from worker.execution.retry import GrowingPauses, JournalRetry
from worker.execution.runs.guarded_backend import BackendWithLocks, BackendWithoutDriver
from worker.execution.runs.operation_run import OperationRun
from worker.execution.timeouts import OperationHung, OperationTimeouts, WatchedOperation
from worker.journal import interruptions
from worker.journal.errors import JournalRefused, ProgressRefused
from worker.journal.interruptions import Interruption
from worker.journal.journal import Journal
from worker.journal.progress import FlowProgress
from worker.metrics import operation_counts
from worker.metrics.definitions import RESUMED
from worker.metrics.measurements import MEASURED
from worker.rpc.request_context import RequestContext
from worker.spans.traces import TRACES, TracedOperation, sender_of

LOG = logging.getLogger(__name__)

URGENT_CHECK_PAUSE = 0.2
"""Seconds between two checks whether a stop has become urgent."""

Contexts = Callable[[RequestContext, bool], OperationContext]
"""Makes the context of a flow: of a request, and whether an earlier attempt was interrupted."""

LateReturn = Callable[[OperationRun], None]
"""Called on a thread that returned from the driver after its operation had ended without it."""


class Executor:
    """Runs operations, each on the thread that calls :meth:`run`.

    :param contexts: makes the contexts of flows.
    :param limiter: limits how many threads run flows at once.
    :param max_resumes: how often a flow is resumed before it is reverted.
    :param timeouts: how long operations may take.
    :param observer: called at every change of a task's state, for a demonstration.
    :param bandwidth: of data transfers.
    """

    def __init__(
        self,
        journal: Journal,
        journal_retry: JournalRetry,
        contexts: Contexts,
        limiter: Limiter,
        *,
        max_resumes: Callable[[], int],
        timeouts: OperationTimeouts,
        observer: flow_run.Observer | None = None,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self._journal = journal
        self._journal_retry = journal_retry
        self._contexts = contexts
        self._limiter = limiter
        self.max_resumes = max_resumes
        self._timeouts = timeouts
        self._observer = observer
        self._bandwidth = bandwidth or Bandwidth()
        self._running: dict[str, flow_run.FlowRun] = {}
        self._changed = threading.Condition()
        self._closed = False

    def run(self, run: OperationRun, on_late_return: LateReturn) -> flow_run.Outcome:
        """Run until there is an outcome, in as many attempts as outages and bugs require.

        :raises ProcessStopping: the operation is resumed at the next start.
        """
        started = time.monotonic()
        run.spans = TRACES.attempt(lambda: _traced(run))
        outcome: flow_run.Outcome | None = None
        run.ended = threading.Event()  # not before: thousands of operations may wait
        try:
            if run.resumed:
                self._choose_direction(run)
            else:
                run.revert = run.cancelled
            if run.resumed and run.revert is None and not run.deferrals:
                MEASURED.count(RESUMED, run.operation.method)
            outcome = self._run(run, on_late_return)
        finally:
            run.ended.set()
            run.spans.ended(outcome)
        seconds = time.monotonic() - started
        operation_log.log_end(run.operation, outcome, seconds, run.next_step)
        operation_counts.count_end(run.operation.method, outcome, seconds, run.revert)
        return outcome

    @property
    def is_crowded(self) -> bool:
        """Whether operations wait for a place to run Python code."""
        return self._limiter.waiting > 0

    def unpack(self, run: OperationRun) -> None:
        """Restore the arguments of an operation when it has a place to run.

        It leaves the place again, for the waits for its locks.
        """
        with self._limiter.running():
            run.unpack()

    def flows(self) -> list[flow_run.FlowRun]:
        """Return the flows that run."""
        with self._changed:
            return list(self._running.values())

    def cancel(self, run: OperationRun, cause: FlowError) -> None:
        """Revert an operation from its next task boundary on, or before its first task."""
        run.cancelled = cause
        with self._changed:
            flow = self._running.get(run.flow)
        if flow is not None:
            flow.cancel(cause)

    def close(self) -> None:
        """Start no flow any more; operations that wait are run at the next start."""
        with self._changed:
            self._closed = True

    def suspend(self) -> int:
        """Stop every flow at its next task boundary; return how many run."""
        with self._changed:
            running = list(self._running.values())
        for flow in running:
            flow.suspend()
        return len(running)

    def abandon(self) -> None:
        """Abandon the flows that still run: their connections are closed now."""
        with self._changed:
            for flow in self._running.values():
                flow.abandon()

    def drained(self, timeout: float, urgent: Callable[[], bool] = lambda: False) -> bool:
        """Wait until no flow runs, and return whether that is so.

        :param timeout: the longest wait, in seconds.
        :param urgent: called a few times a second; True ends the wait.
        """
        until = time.monotonic() + timeout
        with self._changed:
            while self._running and not urgent():
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(min(left, URGENT_CHECK_PAUSE))
            return not self._running

    def _run(self, run: OperationRun, on_late_return: LateReturn) -> flow_run.Outcome:
        """Make attempts until there is an outcome."""
        method, pauses = run.operation.method, GrowingPauses(self._journal_retry.stopping)
        while True:
            operation_log.log_start(run.operation, run.resumed, run.revert)
            try:
                return self._attempt(run, on_late_return)
            except ProgressRefused as error:
                LOG.error("%s is reverted, as its progress cannot be stored: %s", method, error)
                self._continue_in_memory(run, error)
            except StorageFailure as error:
                LOG.warning("the journal is away, %s waits: %s", method, error)
                pauses.wait(error)
                self._reload(run)
                run.resumed = True
            except LocksLost as error:
                LOG.warning("%s continues when it has its locks again: %s", method, error)
                assert run.locks is not None
                run.locks.take()
                if run.journalled:
                    self._reload(run)
                run.resumed = True
            except OperationHung as error:
                self._reload(run)
                # The second time it is a revert that hangs: then only rows are written.
                run.calls_driver = run.revert is None
                run.resumed, run.revert, run.reopen = True, error.cause, False
            except Exception as error:  # a bug of the worker: the resource must not stay as it is
                LOG.exception("%s was interrupted by an error and is tried again", method)
                if not run.calls_driver:
                    raise
                pauses.wait(error)
                if not run.journalled:
                    run.calls_driver = False
                    continue
                self._reload(run)
                self._choose_direction(run, inside=True)

    @staticmethod
    def _continue_in_memory(run: OperationRun, error: Exception) -> None:
        """Revert an operation without the journal, from the state that it has reached."""
        run.detail.state = states.RUNNING
        run.journalled = False
        run.resumed, run.reopen = True, False
        if run.revert is None:
            run.revert = OperationInterrupted(f"its progress cannot be stored: {error}")

    def _reload(self, run: OperationRun) -> None:
        flow = run.flow
        run.detail = self._journal_retry.until_available(lambda: self._journal.load(flow))

    def _choose_direction(self, run: OperationRun, *, inside: bool | None = None) -> None:
        """Count an interruption, and choose between resuming and reverting the operation.

        :param inside: True where it is known that a step was interrupted.
        """
        most, found = self.max_resumes(), interruptions.of(run.detail, inside=inside)
        without_driver = found.has_exhausted_reverts(most)
        reason = _reason_to_revert(run, found, most, without_driver)
        reverts = found.reverts
        if reverts is None and found.is_exhausted(most):
            reverts = found.of_reverts(most)
        self._journal_retry.until_available(
            lambda: self._journal.count_interruption(
                run.detail, found, group_size=run.group_size, reverts=reverts
            )
        )
        run.resumed, run.revert, run.calls_driver = True, reason, not without_driver
        if reason is not None and run.operation.when_interrupted == "revert":
            run.repeated = self._journal_retry.until_available(
                lambda: self._journal.was_repeated(run.detail)
            )
        run.reopen = reason is None and bool(run.detail.meta.get("reopened"))

    def _attempt(self, run: OperationRun, on_late_return: LateReturn) -> flow_run.Outcome:
        operation = run.operation
        progress = self._journal.progress(run.detail)
        ctx = self._contexts(operation.request, run.resumed)
        ctx = replace(ctx, deferrals=run.deferrals, repeated=run.repeated)
        if not run.calls_driver:
            ctx = replace(ctx, backend=cast(Backend, BackendWithoutDriver(ctx.backend, run.revert)))
        require_locks = _nothing
        if run.locks is not None and run.locks.expire:
            require_locks = run.locks.require
            guarded = BackendWithLocks(ctx.backend, require_locks)
            ctx = replace(ctx, backend=cast(Backend, guarded))
        flow = flow_run.FlowRun(
            operation.factory,
            operation.args,
            ctx,
            run.detail,
            progress if run.journalled else no_persistence.NO_PERSISTENCE,
            run.spans.tasks(self._observer),
            require_locks,
            functools.partial(self._bandwidth.wait, run.project),
        )
        with self._changed:
            if self._closed:
                raise ProcessStopping(f"{operation.method} was not begun: the service stops")
            self._running[run.flow] = flow
        if run.cancelled is not None and run.revert is None:  # while it was being started
            flow.cancel(run.cancelled)
        try:
            return self._with_timeout(run, flow, progress, on_late_return)
        finally:
            with self._changed:
                if self._running.get(run.flow) is flow:
                    del self._running[run.flow]
                self._changed.notify_all()
            operation_counts.count_moved(flow)

    def _with_timeout(
        self,
        run: OperationRun,
        flow: flow_run.FlowRun,
        progress: FlowProgress,
        on_late_return: LateReturn,
    ) -> flow_run.Outcome:
        operation, timeouts = run.operation, self._timeouts
        # Without a driver nothing can hang.
        if not run.calls_driver or not timeouts.apply_to(operation.method):
            return self._carry_out(run, flow, progress)

        def work() -> flow_run.Outcome:
            with operation.request.bound(resource_id=operation.resource[1]):
                return self._carry_out(run, flow, progress)

        watched = WatchedOperation(
            str(operation), flow, work, self._limiter, functools.partial(on_late_return, run)
        )
        timeout = timeouts.seconds(operation.method)
        return watched.wait(timeout, timeouts.stall, timeouts.stall_reverts)

    def _carry_out(
        self, run: OperationRun, flow: flow_run.FlowRun, progress: FlowProgress
    ) -> flow_run.Outcome:
        # Others than calls had a place before, for their arguments.
        place = self._limiter.running(call=run.is_call, begun=not run.is_call)
        with place, run.spans.active():
            outcome = flow.run(revert=run.revert, reopen=run.reopen)
            if outcome.state == "suspended":
                progress.flush()
            else:
                self._finish(run, progress, outcome)
        return outcome

    def _finish(self, run: OperationRun, progress: FlowProgress, outcome: flow_run.Outcome) -> None:
        """Write the end; an outcome stands, whatever the journal makes of it."""
        failure, revert_failures = outcome.failure, outcome.revert_failures

        def finish() -> None:
            run.kept = self._journal.finish(run.detail, progress, failure, revert_failures)

        try:
            self._journal_retry.until_available(finish)
        except JournalRefused as error:
            LOG.error("the last progress of flow %s is not stored: %s", run.flow, error)
            progress.forget()
            try:
                self._journal_retry.until_available(finish)
            except JournalRefused:
                LOG.exception("flow %s has ended, and the journal does not know", run.flow)


def _reason_to_revert(
    run: OperationRun, found: Interruption, most: int, without_driver: bool
) -> FlowError | None:
    """Return why an interrupted operation is reverted; None for one that is resumed."""
    method, count = run.operation.method, found.counted(most)
    if without_driver:
        text = f"{method} was interrupted {count} times, its reverts too: the driver is not called"
        return OperationInterrupted(text)
    if run.cancelled is not None:
        return run.cancelled
    if run.operation.when_interrupted == "revert":
        return OperationInterrupted(f"{method} was interrupted, and its caller is gone")
    if run.detail.meta.get("reverts") is not None or found.is_exhausted(most):
        text = f"{method} was interrupted {count} times: reverted instead of resumed"
        return OperationInterrupted(text)
    return None


def _traced(run: OperationRun) -> TracedOperation:
    """Return the facts that the spans of an operation show."""
    operation, request = run.operation, run.operation.request
    kind, resource_id = operation.resource
    shown = {
        "rpc.system": "oslo.messaging",
        "rpc.method": operation.method,
        "openstack.request_id": request.request_id,
        "openstack.project_id": request.project_id,
        "openstack.user_id": request.user_id,
        "holdfast.flow": run.flow,
        f"holdfast.{kind}.id": resource_id,
        "holdfast.resource.type": kind,
        "holdfast.resource.id": resource_id,
    }
    return TracedOperation(
        detail=run.detail,
        sender=sender_of(request.received),
        resumed=run.resumed,
        is_call=run.is_call,
        waited=time.monotonic() - run.since,
        attributes={name: str(value) for name, value in shown.items() if value},
    )


def _nothing() -> None:
    return None
