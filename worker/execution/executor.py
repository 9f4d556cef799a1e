# SPDX-License-Identifier: Apache-2.0
"""Carry one accepted operation to its end, whatever cuts it short.

What was interrupted is resumed; what was interrupted too often is undone; and where
undoing is cut short as often, the driver is not asked any more: the resource gets
its error status, and the journal tells what was left.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from taskflow.exceptions import StorageFailure
from taskflow.persistence.models import FlowDetail

from flows import engine
from flows.backends import Backend
from flows.context import Common
from flows.errors import DriverNotInitialized, FlowError, OperationInterrupted, ProcessStopping
from worker.execution import operation_log
from worker.execution.concurrency import Limiter
from worker.execution.retry import JournalRetry
from worker.execution.timeouts import OperationGivenUp, OperationTimeouts, WatchedOperation
from worker.journal.journal import Accepted, Journal
from worker.journal.persistence import FlowProgress, JournalError
from worker.rpc.context import RequestContext

LOG = logging.getLogger(__name__)

HURRY_PAUSE = 0.2
"""Seconds between two looks whether a stop has become urgent."""

Contexts = Callable[[RequestContext, bool], Common]
"""Makes what a flow is given: request, and whether an earlier try was cut short."""


@dataclass(eq=False)
class Job:
    """An operation that the journal has.

    :param resumed: it was begun before, by a process that ended.
    :param undo: why it is to be undone, as an operator wished.
    :param mover: it moves data: it has threads of its own.
    """

    detail: FlowDetail
    accepted: Accepted
    request: RequestContext
    resumed: bool = False
    undo: FlowError | None = None
    mover: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def flow(self) -> str:
        """The flow's id."""
        return str(self.detail.uuid)


@dataclass(frozen=True)
class Try:
    """How an operation is run this time.

    :param resumed: an earlier try was cut short.
    :param undo: undo what was done instead of going on, for this reason.
    :param driver: whether the driver may be asked; if not, only rows are written.
    :param reopen: it had ended in a failure, and an operator wishes it to be run again.
    """

    resumed: bool
    undo: FlowError | None = None
    driver: bool = True
    reopen: bool = False


