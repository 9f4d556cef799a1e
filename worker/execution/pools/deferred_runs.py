# SPDX-License-Identifier: Apache-2.0
"""Operations that wait for the end of another one, as volumes of an image that is being read."""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.execution.pools.thread_pool import PoolCounts
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.execution.runs.operation_run import OperationRun
from worker.execution.slot_journal import SlotJournal


class DeferredRuns:
    """Runs that wait in the queue of a lock, without a thread and without their own locks.

    :param most: how many of them keep no other operation from being accepted.
    """

    def __init__(self, journal: SlotJournal, queue: ResourceQueue, most: int) -> None:
        self._journal = journal
        self._queue = queue
        self._most = most
        self._guard = threading.Lock()
        self._waiting = 0

    def next_attempt(self, run: OperationRun) -> OperationRun:
        """Return the run that takes the place of one that waits.

        :raises ProcessStopping: the journal is away, and the process stops.
        """
        detail = self._journal.retry.until_available(lambda: self._journal.journal.load(run.flow))
        following = OperationRun(run.operation, detail, resumed=True, deferrals=run.deferrals + 1)
        following.cancelled, following.since = run.cancelled, run.since
        return following

    def wait(
        self, run: OperationRun, lock: str, pool: PoolCounts, start: Callable[[int], None]
    ) -> None:
        """Start a run when the operations that hold a lock exclusively have ended.

        :param pool: its threads, where it counts as one that waits for them afterwards.
        :param start: called with the bytes with which it is counted there.
        """
        size = run.pack()
        with self._guard:
            counted = self._waiting >= self._most
            self._waiting += 1
        if counted:
            pool.add_waiting(size)

        def ended() -> None:
            with self._guard:
                self._waiting -= 1
            if not counted:
                pool.add_waiting(size)
            self._queue.leave(ticket)
            run.has_turn = True
            start(size)

        ticket = Ticket((), (lock,), ended)
        self._queue.enter(ticket)
