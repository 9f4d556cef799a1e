# SPDX-License-Identifier: Apache-2.0
"""Accept messages from the bus: write them to the journal and hand them to the threads.

A cast is acknowledged when it is in the journal. A call is in the journal as well while
it runs, so that none is left half done.
"""

from __future__ import annotations

import functools
import logging
import reprlib
import threading
from collections.abc import Sequence

from oslo_utils import units
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from flows.engine.flow_run import Outcome
from flows.errors import DriverNotInitialized, FlowError, ProcessStopping
from worker.call_log import MESSAGES, ShownMessage
from worker.execution.cast_queue import CastQueue
from worker.execution.fairness.backlog import WaitingCast
from worker.execution.log_limit import LogLimit
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.rejections.rejected import RejectedMessages
from worker.execution.slot_journal import SlotJournal
from worker.journal.entries.ended_operation import RESUMED
from worker.journal.entries.insertions import flow_id
from worker.journal.errors import JournalError, JournalRefused, JournalUnavailable
from worker.journal.journal import ENDED
from worker.locks import LocksUnavailable
from worker.metrics.definitions import CASTS_ACCEPTED, CASTS_REPEATED
from worker.metrics.measurements import MEASURED
from worker.rpc.dispatch import BadMessage, DirectCall, Dispatcher
from worker.rpc.operation import Operation, generated_id
from worker.rpc.server import Call, Cast

LOG = logging.getLogger(__name__)

UNDECODED_MAX = 64 * units.Mi
"""Bytes of casts that wait to be decoded, from which on the broker is asked to deliver fewer."""

OUTAGE_OF_LOCKS = 4.0
"""Seconds of an outage of the locks after which a call is left to another host: by then this one
does not consume the queue any more."""

DEFAULT_PATIENCE = 60.0
"""Seconds that a caller waits where its message does not say so: oslo.messaging's default."""

FIRST_POLL = 0.2
"""Seconds between two looks at the first delivery of a call, which runs."""

REPLY_TIME = 2.0
"""Seconds before a caller gives up in which it gets the error of a journal that is away: then it
knows that nothing was done."""


