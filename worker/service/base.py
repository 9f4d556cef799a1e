# SPDX-License-Identifier: Apache-2.0
"""What every process of a service is made of: database, journal, locks, bus, reports.

Used by the services and by the demo, so that all run the same thing.
"""

from __future__ import annotations

import abc
import datetime
import logging
import os
import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Protocol

import oslo_messaging
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_utils import timeutils

from flows.context import Common
from flows.engine import Observer
from flows.errors import Unavailable
from worker.backends.reporter import ReportedBackend, Reporter
from worker.db.engine import Database
from worker.db.records import Records
from worker.execution.concurrency import Limiter
from worker.execution.executor import Executor
from worker.execution.intake import Intake
from worker.execution.operation_pool import OperationPool
from worker.execution.operator_requests import RequestHandler, RequestPoller
from worker.execution.rejected import RejectedMessages
from worker.execution.resource_queue import ResourceQueue
from worker.execution.retry import JournalRetry
from worker.execution.timeouts import ANY, OperationTimeouts
from worker.journal.journal import Journal
from worker.journal.persistence import JournalError
from worker.locks import Locks
from worker.rpc import transport
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import Dispatcher
from worker.rpc.notifier import Notifier
from worker.rpc.server import Server

LOG = logging.getLogger(__name__)

OBJECT_VERSION = "1.39"

DATABASE_PAUSE = 5.0
"""Seconds between two looks for a database that is away at the start."""


class Driven(ReportedBackend, Protocol):
    """What has a driver, which may take its time to come up."""

    def attempt(self) -> bool:
        """Try the set-up once and say whether it worked."""

    def initialize(self, stopping: threading.Event) -> None:
        """Set the driver up, again and again until it is up or we stop."""

    def publish_soon(self) -> None:
        """Ask for a capability report."""


