# SPDX-License-Identifier: Apache-2.0
"""Operations that flows start: journalled at once, run after the flow that started them.

A clean-up of a backend deletes volumes, each by an operation of its own. The creation of a
volume has its image read into the cache.
"""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from taskflow.persistence.models import FlowDetail

from drivers.interface.records import Record
from flows.volume.image_cache import evict, fill
from worker.endpoints.arguments import volume_lock
from worker.execution.resource_queue import ResourceQueue, Ticket
from worker.execution.slot_journal import SlotJournal
from worker.journal.entries.in_progress import MOST, UNFINISHED, ids_of
from worker.rpc import objects
from worker.rpc.dispatch import Dispatcher
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class SubmittedOperations:
    """Implements :class:`flows.protocols.service_records.ServiceOperations`.

    :param resources: orders the operations.
    """

    def __init__(
        self, dispatcher: Dispatcher, journal: SlotJournal, resources: ResourceQueue
    ) -> None:
        self._dispatcher = dispatcher
        self._journal = journal.journal
        self._until_available = journal.retry.until_available
        self._slot = journal.slot
        self._resources = resources
        self._accepted: queue.SimpleQueue[tuple[Operation, FlowDetail]] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._filling: dict[str, Ticket] = {}

    def in_progress(self) -> set[str]:
        """Return the ids of resources, and in arguments, of the operations that have not ended."""
        return ids_of(self._journal.entries(among=UNFINISHED, limit=MOST))

    def delete_volume(self, volume: Record) -> None:
        """Journal the deletion of a volume with its snapshots, as a cast from the API does."""
        args = {"volume": objects.volume(volume), "cascade": True}
        message = {"method": "delete_volume", "version": "3.0", "args": args}
        operation = self._dispatcher.dispatch(message, RequestContext.admin().to_wire())
        assert isinstance(operation, Operation)
        self._submit(uuid.uuid4().hex, operation)

    def fill_image_cache(
        self, lock: str, image_id: str, place: Mapping[str, Any], pool: Mapping[str, str]
    ) -> None:
        """Journal the operation, unless one that holds the lock waits or runs here.

        Until its own ticket is in the queue of the lock another one keeps others waiting there.
        """
        with self._guard:
            if self._resources.is_exclusive(lock):
                return
            self._filling[lock] = Ticket((lock,), (), lambda: None)
            self._resources.enter(self._filling[lock])
        volume_id = str(uuid.uuid4())
        args = {"volume_id": volume_id, "image_id": image_id}
        operation = Operation(
            fill.flow,
            ("volume", volume_id),
            {**args, "place": dict(place), "pool": dict(pool)},
            exclusive=(lock, volume_lock(volume_id)),
            moves_data=True,
            method="fill_image_cache",
            request=RequestContext.admin(),
        )
        try:
            self._submit(uuid.uuid4().hex, operation)
        except BaseException:
            self._resources.leave(self._filling.pop(lock))
            raise

    def fills_image_cache(self, lock: str) -> bool:
        """Return whether an operation that holds a lock waits or runs here."""
        return self._resources.is_exclusive(lock)

    def evict_image_volume(self, volume_id: str, image_id: str) -> None:
        """Journal the deletion of a volume of the cache; one that was asked for stays one."""
        how = {"unmanage_only": False, "cascade": False}
        operation = Operation(
            evict.flow,
            ("volume", volume_id),
            {"volume_id": volume_id, "image_id": image_id, **how},
            exclusive=(volume_lock(volume_id),),
            method="evict_image_volume",
            request=RequestContext.admin(),
        )
        self._submit(f"evict {volume_id}", operation)

    def take(self) -> Iterator[tuple[Operation, FlowDetail]]:
        """Yield the operations that were submitted and not taken yet.

        One is in the queues of its resources when the next one is taken.
        """
        while True:
            try:
                operation, detail = self._accepted.get_nowait()
            except queue.Empty:
                return
            yield operation, detail
            for lock in self._filling.keys() & set(operation.exclusive):
                self._resources.leave(self._filling.pop(lock))

    def _submit(self, unique_id: str, operation: Operation) -> None:
        detail = self._until_available(
            lambda: self._journal.accept(unique_id, self._slot, operation)
        )
        if detail is not None:
            self._accepted.put((operation, detail))
