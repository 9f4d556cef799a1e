# SPDX-License-Identifier: Apache-2.0
"""Operations that flows start: journalled at once, run after the flow that started them.

A clean-up of a backend deletes volumes, each by an operation of its own.
"""

from __future__ import annotations

import queue
import uuid
from collections.abc import Iterator

from taskflow.persistence.models import FlowDetail

from drivers.interface.records import Record
from worker.execution.retry import JournalRetry
from worker.journal.entries.in_progress import MOST, UNFINISHED, ids_of
from worker.journal.journal import Journal
from worker.rpc import objects
from worker.rpc.dispatch import Dispatcher
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class SubmittedOperations:
    """Implements :class:`flows.protocols.service_records.ServiceOperations`.

    :param slot: the owner of the submitted operations in the journal.
    """

    def __init__(
        self, dispatcher: Dispatcher, journal: Journal, journal_retry: JournalRetry, slot: str
    ) -> None:
        self._dispatcher = dispatcher
        self._journal = journal
        self._journal_retry = journal_retry
        self._slot = slot
        self._accepted: queue.SimpleQueue[tuple[Operation, FlowDetail]] = queue.SimpleQueue()

    def in_progress(self) -> set[str]:
        """Return the ids of resources, and in arguments, of the operations that have not ended."""
        return ids_of(self._journal.entries(among=UNFINISHED, limit=MOST))

    def delete_volume(self, volume: Record) -> None:
        """Journal the deletion of a volume with its snapshots, as a cast from the API does."""
        args = {"volume": objects.volume(volume), "cascade": True}
        message = {"method": "delete_volume", "version": "3.0", "args": args}
        operation = self._dispatcher.dispatch(message, RequestContext.admin().to_wire())
        assert isinstance(operation, Operation)
        unique_id = uuid.uuid4().hex
        detail = self._journal_retry.until_available(
            lambda: self._journal.accept(unique_id, self._slot, operation)
        )
        if detail is not None:
            self._accepted.put((operation, detail))

    def take(self) -> Iterator[tuple[Operation, FlowDetail]]:
        """Yield the operations that were submitted and not taken yet."""
        while True:
            try:
                yield self._accepted.get_nowait()
            except queue.Empty:
                return
