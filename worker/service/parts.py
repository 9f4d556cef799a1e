# SPDX-License-Identifier: Apache-2.0
"""All parts of one process of a service, as :mod:`worker.service.start_stop` runs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from oslo_config import cfg

from worker.adapters.service_row import RegisteredService
from worker.backends.reporter import ReportedBackend, Reporter
from worker.db.database import Database
from worker.db.records import Records
from worker.execution.concurrency import Limiter
from worker.execution.intake import Intake
from worker.execution.operator_requests import RequestPoller
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.resource_queue import ResourceQueue
from worker.execution.retry import JournalRetry
from worker.execution.slot_journal import SlotJournal
from worker.journal.journal import Journal
from worker.locks import Locks
from worker.rpc.consumer_check import ConsumerCheck
from worker.rpc.notifications.notifier import Notifier
from worker.rpc.received.shared_queue import SharedQueue
from worker.rpc.server import Server
from worker.service.inputs import Identity
from worker.service.journal_watch import JournalWatch
from worker.service.leases.adopter import Adopter
from worker.service.leases.own_slot import OwnSlot


class StartableBackend(ReportedBackend, Protocol):
    """A backend whose driver may take its time to come up."""

    def attempt(self) -> bool:
        """Attempt the set-up of the driver once; return whether it succeeded."""

    def require_driver(self) -> Any:
        """Return the driver. :raises DriverNotInitialized: with the reason."""

    def check_directory(self) -> None:
        """Take the backend down while the directory of its driver is not there."""

    def initialize(self, stopping: threading.Event) -> None:
        """Attempt the set-up until the driver is up or the service stops."""

    def request_report(self) -> None:
        """Request a capability report without waiting for it."""


class Recovery(Protocol):
    """The work that follows each start of a service, in its first process."""

    def start(self) -> None:
        """Start the work; the driver is up."""


@dataclass(frozen=True, kw_only=True)
class Infrastructure:
    """The parts that need no driver, and that both services have."""

    conf: cfg.ConfigOpts
    identity: Identity
    stopping: threading.Event
    draining: threading.Event
    database: Database
    records: Records
    limiter: Limiter
    journal: Journal
    journal_watch: JournalWatch
    journal_retry: JournalRetry
    locks: Locks
    slot_locks: Locks
    slot: OwnSlot | None
    queue: ResourceQueue
    transport: Any
    notifier: Notifier
    row: RegisteredService
    consumers: ConsumerCheck

    @property
    def slot_journal(self) -> SlotJournal:
        """The journal with the slot of this process."""
        return SlotJournal(self.journal, self.journal_retry, self.identity.slot)

    def others_serve(self) -> bool:
        """Return whether other hosts with this journal were up at the last renewal of the lease."""
        return self.slot is not None and self.slot.lease.has_others

    def close(self) -> None:
        """Close the connections, and release the slot."""
        self.notifier.close()
        self.transport.cleanup()
        if self.slot is not None:
            self.slot.close()
        if self.slot_locks is not self.locks:
            self.slot_locks.stop()
        self.locks.stop()
        self.journal_watch.close()
        self.journal.close()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All parts of one process of a service.

    :param others_serve: returns whether another host can do the work of this one.
    """

    base: Infrastructure
    backend: StartableBackend
    operations: OperationPool
    intake: Intake
    servers: Collection[Server]
    requests: RequestPoller
    adopter: Adopter | None
    reporter: Reporter
    recovery: Recovery
    shared_queue: SharedQueue | None = None
    others_serve: Callable[[], bool] = lambda: False