class Intake:
    """Implements :class:`worker.rpc.server.MessageIntake` for one process.

    :param operations: runs the accepted operations.
    :param rejected: keeps messages that no endpoint accepts.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: SlotJournal,
        operations: OperationPool,
        rejected: RejectedMessages,
        *,
        stopping: threading.Event,
    ) -> None:
        self._dispatcher = dispatcher
        self._journal = journal.journal
        self._until_available = journal.retry.until_available
        self._slot = journal.slot
        self._operations = operations
        self._rejected = rejected
        self._log = LogLimit(LOG)
        self._casts = CastQueue(
            self._dispatch,
            operations.admits,
            self._accept,
            operations.capacity_freed,
            stopping,
        )
        self._stopping = stopping

    @property
    def stops(self) -> bool:
        """Whether the process stops, and begins no call any more."""
        return self._stopping.is_set()

    @property
    def is_empty(self) -> bool:
        """Whether every cast that arrived was accepted."""
        return self._casts.is_empty

    @property
    def waiting(self) -> int:
        """How many casts arrived and were not accepted."""
        return self._casts.waiting

    @property
    def deferred(self) -> int:
        """How many casts the limits of waiting operations keep back."""
        return self._casts.deferred

    def start(self) -> None:
        """Begin to accept casts."""
        self._casts.start()

    def cast(self, cast: Cast) -> bool:
        """Journal a cast and start it, soon: projects in turns, each in the order of arrival.

        :returns: whether there is memory for further ones.
        """
        self._casts.put(cast)
        return self._casts.has_memory(UNDECODED_MAX)

    def call(self, call: Call) -> None:
        """Carry out a call on a thread for calls."""
        MESSAGES.debug("received the call %s", ShownMessage(call.message))
        name = call.message.get("method")
        method = name if isinstance(name, str) and self._dispatcher.has(name) else "unknown"
        begin = functools.partial(self._begin, call)
        if not self._operations.calls.start(begin, call.size, method):
            error = FlowError(f"{_method(call)} is refused: too many calls wait")
            LOG.warning("%s", error)
            self._operations.start_direct(lambda: call.reply(None, error))

    def _dispatch(self, cast: Cast) -> Operation | None:
        """Return the operation of a cast; None where there is none to be journalled."""
        try:
            message, context = cast.read()
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises
            self._rejected.unreadable(cast.body.contents, error)
            return None
        MESSAGES.debug("received the cast %s", ShownMessage(message))
        try:
            with cast.note.dispatching():
                dispatched = self._dispatcher.dispatch(message, context)
        except Exception as error:  # noqa: BLE001 - the message may hold anything at all
            bad = error if isinstance(error, BadMessage) else BadMessage(_described(error))
            self._rejected.message(message, context, bad)
            return None
        if isinstance(dispatched, DirectCall):
            self._operations.start_direct(lambda: _invoke_direct_call(dispatched))
            return None
        return dispatched

    def _accept(self, casts: Sequence[WaitingCast]) -> None:
        """Journal casts and start them. :raises ProcessStopping: they are not in the journal."""
        operations = [one.operation for one in casts]
        if len(casts) > 1 and (details := self._accept_together(operations)):
            for operation, detail in zip(operations, details, strict=True):
                self._start(operation, detail)
            return
        for one in casts:
            self._accept_one(one.cast, one.operation)

    def _accept_together(self, operations: Sequence[Operation]) -> list[FlowDetail]:
        """Journal casts in one transaction; return none where that is impossible.

        One of them may have come before, or not fit into the journal: each is accepted alone then,
        as after an outage, in which nobody knows whether the transaction was committed.
        """
        messages = [(operation.message_id, operation) for operation in operations]
        try:
            return self._journal.accept_together(messages, self._slot)
        except JournalError as error:
            LOG.debug("%d casts are accepted one by one: %s", len(operations), error)
            return []

    def _start(self, operation: Operation, detail: FlowDetail) -> None:
        MEASURED.count(CASTS_ACCEPTED, operation.method)
        self._operations.start(operation, detail)

    def _accept_one(self, cast: Cast, operation: Operation) -> None:
        """Journal a cast and start it. :raises ProcessStopping: it is not in the journal."""
        unique_id = operation.message_id
        try:
            detail = self._until_available(
                lambda: self._journal.accept(unique_id, self._slot, operation)
            )
        except JournalRefused as error:
            self._reject_unstorable(cast, error)
            return
        if detail is None:
            MEASURED.count(CASTS_REPEATED, operation.method)
            LOG.info("%s came twice, it is run once: message %.100s", operation.method, unique_id)
            return
        self._start(operation, detail)

    def _reject_unstorable(self, cast: Cast, refusal: JournalRefused) -> None:
        """Reject a message that the journal refuses.

        A journal that refuses this as well has no tables, or no rights: no message is at
        fault, and none is acknowledged until it is mended.
        """

        def reject() -> None:
            try:
                self._rejected.message(*cast.read(), BadMessage(str(refusal)), must=True)
            except JournalRefused as error:
                raise JournalUnavailable(str(error)) from error

        self._until_available(reject)

    def _begin(self, call: Call) -> None:
        """Carry out a call as far as it goes without a wait for its resource."""
        if _timed_out(call):
            return
        try:
            dispatched = self._dispatcher.dispatch(call.message, call.context)
            if isinstance(dispatched, DirectCall):
                call.reply(dispatched.invoke(), None)
                return
        except BadMessage as error:
            self._log.error("call refused: %s", error)
            call.reply(None, error)
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            call.reply(None, error)
        else:
            accept = functools.partial(self._accept_call, call, dispatched)
            ended = functools.partial(_reply, call, dispatched)
            patience = OUTAGE_OF_LOCKS if call.others_serve() else None
            self._operations.calls.run(dispatched, accept, ended, call.size, patience)

    def _accept_call(self, call: Call, operation: Operation) -> FlowDetail | None:
        """Journal a call; return None where its caller has given up meanwhile.

        :raises JournalError: nothing was done; the caller may ask again.
        """
        if _timed_out(call):
            return None
        unique_id = operation.message_id
        detail = self._journal_call(call, operation, unique_id)
        second = detail is None
        if second:
            if self._first_replies(call, operation, flow_id(unique_id)):
                LOG.info("%s came twice, it is run once: message %.100s", _method(call), unique_id)
                return None
            unique_id = generated_id()
            detail = self._journal_call(call, operation, unique_id)
        if _timed_out(call) or ((call.redelivered or second) and self._is_repeated(detail)):
            self._journal.insertions.withdraw(unique_id)
            return None
        return detail

    def _is_repeated(self, detail: FlowDetail | None) -> bool:
        """Return whether the caller has sent its request again meanwhile, with success.

        The first delivery was perhaps to a process that is gone with the caller, as both are when
        a host dies; the operation of the caller was resumed, and nothing waits for this reply.
        """
        if detail is None or not self._until_available(lambda: self._journal.was_repeated(detail)):
            return False
        LOG.info("%s is not carried out: its caller has sent it again, with success", detail.name)
        return True

    def _first_replies(self, call: Call, operation: Operation, flow: str) -> bool:
        """Return whether the reply is left to the first delivery of a call; wait while it runs.

        A connection that is made or ended twice is made or ended under the next user of the
        volume. Only where the first was interrupted, its caller waits still. An operation without
        an end, whose exclusive locks this thread has, was interrupted; it is resumed when it has
        them again: a wait for that would keep them from it.

        Where a stop, or an outage of the journal, ends the wait, there is neither an error, which
        the caller would get before the reply of the first, nor a copy for another host, which
        would not know of the first.
        """
        while not call.has_timed_out:
            try:
                first = self._until_available(lambda: self._journal.load(flow), call.time_left)
            except (JournalUnavailable, ProcessStopping):
                return True
            except JournalError:  # it was withdrawn before it began, or cannot be read
                return False
            if first.state in ENDED:
                return not first.meta.get(RESUMED)
            if operation.exclusive:
                return False
            if self._stopping.wait(FIRST_POLL):
                return True
        return True

    def _journal_call(self, call: Call, operation: Operation, unique_id: str) -> FlowDetail | None:
        """Journal a call; an outage is waited for as long as its caller waits.

        Then it does not run later either.

        :raises JournalError: nothing was done.
        :raises ProcessStopping: nothing was done.
        """
        left = DEFAULT_PATIENCE if call.time_left is None else call.time_left
        try:
            return self._until_available(
                lambda: self._journal.accept(unique_id, self._slot, operation),
                left - REPLY_TIME,
            )
        except (JournalUnavailable, ProcessStopping):
            self._journal.insertions.withdraw(unique_id)
            raise


def _timed_out(call: Call) -> bool:
    if not call.has_timed_out:
        return False
    LOG.debug("%s is not carried out: its caller has given up", _method(call))
    return True


def _reply(
    call: Call, operation: Operation, outcome: Outcome | None, error: BaseException | None
) -> None:
    """Send the outcome of a call to its caller, or leave an interrupted one to another host.

    One that was interrupted is done, or reverted, at the next start.
    """
    interrupted = outcome is not None and outcome.state == "suspended"
    kept_back = interrupted or isinstance(error, (ProcessStopping, LocksUnavailable))
    if kept_back and call.hand_over():
        reason = "the service stops" if interrupted else error
        LOG.info("this host leaves %s to another host: %s", operation.method, reason)
    elif outcome is None:
        call.reply(None, error)
    elif interrupted:
        call.reply(None, ProcessStopping(f"{operation.method} was interrupted: the service stops"))
    elif outcome.failure is not None:
        call.reply(None, _error_of(outcome.failure))
    else:
        result = outcome.result
        call.reply(operation.answer(result) if operation.answer else result, None)


def _method(call: Call) -> str:
    return reprlib.repr(call.message.get("method")).strip("'")


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


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
