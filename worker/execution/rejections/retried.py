# SPDX-License-Identifier: Apache-2.0
"""Have a rejected message accepted after all, as an operator asks.

The message passes the same checks as one from the bus, with the methods that the service has now:
after an upgrade, or when a missing table is there. It becomes an operation once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow.persistence.models import FlowDetail

from worker.execution.pools.operation_pool import OperationPool
from worker.execution.slot_journal import SlotJournal
from worker.journal.entries.listed_entry import JournalEntry
from worker.metrics.definitions import CASTS_ACCEPTED
from worker.metrics.measurements import MEASURED
from worker.rpc.dispatch import BadMessage, DirectCall, Dispatcher
from worker.rpc.operation import Operation

LOG = logging.getLogger(__name__)


class RetryRefused(Exception):
    """The message cannot become an operation now; the text says why."""


class MessageRetry:
    """Turns rejected messages into operations of one process."""

    def __init__(
        self, journal: SlotJournal, operations: OperationPool, dispatcher: Dispatcher
    ) -> None:
        self._journal = journal.journal
        self._until_available = journal.retry.until_available
        self._slot = journal.slot
        self._operations = operations
        self._dispatcher = dispatcher

    def check(self, message: str) -> str:
        """Return the answer that :meth:`retry` would give. :raises RetryRefused: it refuses."""
        return f"{self._operation(self._find(message))} would be accepted"

    def retry(self, message: str) -> str:
        """Accept a rejected message; return the answer to the operator.

        :raises RetryRefused: it is no operation, or has become one already.
        :raises JournalError: it is not accepted.
        """
        operation = self._operation(self._find(message))
        rejected = self._journal.rejected
        if not self._until_available(lambda: rejected.accept(message, self._slot, operation)):
            raise RetryRefused(f"message {message} was dropped, or accepted, meanwhile")
        detail: FlowDetail = self._until_available(lambda: self._journal.load(message))
        MEASURED.count(CASTS_ACCEPTED, operation.method)
        LOG.info("%s is accepted from a rejected message: %s", operation, message)
        self._operations.start(operation, detail)
        return f"{operation} is accepted"

    def _find(self, message: str) -> JournalEntry:
        def read() -> list[JournalEntry]:
            return self._journal.entries(rejected=True, beginning=message, limit=1)

        if found := self._until_available(read):
            return found[0]
        if self._until_available(lambda: self._journal.entries(beginning=message, limit=1)):
            raise RetryRefused(f"message {message} is an operation already: it was accepted before")
        raise RetryRefused(f"there is no rejected message {message}")

    def _operation(self, entry: JournalEntry) -> Operation:
        """Return the operation of a rejected message. :raises RetryRefused: it is none."""
        message, context = entry.meta.get("message"), entry.meta.get("request")
        if not isinstance(message, Mapping):
            raise RetryRefused(f"the contents of message {entry.flow} were not kept")
        try:
            made = self._dispatcher.dispatch(message, _mapping(context))
        except BadMessage as error:
            raise RetryRefused(f"it would be rejected again: {error}") from error
        except Exception as error:
            text = f"it would be rejected again: {type(error).__name__}: {error}"
            raise RetryRefused(text) from error
        if isinstance(made, DirectCall):
            raise RetryRefused(f"{made.method} is no operation: send it again")
        if self._operations.is_busy(made):
            raise RetryRefused(f"another operation works on {' '.join(made.resource)}: retry later")
        return made


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
