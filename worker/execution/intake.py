# SPDX-License-Identifier: Apache-2.0
"""Accept messages from the bus: write them to the journal and hand them to the threads.

A cast is acknowledged when it is in the journal. A call is in the journal as well while
it runs, so that none is left half done.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from flows.errors import DriverNotInitialized, FlowError, ProcessStopping
from worker.execution.operation_pool import OperationPool
from worker.execution.rejected import RejectedMessages, generated_id
from worker.execution.retry import JournalRetry
from worker.journal.errors import JournalRefused, JournalUnavailable
from worker.journal.journal import Journal
from worker.rpc.dispatch import BadMessage, DirectCall, Dispatcher
from worker.rpc.operation import Operation

LOG = logging.getLogger(__name__)


class Intake:
    """Implements :class:`worker.rpc.server.MessageIntake` for one process.

    :param slot: the owner of the accepted flows in the journal.
    :param operations: runs the accepted operations.
    :param rejected: keeps messages that no endpoint accepts.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: Journal,
        journal_retry: JournalRetry,
        operations: OperationPool,
        rejected: RejectedMessages,
        *,
        slot: str,
    ) -> None:
        self._dispatcher = dispatcher
        self._journal = journal
        self._journal_retry = journal_retry
        self._operations = operations
        self._rejected = rejected
        self._slot = slot

    def wait_for_capacity(self, timeout: float) -> bool:
        """Wait for capacity. :raises ProcessStopping: no message is taken any more."""
        return self._operations.wait_for_capacity(timeout)

    def cast(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        """Journal a cast and start it. :raises ProcessStopping: it is not in the journal."""
        try:
            dispatched = self._dispatcher.dispatch(message, context)
        except BadMessage as error:
            self._rejected.message(message, context, error)
            return
        except Exception as error:  # noqa: BLE001 - the message may hold anything at all
            bad = BadMessage(f"{type(error).__name__}: {error}")
            self._rejected.message(message, context, bad)
            return
        if isinstance(dispatched, DirectCall):
            self._operations.start_call(lambda: _invoke_direct_call(dispatched))
            return
        unique_id = _unique_id(message)
        try:
            detail = self._journal_retry.until_available(
                lambda: self._journal.accept(unique_id, self._slot, dispatched)
            )
        except JournalRefused as error:
            self._reject_unstorable(message, context, error)
            return
        if detail is None:
            LOG.info("%s came twice, it is run once: message %s", dispatched.method, unique_id)
            return
        self._operations.start(dispatched, detail)

    def call(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
        """Carry out a call on its thread and return its answer."""
        with self._operations.capacity_taken():
            try:
                dispatched = self._dispatcher.dispatch(message, context)
            except BadMessage as error:
                LOG.error("call refused: %s", error)
                raise
            if isinstance(dispatched, DirectCall):
                return dispatched.invoke()
            return self._answer(dispatched, _unique_id(message))

    def _reject_unstorable(
        self, message: Mapping[str, Any], context: Mapping[str, Any], refusal: JournalRefused
    ) -> None:
        """Reject a message that the journal refuses.

        A journal that refuses this as well has no tables, or no rights: no message is at
        fault, and none is acknowledged until it is mended.
        """

        def reject() -> None:
            try:
                self._rejected.message(message, context, BadMessage(str(refusal)), must=True)
            except JournalRefused as error:
                raise JournalUnavailable(str(error)) from error

        self._journal_retry.until_available(reject)

    def malformed(self, body: Any, error: Exception) -> None:
        """Keep a message that cannot be read."""
        self._rejected.unreadable(body, error)

    def _answer(self, operation: Operation, unique_id: str) -> Any:
        """Run a call and return its answer.

        :raises JournalError: nothing was done; the caller may ask again.
        :raises ProcessStopping: it is done, or reverted, at the next start.
        """
        detail = self._accept_call(operation, unique_id)
        if detail is None:  # its first delivery runs, or has run; running it twice is harmless
            detail = self._accept_call(operation, generated_id())
        assert detail is not None
        outcome = self._operations.run(operation, detail)
        if outcome.state == "suspended":
            raise ProcessStopping(f"{operation.method} was interrupted: the service stops")
        if outcome.failure is not None:
            raise _error_of(outcome.failure)
        return operation.answer(outcome.result) if operation.answer else outcome.result

    def _accept_call(self, operation: Operation, unique_id: str) -> FlowDetail | None:
        """Journal a call; an outage fails it, and then it does not run later either.

        :raises JournalError: nothing was done.
        """
        try:
            return self._journal.accept(unique_id, self._slot, operation)
        except JournalUnavailable:  # the connection may have died before, or after the commit
            try:
                return self._journal.accept(unique_id, self._slot, operation)
            except JournalUnavailable:
                self._journal.withdraw(unique_id)
                raise


def _unique_id(message: Mapping[str, Any]) -> str:
    return str(message.get("_unique_id") or "")


def _invoke_direct_call(call: DirectCall) -> None:
    """Make a call that was cast: its error has no caller, and is logged."""
    try:
        call.invoke()
    except BadMessage as error:
        LOG.error("%s refused: %s", call.method, error)
    except (FlowError, DriverNotInitialized) as error:
        LOG.error("%s failed: %s", call.method, error)
    except Exception:
        LOG.exception("%s ended in an unexpected error", call.method)


def _error_of(failure: Failure) -> BaseException:
    error = failure.exception
    return error if error is not None else FlowError(failure.exception_str)