class Service(abc.ABC):
    """One process of a service.

    :param host: its name on the bus and in the database.
    :param worker_id: the number of this process among those of the service.
    :param beat: called about every second while the service is alive.
    :param observer: told of every change of a task's state.
    """

    binary: ClassVar[str]
    """Its name in the services table, and its topic."""

    rpc_version: ClassVar[str]

    backend: Driven

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        host: str,
        worker_id: int = 0,
        beat: Callable[[], None] = lambda: None,
        observer: Observer | None = None,
    ) -> None:
        self.host = host
        self.slot = f"{host}/{worker_id}"
        self.conf = conf
        self.first = worker_id == 0
        self.stopping = threading.Event()
        self._hurried = False
        self.database = Database.from_conf(conf)
        self.records = Records.from_conf(conf, self.database)
        self.locks = Locks(conf.coordination.backend_url, f"{self.slot}-{os.getpid()}")
        self.queue = ResourceQueue(self.locks, self.stopping)
        self.limiter = Limiter()
        self._beat = beat
        self._observer = observer
        self._servers: list[Server] = []

    @property
    @abc.abstractmethod
    def zone(self) -> str:
        """The availability zone."""

    @property
    @abc.abstractmethod
    def processes(self) -> int:
        """How many processes the service has now."""

    @abc.abstractmethod
    def endpoints(self) -> Sequence[object]:
        """Return the objects that have the RPC methods."""

    @abc.abstractmethod
    def targets(self) -> Sequence[oslo_messaging.Target]:
        """Return what is listened on."""

    @abc.abstractmethod
    def context(self, request: RequestContext, resumed: bool) -> Common:
        """Return what a flow is given."""

    @abc.abstractmethod
    def make_reporter(self) -> Reporter:
        """Return what keeps others informed."""

    def connect(self) -> None:  # noqa: B027 - a default
        """Make the clients that the flows need; the bus is there."""

    def registered(self, row: Any) -> None:  # noqa: B027 - a default
        """Take note of the service's row."""

    def came_up(self) -> None:  # noqa: B027 - a default
        """Do what is done once, when the driver is up and operations go on."""

    @property
    def timeouts(self) -> OperationTimeouts:
        """How long operations may take."""
        return OperationTimeouts()

    @property
    def data_transfers(self) -> int:
        """How many data transfers run at once; 0 for no limit."""
        return 0

    def start(self) -> None:
        """Come up and consume; a driver that does not come up is tried again meanwhile."""
        conf = self.conf
        self._open_journal()
        self.locks.start()
        self._hold_slot()
        self.transport = transport.get(conf, slots=conf.executor_thread_pool_size)
        self.notifier = Notifier(conf, self.transport, host=self.host)
        self.connect()
        self._wait_for_database()
        journal_retry = JournalRetry(self.stopping)
        dispatcher = Dispatcher(self.endpoints(), self.rpc_version)
        self.operations = OperationPool(
            self._make_executor(journal_retry, dispatcher.journalled),
            self.journal,
            journal_retry,
            self.queue,
            slot=self.slot,
            size=conf.executor_thread_pool_size,
            data_transfers=self.data_transfers,
            stopping=self.stopping,
        )
        self.intake = Intake(
            dispatcher,
            self.journal,
            journal_retry,
            self.operations,
            RejectedMessages(self.journal, journal_retry, lambda: conf.journal.keep_rejected),
            slot=self.slot,
        )
        self._recall()
        handler = RequestHandler(self.journal, self.operations)
        RequestPoller(self.journal, self.slot, handler, self.stopping).start()
        self.reporter = self.make_reporter()
        if self.backend.attempt():
            self._go_on()
        else:
            threading.Thread(target=self._come_up, name="set-up", daemon=True).start()
        self._serve()
        self.reporter.start()
        LOG.info("%s takes operations for %s", self.binary, self.slot)

    def give_up_starting(self) -> None:
        """Stop waiting for what a start waits for."""
        self.stopping.set()
        self.database.give_up()

    def hurry(self) -> None:
        """End the grace that a stop gives; callable from a signal handler."""
        self._hurried = True

    def stop(self, grace: float) -> None:
        """Consume no more, let operations end, give up what is held.

        :param grace: seconds after which what still runs is suspended.
        """
        self.stopping.set()
        LOG.info("%s stops, its operations have %.0f s to end", self.slot, grace)
        self.operations.close()
        for server in self._servers:
            server.stop()
        ended = self.operations.stop(grace, lambda: self._hurried)
        self.database.give_up()
        self.reporter.stop()
        self.notifier.close()
        for server in self._servers:
            server.listener.cleanup()
        self.transport.cleanup()
        self.locks.stop()
        self.journal.close()
        LOG.info("%s stopped%s", self.slot, "" if ended else ", operations are left to resume")

    def heartbeat(self) -> None:
        """Show in the database that the service lives."""
        if self.first and not self.records.services.heartbeat(
            host=self.host, binary=self.binary, availability_zone=self.zone
        ):
            LOG.warning("the services row of %s was gone, it is made anew", self.host)
            self._register()

    def prune(self) -> None:
        """Remove journal entries that ended long ago."""
        now, kept = timeutils.utcnow(), self.conf.journal
        finished = now - datetime.timedelta(hours=kept.keep_finished)
        failed = now - datetime.timedelta(days=kept.keep_failed)
        count = self.journal.prune(finished, failed)
        self.journal.requests.prune(finished)
        self.journal.prune_rejected(kept.keep_rejected)
        LOG.debug("%d journal entries that ended long ago were removed", count)

    def beat(self) -> None:
        """Tell a watchdog that the process lives."""
        self._beat()

    def _register(self) -> None:
        row = self.records.services.ensure(
            host=self.host,
            binary=self.binary,
            topic=self.binary,
            availability_zone=self.zone,
            rpc_version=self.rpc_version,
            object_version=OBJECT_VERSION,
        )
        self.registered(row)

    def _wait_for_database(self) -> None:
        while True:
            try:
                self._register()
                return
            except db_exception.DBError as error:
                where, why = self.database.shown, str(error).splitlines()[0]
                LOG.error("%s cannot be used: %s; run: holdfast db sync", where, why)
                self.locks.stop()
                raise SystemExit(1) from error
            except Unavailable as error:
                LOG.warning("the start waits for the database: %s", error)
                if self.stopping.wait(DATABASE_PAUSE):
                    raise SystemExit(0) from error

    def _come_up(self) -> None:
        self.backend.initialize(self.stopping)
        if self.backend.initialized:
            self._go_on()
            self.backend.publish_soon()

    def _go_on(self) -> None:
        """Resume what was cut short, beside what now comes."""
        self.operations.resume()
        if self.first:
            self.came_up()

    def _make_executor(self, journal_retry: JournalRetry, methods: Collection[str]) -> Executor:
        conf, timeouts = self.conf, self.timeouts
        for name in sorted(timeouts.by_method.keys() - {ANY, *methods}):
            LOG.warning("operation_timeout of %s: there is no operation %s", self.host, name)
        return Executor(
            self.journal,
            journal_retry,
            self.context,
            self.limiter,
            max_resumes=lambda: conf.journal.max_resumes,
            timeouts=timeouts,
            observer=self._observer,
        )

    def _adopt(self) -> None:
        """Take over the flows of processes that there were once, before there were fewer."""
        served = {f"{self.host}/{n}" for n in range(self.processes)}
        for slot in sorted(set(self.journal.slots(f"{self.host}/")) - served):
            if self.locks.try_hold(_lock_of(slot)):
                self.journal.adopt(slot, self.slot)
                LOG.info("%s takes over the operations of %s", self.slot, slot)

    def _recall(self) -> None:
        if self.first:
            self._adopt()
        count = self.operations.recall()
        if count:
            LOG.info("%d operations that were cut short go on", count)

    def _serve(self) -> None:
        for target in self.targets():
            server = Server(self.transport, target, self.intake)
            server.start()
            self._servers.append(server)

    def _open_journal(self) -> None:
        try:
            self.journal = Journal(self.conf.journal.connection)
            self.journal.upgrade()
        except JournalError as error:
            # Without it nothing may be acknowledged, so there is nothing to start for.
            LOG.error("[journal] connection cannot be used: %s", error)
            raise SystemExit(1) from error

    def _hold_slot(self) -> None:
        """Become the one owner of this slot's flows."""
        told = False
        while not self.locks.try_hold(_lock_of(self.slot)):
            if not told:
                LOG.warning("another process still serves %s; waiting for its end", self.slot)
                told = True
            if self.stopping.wait(0.5):
                raise SystemExit(0)


def _lock_of(slot: str) -> str:
    return "slot-" + uuid.uuid5(uuid.NAMESPACE_URL, slot).hex
