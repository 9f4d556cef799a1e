# SPDX-License-Identifier: Apache-2.0
"""Operations that were interrupted, or ended too early: scheduled to resume or to be reverted."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable

from taskflow.persistence.models import FlowDetail

from flows.errors import OperationCancelled
from flows.factories import NotOfThisVersion
from worker.execution.fairness.fair_executor import FairExecutor
from worker.execution.pools.resume_pool import ResumeCandidate, ResumePool
from worker.execution.runs.operation_run import OperationRun
from worker.execution.slot_journal import SlotJournal
from worker.journal import interruptions
from worker.journal.entries.stored_operation import operation_of
from worker.journal.errors import JournalError, UnreadableEntry

LOG = logging.getLogger(__name__)


class ResumedOperations:
    """The operations of a slot that resume, beside the new ones of its process.

    :param pool: the threads on which they resume.
    :param transfers: the threads of those that move data.
    :param enqueue: calls a function when a run has its turn on its resources.
    :param max_resumes: returns how often one is resumed before it is reverted.
    :param stopping: set when the process stops.
    """

    def __init__(
        self,
        journal: SlotJournal,
        pool: ResumePool,
        transfers: FairExecutor,
        enqueue: Callable[[OperationRun, Callable[..., None]], None],
        *,
        max_resumes: Callable[[], int],
        stopping: threading.Event,
    ) -> None:
        self._journal = journal.journal
        self._until_available = journal.retry.until_available
        self._slot = journal.slot
        self._pool = pool
        self._transfers = transfers
        self._enqueue = enqueue
        self._max_resumes = max_resumes
        self._stopping = stopping

    def load_unfinished(self) -> int:
        """Schedule the interrupted operations of the slot for a resume, and return how many.

        New operations on the same resources wait for them. They run after :meth:`start`.
        """
        details = self._until_available(lambda: self._journal.unfinished(self._slot))
        return sum(self.schedule(detail) for detail in details)

    def adopt(self, details: Iterable[FlowDetail]) -> int:
        """Resume interrupted operations of another slot beside new ones; return how many.

        As after a restart, those that were interrupted before resume in groups.
        """
        self._pool.hold()
        try:
            return sum(self.schedule(detail) for detail in details)
        finally:
            self._pool.start()

    def schedule(self, detail: FlowDetail) -> bool:
        """Resume an operation, or continue its reverts, when its turn comes.

        :returns: False where this version has no such operation, and leaves its journal entry;
            an entry that no version has written is set aside.
        """
        try:
            operation = operation_of(detail)
        except NotOfThisVersion as error:
            flow = f"flow {detail.uuid} of slot {self._slot}"
            LOG.error("%s cannot be resumed by this version and is left: %s", flow, error)
            return False
        except UnreadableEntry as unreadable:
            reason = str(unreadable)
            self._until_available(lambda: self._journal.set_aside(detail.uuid, reason, detail))
            return False
        undo = detail.meta.get("undo")
        cancelled = OperationCancelled(str(undo)) if undo else None
        run = OperationRun(operation, detail, resumed=True, cancelled=cancelled)
        candidate = ResumeCandidate.of(run, interruptions.of(detail), self._max_resumes())
        pool = self._transfers if operation.moves_data else None
        run.pack()
        self._enqueue(run, functools.partial(self._pool.submit, candidate, pool=pool))
        return True

    def start(self) -> None:
        """Start the scheduled operations: the driver is up."""
        self._pool.start()

    def revert_late(self, run: OperationRun) -> None:
        """Revert the effect of a driver call that returned after its operation had ended."""
        run.ended.wait()
        if self._stopping.is_set():
            return
        try:
            detail = self._until_available(lambda: self._journal.revert_again(run.flow, run.detail))
            self.schedule(detail)
        except JournalError as error:
            text = "%s ended late, its effect may be left: %s; %s"
            LOG.error(text, run.operation, error, run.next_step)
