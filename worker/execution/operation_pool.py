# SPDX-License-Identifier: Apache-2.0
"""The accepted operations of one process: their order, their threads and their number.

Operations on one resource run in the order of their acceptance. New casts have threads
of their own, as many as the service may run at once; data transfers have others, and so
have resumed operations; a call runs on the thread of its message.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from taskflow.persistence.models import FlowDetail

from flows.engine import Outcome
from flows.errors import FlowError, OperationCancelled, ProcessStopping, RunInterrupted
from worker.execution.executor import Executor, OperationRun
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.execution.resume_pool import ResumePool
from worker.execution.retry import JournalRetry
from worker.journal.errors import JournalError
from worker.journal.journal import Journal
from worker.rpc.operation import Operation

LOG = logging.getLogger(__name__)

_UNLIMITED = 256
"""Threads for data transfers where their number has no limit."""

_DELETIONS = frozenset({"delete_volume", "delete_snapshot", "delete_backup"})
"""Methods after which the locks of their resource are not needed any more."""


class Submitted(Protocol):
    """The operations that flows start."""

    def take(self) -> Iterable[tuple[Operation, FlowDetail]]:
        """Return the operations that were submitted and not taken yet."""


class OperationPool:
    """Runs the operations of one process.

    :param queue: orders operations on one resource, and holds their locks.
    :param slot: the owner of their flows in the journal.
    :param size: how many operations that are no data transfers run at once.
    :param data_transfers: how many data transfers run at once; 0 for no limit.
    :param submitted: the operations that flows start.
    :param stopping: set when the process stops.
    """

    def __init__(
        self,
        executor: Executor,
        journal: Journal,
        journal_retry: JournalRetry,
        queue: ResourceQueue,
        *,
        slot: str,
        size: int,
        data_transfers: int = 0,
        submitted: Submitted | None = None,
        stopping: threading.Event,
    ) -> None:
        self._executor = executor
        self._journal = journal
        self._journal_retry = journal_retry
        self._queue = queue
        self._slot = slot
        self._size = size
        self._submitted = submitted
        self._stopping = stopping
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="operation")
        self._transfers = ThreadPoolExecutor(
            data_transfers or _UNLIMITED, thread_name_prefix="transfer"
        )
        self._resumed = ResumePool()
        self._active = 0
        self._changed = threading.Condition()
        self._runs: dict[str, OperationRun] = {}

    def wait_for_capacity(self, timeout: float) -> bool:
        """Wait for capacity. :raises ProcessStopping: no message is taken any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping.is_set() or self.has_capacity, timeout)
            if self._stopping.is_set():
                raise ProcessStopping("no message is taken any more")
            return self.has_capacity

    @property
    def has_capacity(self) -> bool:
        """Whether the next message is taken at once."""
        return self._active < self._size

    @contextmanager
    def capacity_taken(self) -> Iterator[None]:
        """Take capacity for a call, which runs on the thread of its message."""
        self._take_capacity()
        try:
            yield
        finally:
            self._free_capacity()

    def start(self, operation: Operation, detail: FlowDetail) -> None:
        """Run a new operation on a thread when its turn comes."""
        run = OperationRun(operation, detail)
        if operation.moves_data:
            self._enqueue(run, functools.partial(self._submit, self._transfers))
            return
        self._take_capacity()
        self._enqueue(run, functools.partial(self._submit, self._threads), self._free_capacity)

    def start_submitted(self) -> None:
        """Run the operations that flows have started since the last call."""
        if self._submitted is not None:
            for operation, detail in self._submitted.take():
                self.start(operation, detail)

    def start_call(self, call: Callable[[], None]) -> None:
        """Make a call that starts no flow, on a thread, within the capacity."""

        def work() -> None:
            try:
                call()
            finally:
                self._free_capacity()

        self._take_capacity()
        self._submit(self._threads, work)

    def run(self, operation: Operation, detail: FlowDetail) -> Outcome:
        """Run a new operation on this thread when its turn comes, and return its outcome.

        :raises ProcessStopping: it is resumed, or reverted, at the next start.
        """
        run = OperationRun(operation, detail)
        self._register(run)
        try:
            with _bound(run), self._queue.turn(operation.exclusive, operation.shared):
                return self._execute(run)
        finally:
            self._forget(run)
            self.start_submitted()

    def load_unfinished(self) -> int:
        """Schedule the interrupted operations of the slot for a resume, and return how many.

        New operations on the same resources wait for them. They run after :meth:`resume`.
        """
        details = self._journal_retry.until_available(lambda: self._journal.unfinished(self._slot))
        return sum(self.schedule_resume(detail) for detail in details)

    def schedule_resume(self, detail: FlowDetail) -> bool:
        """Resume an operation, or go on with its reverts, when its turn comes.

        :returns: False where this version cannot read its journal entry, and leaves it.
        """
        try:
            operation = Operation.from_meta(detail.meta)
        except (KeyError, TypeError, ValueError, LookupError) as error:
            flow = f"flow {detail.uuid} of slot {self._slot}"
            LOG.error("%s cannot be resumed by this version and is left: %r", flow, error)
            return False
        reason = detail.meta.get("undo")
        cancelled = OperationCancelled(reason) if reason else None
        run = OperationRun(operation, detail, resumed=True, cancelled=cancelled)
        times = int(detail.meta.get("resumes", 0))
        pool = self._transfers if operation.moves_data else None
        self._enqueue(run, functools.partial(self._resumed.submit, times, pool=pool))
        return True

    def resume(self) -> None:
        """Start the scheduled operations: the driver is up."""
        self._resumed.start()

    def find(self, flow: str) -> OperationRun | None:
        """Return an operation that has not ended."""
        return self._runs.get(flow)

    def cancel(self, run: OperationRun, cause: FlowError) -> None:
        """Revert an operation from its next task boundary on."""
        self._executor.cancel(run, cause)

    def close(self) -> None:
        """Take no message any more; the rest stays with the broker."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def stop(self, grace: float, urgent: Callable[[], bool] = lambda: False) -> bool:
        """Let operations end, and return whether all did.

        :param grace: seconds after which the rest is suspended at a task boundary.
        :param urgent: called a few times a second; True ends the grace.
        """
        self.close()
        for pool in (self._threads, self._transfers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._resumed.close()
        self._executor.close()
        if self._executor.drained(grace, urgent):
            return True
        left = self._executor.suspend()
        LOG.warning("%d operations are suspended and resume at the next start", left)
        return self._executor.drained(1.0)

    def _take_capacity(self) -> None:
        with self._changed:
            self._active += 1

    def _free_capacity(self) -> None:
        with self._changed:
            self._active -= 1
            self._changed.notify()

    def _enqueue(
        self,
        run: OperationRun,
        start: Callable[..., None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Start a run on a thread when its turn comes.

        :param start: called with a function and its arguments when the turn has come.
        :param ended: called on the thread, at the end.
        """
        operation = run.operation
        ticket = Ticket(
            operation.exclusive,
            operation.shared,
            lambda: start(self._run_and_leave, run, ticket, ended),
        )
        self._register(run)
        self._queue.enter(ticket)

    @staticmethod
    def _submit(pool: ThreadPoolExecutor, work: Callable[..., None], *args: Any) -> None:
        try:
            pool.submit(work, *args)
        except RuntimeError:
            LOG.debug("not started before the stop; it stays in the journal")

    def _run_and_leave(self, run: OperationRun, ticket: Ticket, ended: Callable[[], None]) -> None:
        try:
            with _bound(run), self._queue.held(ticket):
                self._execute(run)
        except RunInterrupted as error:
            LOG.warning("an operation waits for the next start: %s", error)
        except BaseException:
            LOG.exception("an operation ended in an unexpected error; it is resumed at a start")
        finally:
            self._queue.leave(ticket)
            self._forget(run)
            ended()
            self.start_submitted()

    def _register(self, run: OperationRun) -> None:
        with self._changed:
            self._runs[run.flow] = run

    def _forget(self, run: OperationRun) -> None:
        with self._changed:
            self._runs.pop(run.flow, None)

    def _execute(self, run: OperationRun) -> Outcome:
        """Run an operation that holds its locks."""
        operation = run.operation
        outcome = self._executor.run(run, self._revert_late)
        if outcome.state == "done" and operation.method in _DELETIONS:
            self._queue.forget((*operation.exclusive, operation.resource[1]))
        return outcome

    def _revert_late(self, run: OperationRun) -> None:
        """Revert the effect of a driver call that returned after its operation had ended."""
        run.ended.wait()
        if self._stopping.is_set():
            return
        try:
            detail = self._journal_retry.until_available(
                lambda: self._journal.revert_again(run.flow)
            )
            self.schedule_resume(detail)
        except JournalError as error:
            advice = f"look, then: holdfast flow revert {run.flow}"
            LOG.error("%s ended late, its effect may be left: %s; %s", run.operation, error, advice)


def _bound(run: OperationRun) -> AbstractContextManager[None]:
    """Put request and resource into the log lines of this thread."""
    return run.operation.request.bound(resource_id=run.operation.resource[1])
