# SPDX-License-Identifier: Apache-2.0
"""The calls of one process: each waits for its turn on its resource, and for a thread.

A call has a caller that waits for a reply. So it is journalled when its turn has come, and a
stop replies to those whose turn has not.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from taskflow.persistence.models import FlowDetail

from flows.engine.flow_run import Outcome
from flows.errors import ProcessStopping
from worker.execution.pools.thread_pool import ThreadPool
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.rpc.operation import Operation

Ended = Callable[[Outcome | None, BaseException | None], None]
"""Called at the end of a call, with its outcome or with an error."""

Accept = Callable[[], FlowDetail | None]
"""Journals the operation of a call whose turn has come; None where it is not to be run."""

NOT_BEGUN = "it was not begun: the service stops"


class CallRuns(Protocol):
    """Runs the operations of calls."""

    def run_accepted(
        self,
        ticket: Ticket,
        operation: Operation,
        accept: Accept,
        patience: float | None = None,
    ) -> Outcome | None:
        """Run an operation whose turn has come, on this thread.

        :param patience: seconds of an outage in which its locks are waited for; None for all.
        :raises LocksUnavailable: they were not to be had in that time.
        """

    def call_ended(self) -> None:
        """Note that a turn has ended; called before the reply."""

    def start_submitted(self) -> None:
        """Run the operations that flows have started; called after the reply."""


class CallPool:
    """Threads for calls, and the calls that wait.

    :param runs: runs their operations.
    :param queue: orders operations on one resource.
    :param stopping: set when the process stops.
    """

    def __init__(
        self,
        pool: ThreadPool,
        runs: CallRuns,
        queue: ResourceQueue,
        stopping: threading.Event,
    ) -> None:
        self._pool = pool
        self._runs = runs
        self._queue = queue
        self._stopping = stopping
        self._guard = threading.Lock()
        self._waiting: dict[Ticket, Ended] = {}
        self._arrived: Counter[str] = Counter()
        self._begun: dict[Ticket, str] = {}
        """Methods of those that have not their locks yet."""

    @property
    def pool(self) -> ThreadPool:
        """Its threads."""
        return self._pool

    def waiting(self) -> Counter[tuple[str, str]]:
        """Return how many calls wait, by method and reason: ``turn``, ``thread`` or ``lock``."""
        with self._guard:
            found = Counter({(method, "thread"): n for method, n in self._arrived.items() if n})
            for ticket, method in self._begun.items():
                has_turn = "lock" if ticket not in self._waiting else "thread"
                found[method, "turn" if ticket.waits_for else has_turn] += 1
        return found

    def locked(self, ticket: Ticket) -> None:
        """Note that a call has its locks."""
        with self._guard:
            self._begun.pop(ticket, None)

    def start(self, begin: Callable[[], None], size: int = 0, method: str = "") -> bool:
        """Begin a call on a thread; return False where too many wait.

        :param size: the bytes of its message.
        :param method: of the call, for monitors.
        """
        if not self._pool.accepts_more:
            return False

        def work() -> None:
            with self._guard:
                self._arrived[method] -= 1
            with self._pool.running(size):
                begin()

        with self._guard:
            self._arrived[method] += 1
        self._pool.add_waiting(size)
        self._pool.submit(work)
        return True

    def run(
        self,
        operation: Operation,
        accept: Accept,
        ended: Ended,
        size: int = 0,
        patience: float | None = None,
    ) -> None:
        """Run the operation of a call: at once on this thread, or later when its turn comes.

        :param ended: called with its outcome, or with an error in place of one.
        :param size: the bytes of its message.
        :param patience: seconds of an outage in which its locks are waited for; None for all.
        """
        run = functools.partial(self._run, operation=operation, accept=accept, patience=patience)
        here = threading.get_ident()
        at_once: list[Ticket] = []
        entering = True

        def ready() -> None:
            if entering and threading.get_ident() == here:
                at_once.append(ticket)
            else:
                self._pool.submit(run, ticket, size)

        ticket = Ticket(operation.exclusive, operation.shared, ready, operation)
        with self._guard:
            self._waiting[ticket] = ended
            self._begun[ticket] = operation.method
        self._pool.add_waiting(size)
        self._queue.enter(ticket)
        entering = False
        if at_once:
            run(ticket, size)
        elif self._stopping.is_set():
            self._fail(ticket)

    def fail_waiting(self) -> list[Future[None]]:
        """Reply to the calls whose turn does not come before the stop."""
        with self._guard:
            waiting = list(self._waiting.values())
            self._waiting.clear()
        error = ProcessStopping(NOT_BEGUN)
        return [self._pool.executor.submit(ended, None, error) for ended in waiting]

    def close(self) -> None:
        """Start no thread any more; calls that were submitted get their error."""
        self._pool.close()

    def _fail(self, ticket: Ticket) -> None:
        """Reply to a call that came during the stop."""
        with self._guard:
            ended = self._waiting.pop(ticket, None)
        if ended is not None:
            ended(None, ProcessStopping(NOT_BEGUN))

    def _run(
        self,
        ticket: Ticket,
        size: int,
        *,
        operation: Operation,
        accept: Accept,
        patience: float | None,
    ) -> None:
        """Run a call's operation, whose turn has come, on this thread."""
        with self._guard:
            ended = self._waiting.pop(ticket, None)
        outcome: Outcome | None = None
        failed: BaseException | None = None
        try:
            with self._pool.running(size):
                if ended is not None:
                    outcome = self._runs.run_accepted(ticket, operation, accept, patience)
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            failed = error
        finally:
            self.locked(ticket)
            self._queue.leave(ticket)
            self._runs.call_ended()
        if ended is not None and (outcome is not None or failed is not None):
            ended(outcome, failed)
        self._runs.start_submitted()
