# SPDX-License-Identifier: Apache-2.0
"""Carry out the requests of operators: cancel a flow, revert it, or run it once more."""

from __future__ import annotations

import logging
import threading

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.models import FlowDetail

from flows.errors import OperationCancelled, ProcessStopping
from flows.factories import NotOfThisVersion
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.rejections.retried import MessageRetry, RetryRefused
from worker.execution.retry import JournalRetry
from worker.journal.entries.ended_operation import MASKED
from worker.journal.entries.stored_operation import operation_of
from worker.journal.errors import JournalError, UnreadableEntry
from worker.journal.journal import Journal
from worker.journal.operator_requests import DRAIN, OperatorRequest, RequestResult
from worker.metrics.beats import BEATS

LOG = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two queries for requests."""

_REASON = "cancelled by an operator"


class RequestRefused(Exception):
    """A request that does not fit the state of its flow; the text says why."""


class RequestHandler:
    """Cancels, reverts and resumes flows; each method returns the answer to the operator.

    An outage of the journal is waited for: a request whose write took effect, and whose
    answer was lost, would not be carried out after the next query either.
    """

    def __init__(
        self, journal: Journal, journal_retry: JournalRetry, operations: OperationPool
    ) -> None:
        self._journal = journal
        self._until_available = journal_retry.until_available
        self._operations = operations

    def cancel(self, flow: str) -> str:
        """Revert an operation from its next task boundary on.

        :raises RequestRefused: it has ended.
        :raises JournalError: there is no such flow.
        """
        run = self._operations.find(flow)
        if run is None:
            raise RequestRefused(f"flow {flow} has ended: {self._load(flow).state}")
        run.unpack()
        self._until_available(lambda: self._journal.request_revert(run.detail, _REASON))
        self._operations.cancel(run, OperationCancelled(_REASON))
        return "it is reverted from its next task boundary on"

    def revert(self, flow: str) -> str:
        """Cancel an operation that has not ended, or repeat the reverts that failed.

        :raises RequestRefused: nothing is left to revert, or the secrets for it were removed.
        :raises JournalError: there is no such flow.
        """
        if self._operations.find(flow) is not None:
            return self.cancel(flow)
        entry = self._load(flow)
        state = entry.state
        if state != states.FAILURE:
            how = "was reverted" if state == states.REVERTED else f"has ended: {state}"
            raise RequestRefused(f"flow {flow} {how}; nothing is left to revert")
        _require_operation(entry)
        if entry.meta.get(MASKED):
            text = "was kept without the passwords and tokens that its reverts may need"
            raise RequestRefused(f"flow {flow} {text}: remove its remains on the backend")
        detail = self._until_available(lambda: self._journal.revert_again(flow))
        self._operations.resumed.schedule(detail)
        return "the reverts that failed are repeated"

    def resume(self, flow: str) -> str:
        """Run an operation that was reverted once more.

        :raises RequestRefused: it was not reverted, or its caller has gone.
        :raises JournalError: there is no such flow.
        """
        if self._operations.find(flow) is not None:
            raise RequestRefused(f"flow {flow} is already running")
        detail = self._load(flow)
        if detail.state not in (states.REVERTED, states.FAILURE):
            raise RequestRefused(f"flow {flow} has ended: {detail.state}")
        if (detail.meta or {}).get("when_cut_short", "revert") == "revert":
            raise RequestRefused(f"the caller of {detail.name} is gone: send the request again")
        _require_operation(detail)
        self._operations.resumed.schedule(self._until_available(lambda: self._journal.reopen(flow)))
        return "it is run once more from its beginning"

    def _load(self, flow: str) -> FlowDetail:
        return self._until_available(lambda: self._journal.load(flow))


def _require_operation(entry: FlowDetail) -> None:
    """:raises RequestRefused: nothing of the entry can be run."""
    try:
        operation_of(entry)
    except (NotOfThisVersion, UnreadableEntry) as error:
        text = f"flow {entry.uuid} is no operation of this version: {error}"
        raise RequestRefused(text) from error


class RequestPoller:
    """Polls the journal for requests until the service stops.

    :param slot: the owner of this process's flows.
    :param draining: set when an operator asks the process to stop its work.
    :param messages: turns rejected messages into operations.
    """

    def __init__(
        self,
        journal: Journal,
        slot: str,
        handler: RequestHandler,
        stopping: threading.Event,
        draining: threading.Event,
        messages: MessageRetry,
    ) -> None:
        self._journal = journal
        self._slot = slot
        self._stopping = stopping
        self._draining = draining
        self._actions = {
            "cancel": handler.cancel,
            "revert": handler.revert,
            "resume": handler.resume,
            "retry": messages.retry,
            "check": messages.check,
        }
        self._results: dict[int, RequestResult] = {}  # that are not written yet

    def start(self) -> None:
        """Start to poll, on a thread of its own."""
        threading.Thread(target=self._loop, name="requests", daemon=True).start()

    def _loop(self) -> None:
        while not self._stopping.wait(PAUSE):
            BEATS.beat("requests")
            try:
                self._journal.insertions.remove_withdrawn()
                for request in self._journal.requests.pending(self._slot):
                    self._answer(request)
            except (sa.exc.SQLAlchemyError, JournalError) as error:
                LOG.debug("no requests could be read: %s", error)
            except ProcessStopping:
                return
            except Exception:
                LOG.exception("a request was not carried out")

    def _answer(self, request: OperatorRequest) -> None:
        """Carry a request out, once, and write its result, as often as that takes."""
        if request.id not in self._results:
            self._results[request.id] = self._carry_out(request)
        self._journal.requests.answer(request.id, self._results[request.id])
        del self._results[request.id]
        if request.action == DRAIN:  # after the answer: the slot is given up
            self._draining.set()

    def _carry_out(self, request: OperatorRequest) -> RequestResult:
        if request.action == DRAIN:
            LOG.info("an operator asks to drain this process")
            return RequestResult(True, f"{self._slot} stops its work")
        LOG.info("an operator asks: %s %s", request.action, request.flow)
        action = self._actions.get(request.action)
        if action is None:
            return RequestResult(False, f"this version does not know the request {request.action}")
        try:
            return RequestResult(True, action(request.flow))
        except (RequestRefused, RetryRefused, JournalError) as error:
            LOG.info("refused: %s", error)
            return RequestResult(False, str(error))