class Executor:
    """Runs jobs and knows which are running.

    :param contexts: makes what a flow is given.
    :param turnstile: passed by each thread that runs a flow.
    :param max_resumes: how often a flow is resumed before it is undone.
    :param limits: how long operations may take.
    :param take_over: lets a flow that had ended go on, in its turn.
    :param observer: told of every change of a task's state, for a demonstration.
    """

    def __init__(
        self,
        journal: Journal,
        patience: JournalRetry,
        contexts: Contexts,
        turnstile: Limiter,
        *,
        max_resumes: Callable[[], int],
        limits: OperationTimeouts,
        take_over: Callable[[FlowDetail], object],
        observer: engine.Observer | None = None,
    ) -> None:
        self._journal = journal
        self._patience = patience
        self._contexts = contexts
        self._turnstile = turnstile
        self._max_resumes = max_resumes
        self._limits = limits
        self._take_over = take_over
        self._observer = observer
        self._running: dict[str, engine.Running] = {}
        self._changed = threading.Condition()
        self._closed = False

    def run(self, job: Job) -> engine.Outcome:
        """Run until there is an outcome, resuming what an outage or a bug cut short.

        :raises ProcessStopping: the job is resumed at the next start.
        :raises LookupError: the journal names a flow that this version does not have.
        """
        started = time.monotonic()
        factory = engine.factory_of(job.accepted.factory)
        plan = self._plan(job) if job.resumed else Try(False, job.undo)
        try:
            outcome = self._insist(job, factory, plan)
        finally:
            job.ended.set()
        operation_log.log_end(job.accepted, job.flow, outcome, time.monotonic() - started)
        return outcome

    def cancel(self, job: Job, cause: FlowError) -> None:
        """Undo a job from its next task boundary on, or from its beginning."""
        job.undo = cause
        with self._changed:
            running = self._running.get(job.flow)
        if running is not None:
            running.cancel(cause)

    def close(self) -> None:
        """Begin nothing more; what is not begun yet goes on at the next start."""
        with self._changed:
            self._closed = True

    def suspend(self) -> int:
        """Stop every flow at its next task boundary; return how many run."""
        with self._changed:
            left = list(self._running.values())
        for running in left:
            running.suspend()
        return len(left)

    def drained(self, timeout: float, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Wait until nothing runs and say whether it is so.

        :param timeout: the longest wait, in seconds.
        :param hurried: says whether to wait no longer; asked a few times a second.
        """
        until = time.monotonic() + timeout
        with self._changed:
            while self._running and not hurried():
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(min(left, HURRY_PAUSE))
            return not self._running

    def _insist(self, job: Job, factory: engine.Factory, plan: Try) -> engine.Outcome:
        """Try until there is an outcome."""
        while True:
            operation_log.log_start(job.accepted, plan.resumed, plan.undo)
            try:
                return self._attempt(job, factory, plan)
            except StorageFailure as error:
                LOG.warning("the journal is away, %s waits: %s", job.accepted.method, error)
                self._reload(job)
                plan = replace(plan, resumed=True)
            except OperationGivenUp as error:
                self._reload(job)
                # The second time it is the undoing that hangs: then only rows are written.
                plan = Try(True, error.cause, driver=plan.undo is None)
            except Exception:  # a bug of ours: the resource must not stay as it is
                LOG.exception("%s was cut short and is tried again", job.accepted.method)
                if not plan.driver:
                    raise
                self._reload(job)
                plan = self._plan(job)

    def _reload(self, job: Job) -> None:
        flow = job.flow
        job.detail = self._patience.insist(lambda: self._journal.load(flow))

    def _plan(self, job: Job) -> Try:
        """Decide how an operation that was cut short is ended, and count it."""
        method, most = job.accepted.method, self._max_resumes()
        cut = self._patience.insist(lambda: self._journal.resumed(job.detail))
        if cut > 2 * most + 1:
            text = f"{method} was cut short {cut} times, its undoing too: the driver is not asked"
            return Try(True, OperationInterrupted(text), driver=False)
        if job.undo is not None:
            return Try(True, job.undo)
        if job.accepted.when_cut_short == "revert":
            text = f"{method} was cut short, and nobody waits for its answer any more"
            return Try(True, OperationInterrupted(text))
        if cut > most:
            text = f"{method} was cut short {cut} times: undone instead of resumed"
            return Try(True, OperationInterrupted(text))
        return Try(True, reopen=bool(job.detail.meta.get("reopened")))

    def _attempt(self, job: Job, factory: engine.Factory, plan: Try) -> engine.Outcome:
        progress = self._journal.progress(job.detail)
        ctx = self._contexts(job.request, plan.resumed)
        if not plan.driver:
            ctx = replace(ctx, backend=cast(Backend, _Closed(ctx.backend, plan.undo)))
        args = job.accepted.args
        running = engine.Running(factory, args, ctx, job.detail, progress, self._observer)
        with self._changed:
            if self._closed:
                raise ProcessStopping(f"{job.accepted.method} was not begun: the service stops")
            self._running[job.flow] = running
        if job.undo is not None and plan.undo is None:  # asked for while it was being begun
            running.cancel(job.undo)
        try:
            return self._watched(job, running, progress, plan)
        finally:
            with self._changed:
                if self._running.get(job.flow) is running:
                    del self._running[job.flow]
                self._changed.notify_all()

    def _watched(
        self, job: Job, running: engine.Running, progress: FlowProgress, plan: Try
    ) -> engine.Outcome:
        accepted, limits = job.accepted, self._limits
        # Without a driver nothing can hang.
        if not plan.driver or not limits.apply_to(accepted.method):
            return self._carry_out(job, running, progress, plan)

        def work() -> engine.Outcome:
            with job.request.bound(resource_id=accepted.resource[1]):
                return self._carry_out(job, running, progress, plan)

        what = " ".join((accepted.method, "of", *accepted.resource))
        late = functools.partial(self._came_late, job)
        watched = WatchedOperation(what, running, work, self._turnstile, late)
        timeout = limits.seconds(accepted.method)
        return watched.wait(timeout, limits.stall, limits.stall_reverts)

    def _came_late(self, job: Job) -> None:
        """Undo what a driver did after its operation had been undone without it."""
        job.ended.wait()
        if self._closed:
            return
        try:
            self._take_over(self._journal.undo_again(job.flow))
        except JournalError as error:
            what = " ".join((job.accepted.method, "of", *job.accepted.resource))
            advice = f"look, then: holdfast flow revert {job.flow}"
            LOG.error("what %s did too late may be left: %s; %s", what, error, advice)

    def _carry_out(
        self, job: Job, running: engine.Running, progress: FlowProgress, plan: Try
    ) -> engine.Outcome:
        with self._turnstile.inside():
            outcome = running.run(revert=plan.undo, reopen=plan.reopen)
            if outcome.state == "suspended":
                progress.flush()
            else:
                self._finish(job, progress, outcome)
        return outcome

    def _finish(self, job: Job, progress: FlowProgress, outcome: engine.Outcome) -> None:
        failure, left = outcome.failure, outcome.left
        self._patience.insist(lambda: self._journal.finish(job.detail, progress, failure, left))


class _Closed:
    """A backend whose driver is not asked any more."""

    def __init__(self, backend: Backend, reason: FlowError | None) -> None:
        self._backend = backend
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def require_driver(self) -> Any:
        """Refuse. :raises DriverNotInitialized: always."""
        raise DriverNotInitialized(str(self._reason))
