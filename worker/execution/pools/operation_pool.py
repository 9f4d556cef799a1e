# SPDX-License-Identifier: Apache-2.0
"""The accepted operations of one process: their order, their threads and their number.

Operations on one resource run in the order of their acceptance. One that waits for its turn
needs no thread and little memory. New casts that take long, casts that are done in a moment,
data transfers, calls and resumed operations each have threads of their own, so that none
waits behind another kind. Projects get the threads in fair turns: a project with thousands of casts
does not keep the cast of another one from its thread.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager
from typing import Any, Protocol

from taskflow.persistence.models import FlowDetail

from flows.engine.flow_run import FlowRun, Outcome
from flows.errors import FlowError, ProcessStopping, RunInterrupted
from worker.execution import orderly_stop
from worker.execution.executor import Executor
from worker.execution.fairness.fair_executor import FairExecutor
from worker.execution.fairness.project_limits import UNLIMITED, ProjectLimits
from worker.execution.pools.call_pool import NOT_BEGUN, Accept, CallPool
from worker.execution.pools.deferred_runs import DeferredRuns
from worker.execution.pools.pool_limits import (
    CALL_THREADS,
    DEFAULT_LIMITS,
    QUICK_THREADS,
    RESERVED_PART,
    PoolSize,
    WaitingLimits,
)
from worker.execution.pools.resume_pool import ResumePool
from worker.execution.pools.resumed_operations import ResumedOperations
from worker.execution.pools.thread_pool import FairPool, PoolCounts, ThreadPool
from worker.execution.pools.unended_runs import UnendedRuns
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.execution.runs.operation_run import OperationRun
from worker.execution.slot_journal import SlotJournal
from worker.metrics.definitions import WAIT_SECONDS
from worker.metrics.measurements import MEASURED
from worker.rpc.operation import Operation

LOG = logging.getLogger(__name__)

_UNLIMITED = 256
"""Threads for data transfers where their number has no limit."""

REPLY_TIME = 1.0
"""Seconds in which a stop sends errors to the callers whose turn has not come."""


class Submitted(Protocol):
    """The operations that flows start."""

    def take(self) -> Iterable[tuple[Operation, FlowDetail]]:
        """Return the operations that were submitted and not taken yet."""


class OperationPool:
    """Runs the operations of one process.

    :param queue: orders operations on one resource, and holds their locks.
    :param size: how many operations run at once.
    :param limits: how many wait.
    :param projects: the shares of projects.
    :param submitted: the operations that flows start.
    :param stopping: set when the process stops.
    """

    def __init__(
        self,
        executor: Executor,
        journal: SlotJournal,
        queue: ResourceQueue,
        *,
        size: PoolSize,
        limits: WaitingLimits = DEFAULT_LIMITS,
        projects: ProjectLimits = UNLIMITED,
        submitted: Submitted | None = None,
        stopping: threading.Event,
    ) -> None:
        self._executor = executor
        self._journal = journal
        self._queue = queue
        self._limits = limits
        self._submitted = submitted
        self._stopping = stopping
        most = (limits.most, limits.most_bytes)
        threads = size.threads

        def fair(name: str, number: int, reserved: int = 0) -> FairPool:
            executor = FairExecutor(
                name, number, reserved=reserved, limits=projects, most=size.most
            )
            return FairPool(executor, number, *most)

        self._slow = fair("operation", threads, threads // RESERVED_PART)
        self._quick = fair("quick", max(threads, QUICK_THREADS), threads // RESERVED_PART)
        self._transfers = fair("transfer", size.data_transfers or _UNLIMITED)
        self.calls = CallPool(
            ThreadPool("call", max(threads, CALL_THREADS), *most), self, queue, stopping
        )
        self._resume_pool = ResumePool(projects)
        self.resumed = ResumedOperations(
            journal,
            self._resume_pool,
            self._transfers.executor,
            self._enqueue,
            max_resumes=executor.max_resumes,
            stopping=stopping,
        )
        self._runs = UnendedRuns()
        self._few = threads // RESERVED_PART
        """Operations that a project may have in spite of the number and the bytes that wait."""
        self._deferred = DeferredRuns(journal, queue, limits.most)
        self.capacity_freed = threading.Event()
        """Set when an operation that was not admitted may be admitted now."""
        self._refused = False

    @property
    def has_capacity(self) -> bool:
        """Whether the next cast runs at once."""
        return not self._slow.is_busy

    def admits(
        self, operation: Operation, others: bool = False, ahead: Sequence[Operation] = ()
    ) -> bool:
        """Return whether one more operation may be accepted.

        After a refusal, :attr:`capacity_freed` is set when an operation has ended.

        :param others: whether another host may take it instead: then it is accepted only where
            it runs at once, or waits for an operation of this process on the same resource.
        :param ahead: operations that are about to be accepted before it.
        """
        names = {*operation.exclusive, *operation.shared}
        self._refused = True  # first: an end from now on sets ``capacity_freed``
        pool, project = self._pool_of(operation), operation.request.project_id or ""
        if not (pool.has_room(len(ahead)) or self._has_few(project, ahead)):
            return False
        busy = others and not self._queue.is_taken(names) and pool.is_busy
        if busy and not pool.executor.begins(project):
            return False
        waiting = self._queue.waiting(names)
        waiting += sum(not names.isdisjoint((*one.exclusive, *one.shared)) for one in ahead)
        if waiting >= self._limits.per_resource:
            return False
        self._refused = False
        return True

    def _has_few(self, project: str, ahead: Sequence[Operation]) -> bool:
        """Return whether further threads are there for one more operation of a project."""
        also = sum((one.request.project_id or "") == project for one in ahead)
        return self._runs.of(project) + also < self._few

    def is_busy(self, operation: Operation) -> bool:
        """Return whether an operation works on a resource of another one, or waits for it."""
        return self._queue.is_taken((*operation.exclusive, *operation.shared))

    def start(self, operation: Operation, detail: FlowDetail) -> None:
        """Run a new operation on a thread when its turn comes."""
        run, pool = OperationRun(operation, detail), self._pool_of(operation)
        size = 0
        if pool.is_busy or self.is_busy(operation) or self._executor.is_crowded:
            size = run.pack()
        pool.add_waiting(size)
        self._enqueue(run, functools.partial(self._run_in, pool, size))

    def start_submitted(self) -> None:
        """Run the operations that flows have started since the last call."""
        if self._submitted is not None:
            for operation, detail in self._submitted.take():
                self.start(operation, detail)

    def start_direct(self, work: Callable[[], None]) -> None:
        """Do work that starts no flow, on a thread for quick casts."""
        self._quick.submit("", work)

    def run_accepted(
        self,
        ticket: Ticket,
        operation: Operation,
        accept: Accept,
        patience: float | None = None,
    ) -> Outcome | None:
        """Run the operation of a call whose turn has come, on this thread."""
        self._check_stop()
        bound = operation.request.bound(resource_id=operation.resource[1])
        with bound, self._queue.held(ticket, patience) as locks:
            self.calls.locked(ticket)
            self._check_stop()  # before it is in the journal
            detail = accept()
            if detail is None:
                return None
            run = OperationRun(operation, detail, is_call=True, locks=locks)
            self._runs.add(run)
            try:
                return self._execute(run)
            finally:
                self._runs.remove(run)

    def _check_stop(self) -> None:
        if self._stopping.is_set():
            raise ProcessStopping(NOT_BEGUN)

    def call_ended(self) -> None:
        """Note that the turn of a call has ended."""
        self._notify_capacity()

    def threads(self) -> Iterator[tuple[str, PoolCounts]]:
        """Yield the pools of threads for new operations, with their names."""
        yield "casts", self._slow
        yield "quick casts", self._quick
        yield "data transfers", self._transfers
        yield "calls", self.calls.pool

    def runs(self) -> list[OperationRun]:
        """Return the operations that have not ended."""
        return self._runs.all()

    def limited_projects(self) -> set[str]:
        """Return the projects whose operations wait because of the limit of their project."""
        return set().union(*(one.limited_projects() for one in self._fair()))

    def limits_changed(self) -> None:
        """Begin operations that wait only because of limits which a reload has raised."""
        for one in self._fair():
            one.limits_changed()
        self._notify_capacity()

    def flows(self) -> list[FlowRun]:
        """Return the flows that run."""
        return self._executor.flows()

    def find(self, flow: str) -> OperationRun | None:
        """Return an operation that has not ended."""
        return self._runs.find(flow)

    def cancel(self, run: OperationRun, cause: FlowError) -> None:
        """Revert an operation from its next task boundary on."""
        self._executor.cancel(run, cause)

    def close(self) -> None:
        """Take no message any more; the rest stays with the broker."""
        self._stopping.set()
        self.capacity_freed.set()

    def suspend(self) -> None:
        """Stop every operation at its next task boundary, before :meth:`stop`; begin none."""
        self.close()
        self._executor.close()
        self._executor.suspend()

    def stop(self, grace: float, urgent: Callable[[], bool] = lambda: False) -> bool:
        """Let operations end, and return whether all did.

        :param grace: seconds after which the rest is suspended at a task boundary.
        :param urgent: called a few times a second; True ends the grace.
        """
        self.close()
        # A supervisor may kill the process in the middle of the grace.
        orderly_stop.record(self._journal.journal, self._journal.slot, wait=0.0)
        failed = self.calls.fail_waiting()
        for pool in (self._slow, self._quick, self._transfers):
            pool.close()
        self.calls.close()
        self._resume_pool.close()
        self._executor.close()
        try:
            drained = self._executor.drained(grace, urgent)
            if not drained:
                left = self._executor.suspend()
                LOG.warning("%d operations are suspended and resume at the next start", left)
                drained = self._executor.drained(1.0)
        finally:
            self._executor.abandon()
            orderly_stop.record(self._journal.journal, self._journal.slot)
        wait(failed, REPLY_TIME)
        return drained

    def _fair(self) -> Iterator[FairExecutor]:
        """Yield all threads that projects share."""
        for pool in (self._slow, self._quick, self._transfers, self._resume_pool):
            yield pool.executor

    def _pool_of(self, operation: Operation) -> FairPool:
        if operation.moves_data:
            return self._transfers
        return self._quick if operation.quick else self._slow

    def _run_in(
        self, pool: FairPool, size: int, work: Callable[..., None], run: OperationRun, *args: Any
    ) -> None:
        """Run an operation on a thread of a pool in which it has waited, with its bytes."""

        def begin() -> None:
            with pool.running(size):
                self._notify_capacity()
                work(run, *args)
            self._notify_capacity()  # the thread is free

        pool.submit(run.project, begin)

    def _notify_capacity(self) -> None:
        if self._refused:
            self._refused = False
            self.capacity_freed.set()

    def _enqueue(self, run: OperationRun, start: Callable[..., None]) -> None:
        """Start a run on a thread when its turn comes.

        :param start: called with a function and its arguments when the turn has come.
        """
        operation = run.operation

        def begin() -> None:
            run.has_turn = True
            start(self._run_and_leave, run, ticket)

        ticket = Ticket(operation.exclusive, operation.shared, begin, run)
        self._runs.add(run)
        self._queue.enter(ticket)

    def _run_and_leave(self, run: OperationRun, ticket: Ticket) -> None:
        run.has_thread = True
        self._executor.unpack(run)
        MEASURED.observe(WAIT_SECONDS, time.monotonic() - run.since)
        waits_for = None
        try:
            with _bound(run), self._queue.held(ticket) as run.locks:
                waits_for = self._execute(run).waits_for
        except RunInterrupted as error:
            LOG.warning("an operation is not run before the next start: %s", error)
        except BaseException:
            LOG.exception("an operation ended in an unexpected error; it is resumed at a start")
        finally:
            if waits_for is None:
                self._queue.leave(ticket)
                self._runs.remove(run)
            self._notify_capacity()
            self.start_submitted()  # first: the operation that is waited for may be one of them
        if waits_for is not None:
            self._defer(run, ticket, waits_for)

    def _defer(self, run: OperationRun, ticket: Ticket, lock: str) -> None:
        """Run an operation again when the one that holds a lock has ended.

        It keeps its place in the queues of its resources.
        """
        try:
            following = self._deferred.next_attempt(run)
        except BaseException as error:
            if isinstance(error, RunInterrupted):
                LOG.warning("an operation is not run before the next start: %s", error)
            else:
                LOG.exception("%s cannot wait for another one; it is resumed at a start", run)
            self._queue.leave(ticket)
            self._runs.remove(run)
            return
        pool = self._pool_of(run.operation)

        def start(size: int) -> None:
            self._run_in(pool, size, self._run_and_leave, following, ticket)

        self._runs.add(following)
        self._deferred.wait(following, lock, pool, start)

    def _execute(self, run: OperationRun) -> Outcome:
        """Run an operation that holds its locks."""
        run.has_turn = run.has_thread = run.has_begun = True
        return self._executor.run(run, self.resumed.revert_late)


def _bound(run: OperationRun) -> AbstractContextManager[None]:
    """Put request and resource into the log lines of this thread."""
    return run.operation.request.bound(resource_id=run.operation.resource[1])
