# SPDX-License-Identifier: Apache-2.0
"""What operators may wish of a flow: cancel it, revert it, or run it once more."""

from __future__ import annotations

from collections.abc import Callable

from taskflow import states
from taskflow.persistence.models import FlowDetail

from flows.errors import OperationCancelled
from worker.execution.executor import Executor, Job
from worker.journal.journal import Journal

_REASON = "cancelled by an operator"


class ActionRefused(Exception):
    """A wish that makes no sense; the text says why."""


class OperatorActions:
    """Carries out wishes; each method returns what to tell the operator.

    :param job: finds an operation that has not ended.
    :param take_over: lets a flow that had ended go on.
    """

    def __init__(
        self,
        journal: Journal,
        execution: Executor,
        job: Callable[[str], Job | None],
        take_over: Callable[[FlowDetail], bool],
    ) -> None:
        self._journal = journal
        self._execution = execution
        self._job = job
        self._take_over = take_over

    def cancel(self, flow: str) -> str:
        """Undo an operation from its next task boundary on.

        :raises Refusal: it has ended.
        :raises JournalError: there is no such flow.
        """
        job = self._job(flow)
        if job is None:
            raise ActionRefused(f"flow {flow} has ended: {self._journal.load(flow).state}")
        self._journal.wish(job.detail, _REASON)
        self._execution.cancel(job, OperationCancelled(_REASON))
        return "it is undone from its next task boundary on"

    def revert(self, flow: str) -> str:
        """Cancel an operation that has not ended, or undo what its undoing has left.

        :raises Refusal: nothing is left to undo.
        :raises JournalError: there is no such flow.
        """
        if self._job(flow) is not None:
            return self.cancel(flow)
        state = self._journal.load(flow).state
        if state != states.FAILURE:
            what = "was undone" if state == states.REVERTED else f"has ended: {state}"
            raise ActionRefused(f"flow {flow} {what}; nothing is left to undo")
        self._take_over(self._journal.undo_again(flow))
        return "what was left of it is undone"

    def resume(self, flow: str) -> str:
        """Run an operation that was undone once more.

        :raises Refusal: it was not undone, or its caller has gone.
        :raises JournalError: there is no such flow.
        """
        if self._job(flow) is not None:
            raise ActionRefused(f"flow {flow} goes on already")
        detail = self._journal.load(flow)
        if detail.state not in (states.REVERTED, states.FAILURE):
            raise ActionRefused(f"flow {flow} has ended: {detail.state}")
        if detail.meta.get("when_cut_short", "revert") == "revert":
            raise ActionRefused(
                f"nobody waits for the answer of {detail.name} any more: ask it anew"
            )
        self._take_over(self._journal.reopen(flow))
        return "it is run once more from its beginning"
