# SPDX-License-Identifier: Apache-2.0
"""Take what the bus brings: written to the journal first, then run in its turn.

A cast is acknowledged when it is in the journal, and run on a thread; what a kill
or an outage cut short is resumed. No more is taken than there are free slots. A
call is in the journal as well while it runs, so that none is left half done.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure
from tooz import ToozError

from flows import engine
from flows.errors import (
    DriverNotInitialized,
    FlowError,
    Interrupted,
    OperationCancelled,
    ProcessStopping,
)
from worker.endpoints.operation import Operation
from worker.execution.executor import Executor, Job
from worker.execution.rejected import RejectedMessages, made_up_id
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.execution.resume_pool import ResumePool
from worker.execution.retry import RETRY_FIRST, RETRY_MAX, JournalRetry
from worker.journal.journal import Accepted, Journal
from worker.locks import Locks
from worker.outage_log import OutageLog
from worker.rpc import codec
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import BadMessage, Bound, Dispatcher

LOG = logging.getLogger(__name__)

_ENOUGH = 256
"""Movers where there is no limit."""

_LAST = frozenset({"delete_volume", "delete_snapshot", "delete_backup"})
"""Methods after which nobody needs the locks of their resource any more."""


class Intake:
    """The intake of one process.

    :param slot: the name under which its flows stand in the journal.
    :param size: how many operations run at once.
    :param movers: how many of those that move data run at once, beside the others; 0 for
        as many as there are.
    :param stopping: set when the process stops; nothing is taken any more.
    :param rejects: keeps what is no operation.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: Journal,
        locks: Locks,
        execution: Executor,
        *,
        slot: str,
        size: int,
        movers: int = 0,
        patience: JournalRetry,
        stopping: threading.Event,
        rejects: RejectedMessages,
    ) -> None:
        self._dispatcher = dispatcher
        self._journal = journal
        self._locks = locks
        self._execution = execution
        self._slot = slot
        self._size = size
        self._stopping = stopping
        self._patience = patience
        self._rejects = rejects
        self._line = ResourceQueue()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="operation")
        self._movers = ThreadPoolExecutor(movers or _ENOUGH, thread_name_prefix="mover")
        self._resumption = ResumePool()
        self._active = 0
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._no_locks = OutageLog("the directory of the locks", LOG)

    def wait_for_slot(self, timeout: float) -> bool:
        """Wait for a free slot. :raises ProcessStopping: the process is stopping."""
        with self._changed:
            self._changed.wait_for(self._may_go_on, timeout)
            if self._stopping.is_set():
                raise ProcessStopping("no message is taken any more")
            return self._active < self._size

    @property
    def has_room(self) -> bool:
        """Whether there is a free slot, so that what the bus has is taken at once."""
        return self._active < self._size

    def cast(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Journal a cast and start it."""
        try:
            bound = self._dispatcher.bind(message, context)
            asked = bound.invoke if not bound.journalled else bound.invoke()
        except BadMessage as error:
            self._rejects.message(message, context, error)
            return
        except Exception as error:  # noqa: BLE001 - whatever somebody made up
            self._rejects.message(message, context, BadMessage(f"{type(error).__name__}: {error}"))
            return
        if not isinstance(asked, Operation):
            with self._changed:
                self._active += 1
            self._start(self._pool, self._at_once, bound.method, asked)
            return
        accepted = _accepted(bound, asked)
        detail = self._patience.insist(lambda: self._accept(bound, accepted))
        if detail is None:
            LOG.info("%s came twice, it is run once: message %s", bound.method, bound.unique_id)
            return
        job = Job(detail, accepted, bound.request, mover=asked.moves_data)
        pool = self._movers if asked.moves_data else self._pool
        self._enter(job, functools.partial(self._start, pool))

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
        self._rejects.unreadable(body, error)

    def recall(self, slot: str | None = None) -> int:
        """Take over what was cut short in a slot, ours if none is named.

        What arrives from now on waits for those of them that are about the same
        resource. They go on when :meth:`resume` was called.

        :returns: how many flows.
        """
        wanted = slot or self._slot
        details = self._patience.insist(lambda: self._journal.unfinished(wanted))
        return sum(self.take_over(detail) for detail in details)

    def take_over(self, detail: FlowDetail) -> bool:
        """Let a flow that was begun before go on in its turn; say whether it can."""
        try:
            accepted = Accepted.from_meta(detail.meta)
            request = RequestContext.from_journal(detail.meta["request"])
            engine.factory_of(accepted.factory)
        except (KeyError, TypeError, ValueError, LookupError) as error:
            what = f"flow {detail.uuid} of slot {self._slot}"
            LOG.error("%s cannot be resumed by this version and is left: %r", what, error)
            return False
        wish = detail.meta.get("undo")
        undo = OperationCancelled(wish) if wish else None
        mover = accepted.moves_data
        job = Job(detail, accepted, request, resumed=True, undo=undo, mover=mover)
        times = int(detail.meta.get("resumes", 0))
        pool = self._movers if mover else None
        self._enter(job, functools.partial(self._resumption.start, times, pool=pool))
        return True

    def resume(self) -> None:
        """Let what was recalled go on: the driver is up."""
        self._resumption.begin()

    def job(self, flow: str) -> Job | None:
        """Return an operation that has not ended."""
        return self._jobs.get(flow)

    def close_intake(self) -> None:
        """Take nothing more; what the broker has stays with it."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def stop(self, grace: float, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Let flows end.

        :param grace: seconds after which the rest is suspended at a task boundary.
        :param hurried: says whether to do so at once.
        :returns: whether everything ended.
        """
        self.close_intake()
        for pool in (self._pool, self._movers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._resumption.close()
        self._execution.close()
        if self._execution.drained(grace, hurried):
            return True
        left = self._execution.suspend()
        LOG.warning("%d operations are suspended and go on at the next start", left)
        return self._execution.drained(1.0)

    def _may_go_on(self) -> bool:
        return self._stopping.is_set() or self._active < self._size

    @contextmanager
    def _slot_taken(self) -> Iterator[None]:
        with self._changed:
            self._active += 1
        try:
            yield
        finally:
            self._free()

    def _free(self) -> None:
        with self._changed:
            self._active -= 1
            self._changed.notify()

    def _accept(self, bound: Bound, accepted: Accepted) -> FlowDetail | None:
        return self._journal.accept(bound.unique_id, self._slot, accepted)

    def _enter(self, job: Job, start: Callable[..., None]) -> None:
        """Start a job in its turn."""
        accepted = job.accepted
        ticket = Ticket(
            accepted.locks, accepted.shared, lambda: start(self._run_and_leave, job, ticket)
        )
        with self._changed:
            self._jobs[job.flow] = job
            if _counts(job):
                self._active += 1
        self._line.enter(ticket)

    @staticmethod
    def _start(pool: ThreadPoolExecutor, work: Callable[..., None], *args: Any) -> None:
        try:
            pool.submit(work, *args)
        except RuntimeError:
            LOG.debug("not begun before the stop: the journal has it")

    def _at_once(self, method: str, invoke: Callable[[], Any]) -> None:
        try:
            invoke()
        except BadMessage as error:
            LOG.error("%s refused: %s", method, error)
        except (FlowError, DriverNotInitialized) as error:
            LOG.error("%s failed: %s", method, error)
        except Exception:
            LOG.exception("%s ended in an unexpected error", method)
        finally:
            self._free()

    def _run_and_leave(self, job: Job, ticket: Ticket) -> None:
        try:
            self._run(job)
        except Interrupted as error:
            LOG.warning("an operation waits for the next start: %s", error)
        except BaseException:
            LOG.exception("an operation ended in an unexpected error; it is resumed at a start")
        finally:
            self._line.leave(ticket)
            self._forget(job)
            if _counts(job):
                self._free()

    def _forget(self, job: Job) -> None:
        with self._changed:
            self._jobs.pop(job.flow, None)

    def _run(self, job: Job) -> engine.Outcome:
        accepted = job.accepted
        with ExitStack() as held:
            held.enter_context(job.request.bound(resource_id=accepted.resource[1]))
            self._hold(held, accepted)
            outcome = self._execution.run(job)
            if outcome.state == "done" and accepted.method in _LAST:
                for name in (*accepted.locks, accepted.resource[1]):
                    self._locks.forget(name)
        return outcome

    def _hold(self, held: ExitStack, accepted: Accepted) -> None:
        """Take the locks; a full disk, or no more descriptors, is waited for."""
        pause, waited = RETRY_FIRST, False
        while True:
            try:
                held.enter_context(self._locks.held(accepted.locks, accepted.shared))
            except (OSError, ToozError) as error:
                waited = True
                self._no_locks.begin(error)
                if self._stopping.wait(pause):
                    raise ProcessStopping("the locks are away, and the process stops") from error
                pause = min(pause * 2, RETRY_MAX)
                continue
            if waited:
                self._no_locks.end()
            return

    def _answer(self, bound: Bound, operation: Operation) -> Any:
        """Run a call and return its answer.

        :raises JournalError: nothing was done; the caller may ask again.
        :raises ProcessStopping: it is done, or undone, at the next start.
        """
        accepted = _accepted(bound, operation)
        detail = self._accept(bound, accepted)
        if detail is None:  # its first delivery runs, or has run; asking twice does no harm
            detail = self._journal.accept(made_up_id(), self._slot, accepted)
        assert detail is not None
        outcome = self._in_turn(Job(detail, accepted, bound.request))
        if outcome.state == "suspended":
            raise ProcessStopping(f"{bound.method} was interrupted: the service stops")
        if outcome.failure is not None:
            raise _error_of(outcome.failure)
        return operation.answer(outcome.result) if operation.answer else outcome.result

    def _in_turn(self, job: Job) -> engine.Outcome:
        turn = threading.Event()
        ticket = Ticket(job.accepted.locks, job.accepted.shared, turn.set)
        with self._changed:
            self._jobs[job.flow] = job
        self._line.enter(ticket)
        try:
            while not turn.wait(1.0):
                if self._stopping.is_set():
                    raise ProcessStopping(f"{job.accepted.method} was not begun: the service stops")
            return self._run(job)
        finally:
            self._line.leave(ticket)
            self._forget(job)


def _counts(job: Job) -> bool:
    """Say whether a job takes one of the slots that limit what is taken off the bus."""
    return not job.resumed and not job.mover


def _accepted(bound: Bound, operation: Operation) -> Accepted:
    return Accepted(
        method=bound.method,
        factory=engine.path_of(operation.factory),
        args={name: codec.raw(value) for name, value in operation.args.items()},
        request=bound.request.to_journal(),
        resource=operation.resource,
        locks=operation.exclusive,
        shared=operation.shared,
        when_cut_short=operation.when_cut_short,
        moves_data=operation.moves_data,
    )


def _error_of(failure: Failure) -> BaseException:
    error = failure.exception
    return error if error is not None else FlowError(failure.exception_str)
