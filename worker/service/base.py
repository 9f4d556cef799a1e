# SPDX-License-Identifier: Apache-2.0
"""Composition root of both services: the parts of one process, in the order of construction.

:func:`connect` builds the parts that need no driver: journal, locks, bus, services row.
:mod:`worker.service.volume` and :mod:`worker.service.backup` continue with clients, adapters,
backend and endpoints, and end with :func:`make_executor`, :func:`make_pool` and
:func:`make_intake`. Each part gets the parts it needs when it is built, and none is replaced
later.
"""

from __future__ import annotations

import datetime
import functools
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import oslo_messaging
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_utils import timeutils

from flows import repeat
from flows.engine import Observer
from flows.errors import Unavailable
from worker import database_url
from worker.adapters.service_row import RegisteredService
from worker.adapters.submitted_operations import SubmittedOperations
from worker.backends.reporter import ReportedBackend, Reporter
from worker.compat import oslo_messaging as compat
from worker.db import clock
from worker.db.database import Database
from worker.db.error_kinds import ErrorKind, kind_of
from worker.db.records import Records
from worker.execution.concurrency import Limiter, blocking
from worker.execution.executor import Contexts, Executor
from worker.execution.intake import Intake
from worker.execution.operator_requests import RequestHandler, RequestPoller
from worker.execution.pools.operation_pool import OperationPool, WaitingLimits
from worker.execution.rejected import RejectedMessages
from worker.execution.resource_queue import ResourceQueue
from worker.execution.retry import JournalRetry
from worker.execution.timeouts import ANY, OperationTimeouts
from worker.journal import sqlite_file
from worker.journal.errors import JournalError, JournalUnavailable
from worker.journal.journal import Journal
from worker.journal.sqlite_file import WatchedFile
from worker.locks import Locks
from worker.recovery.proof_wait import ProofWait
from worker.recovery.queue_proof import QueueProof
from worker.rpc import transport as bus
from worker.rpc.consumer_check import ConsumerCheck, counts_of
from worker.rpc.dispatch import Dispatcher
from worker.rpc.markers import MarkedIntake, Markers, consumed
from worker.rpc.notifications.notifier import Notifier
from worker.rpc.server import Server
from worker.service import slots
from worker.service.fence import HostFence, identity_of
from worker.service.journal_watch import JournalWatch
from worker.service.waits import Waits

LOG = logging.getLogger(__name__)

PREFETCH = 256
"""Messages that the broker delivers ahead: so many casts without room do not block calls."""

DATABASE_PAUSE = 5.0
"""Seconds between two attempts to use the database at the start."""

T = TypeVar("T")


class StartableBackend(ReportedBackend, Protocol):
    """A backend whose driver may take its time to come up."""

    def attempt(self) -> bool:
        """Attempt the set-up of the driver once; return whether it succeeded."""

    def initialize(self, stopping: threading.Event) -> None:
        """Attempt the set-up until the driver is up or the service stops."""

    def request_report(self) -> None:
        """Request a capability report without waiting for it."""


class Recovery(Protocol):
    """The work that follows each start of a service, in its first process."""

    def start(self) -> None:
        """Start the work; the driver is up."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The values that exist before the first part is built.

    :param number: the number of this process among those of the service.
    :param heartbeat: called about every second while the service is alive, with the systems
        that it waits for.
    :param observer: called at every change of a task's state.
    :param stopping: set when the process stops; ends every wait.
    """

    conf: cfg.ConfigOpts
    number: int = 0
    heartbeat: Callable[[str], None] = lambda _waits: None
    observer: Observer | None = None
    database: Database
    stopping: threading.Event = field(default_factory=threading.Event)
    waits: Waits = field(default_factory=Waits)
    fence: HostFence = field(default_factory=HostFence)

    def alive(self) -> None:
        """Show that the process lives, and what it waits for."""
        self.heartbeat(self.waits.shown)

    @classmethod
    def from_conf(
        cls,
        conf: cfg.ConfigOpts,
        number: int,
        heartbeat: Callable[[str], None],
        observer: Observer | None,
        fence: HostFence | None = None,
    ) -> Inputs:
        """Return the inputs of a process that uses the configured database."""
        database = Database.from_conf(conf)
        return cls(
            conf=conf,
            number=number,
            heartbeat=heartbeat,
            observer=observer,
            database=database,
            fence=fence or HostFence(),
        )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The names of a service and of this process.

    :param binary: the name in the services table, and the topic.
    :param host: the name on the bus and in the database.
    :param number: the number of this process among those of the service.
    """

    binary: str
    rpc_version: str
    host: str
    zone: str
    number: int
    processes: int

    @property
    def slot(self) -> str:
        """The name under which this process owns flows in the journal."""
        return f"{self.host}/{self.number}"

    @property
    def slots(self) -> Collection[str]:
        """The slots of all processes of the service."""
        return [f"{self.host}/{number}" for number in range(self.processes)]

    @property
    def first(self) -> bool:
        """Whether this process does the work that a service does once."""
        return self.number == 0


@dataclass(frozen=True, kw_only=True)
class Infrastructure:
    """The parts that need no driver, and that both services have."""

    conf: cfg.ConfigOpts
    identity: Identity
    stopping: threading.Event
    database: Database
    records: Records
    limiter: Limiter
    journal: Journal
    journal_watch: JournalWatch
    journal_retry: JournalRetry
    locks: Locks
    queue: ResourceQueue
    transport: Any
    notifier: Notifier
    row: RegisteredService
    consumers: ConsumerCheck

    def close(self) -> None:
        """Close the connections, and release the slot."""
        self.notifier.close()
        self.transport.cleanup()
        self.locks.stop()
        self.journal_watch.close()
        self.journal.close()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All parts of one process of a service."""

    base: Infrastructure
    backend: StartableBackend
    operations: OperationPool
    intake: Intake
    servers: Collection[Server]
    requests: RequestPoller
    reporter: Reporter
    recovery: Recovery


def connect(inputs: Inputs, identity: Identity) -> Infrastructure:
    """Build the parts that need no driver; wait for the slot and for the database.

    :raises ProcessStopping: the process stops meanwhile.
    :raises SystemExit: the journal or the database cannot be used.
    """
    conf, stopping = inputs.conf, inputs.stopping
    with ExitStack() as opened:  # closes the connections when a later part fails
        with inputs.waits.on("the journal's database"):
            journal = _open_journal(conf.journal.connection, stopping)
        opened.callback(journal.close)
        locks = Locks(conf.coordination.backend_url, f"{identity.slot}-{os.getpid()}")
        locks.start()
        opened.callback(locks.stop)
        _hold(inputs, identity, locks)
        journal_watch = _watch(conf.journal.connection, stopping)
        opened.callback(journal_watch.close)
        prefetch = max(conf.executor_thread_pool_size, PREFETCH)
        process = f"{identity.binary}-{identity.slot}"
        transport = bus.get(conf, prefetch=prefetch, process=process)
        opened.callback(transport.cleanup)
        notifier = Notifier(conf, transport, host=identity.host)
        opened.callback(notifier.close)
        records = Records.from_conf(conf, inputs.database)
        with inputs.waits.on("the database"):
            row = _register(records, inputs.database, identity, stopping)
            named = _when_available(lambda: identity_of(inputs.database), stopping)
        _exclude(inputs, identity, f"{identity.binary} {identity.host} of database {named}")
        if identity.first:
            clock.warn_of_skew(inputs.database)
        opened.pop_all()
    return Infrastructure(
        conf=conf,
        identity=identity,
        stopping=stopping,
        database=inputs.database,
        records=records,
        limiter=Limiter(),
        journal=journal,
        journal_watch=journal_watch,
        journal_retry=JournalRetry(stopping),
        locks=locks,
        queue=ResourceQueue(locks, stopping),
        transport=transport,
        notifier=notifier,
        row=row,
        consumers=ConsumerCheck(counts_of(transport), stopping),
    )


def limited_notifier(base: Infrastructure) -> Notifier:
    """Return the notifier for flows; one that sends nothing does not block."""
    notifier = base.notifier
    return blocking(notifier, base.limiter) if notifier.enabled else notifier


def make_executor(
    base: Infrastructure,
    contexts: Contexts,
    dispatcher: Dispatcher,
    *,
    timeouts: OperationTimeouts,
    observer: Observer | None,
) -> Executor:
    """Build the executor; log timeouts of operations that the dispatcher does not have."""
    for name in sorted(timeouts.by_method.keys() - {ANY, *dispatcher.journalled}):
        host = base.identity.host
        LOG.warning("operation_timeout of %s: there is no operation %s", host, name)
    return Executor(
        base.journal,
        base.journal_retry,
        contexts,
        base.limiter,
        max_resumes=lambda: base.conf.journal.max_resumes,
        timeouts=timeouts,
        observer=observer,
    )


def make_pool(
    base: Infrastructure,
    executor: Executor,
    *,
    submitted: SubmittedOperations | None = None,
    data_transfers: int = 0,
) -> OperationPool:
    """Build the pool of the operations.

    :param submitted: the operations that flows start.
    :param data_transfers: how many data transfers run at once; 0 for no limit.
    """
    return OperationPool(
        executor,
        base.journal,
        base.journal_retry,
        base.queue,
        slot=base.identity.slot,
        size=base.conf.executor_thread_pool_size,
        submitted=submitted,
        data_transfers=data_transfers,
        limits=WaitingLimits(
            base.conf.waiting_operations_max, base.conf.waiting_operations_per_resource
        ),
        stopping=base.stopping,
    )


def make_intake(base: Infrastructure, dispatcher: Dispatcher, operations: OperationPool) -> Intake:
    """Build the intake of messages."""
    options = base.conf.journal
    rejected = RejectedMessages(base.journal, base.journal_retry, lambda: options.keep_rejected)
    return Intake(
        dispatcher,
        base.journal,
        base.journal_retry,
        operations,
        rejected,
        slot=base.identity.slot,
        stopping=base.stopping,
    )


def make_servers(
    base: Infrastructure, targets: Iterable[oslo_messaging.Target], intake: Intake
) -> tuple[Server, ...]:
    """Build a consumer for each target, and register it; none consumes before it is started."""
    consumers = base.journal.consumers
    marked = [(target, MarkedIntake(intake, consumers.note)) for target in targets]
    registered = [(queue, one.name) for target, one in marked for queue in consumed(target)]
    base.journal_retry.until_available(
        lambda: consumers.register(base.identity.slot, registered),
    )
    return tuple(Server(base.transport, target, one) for target, one in marked)


def make_proof(base: Infrastructure, targets: Sequence[oslo_messaging.Target]) -> ProofWait:
    """Build the proof that no cast waits for this service."""
    proof = QueueProof(
        targets,
        base.journal.consumers,
        Markers(base.transport).send,
        functools.partial(compat.queue_depths, base.transport),
        base.stopping,
    )
    return ProofWait(proof, base.identity.host, base.stopping)


def make_requests(base: Infrastructure, operations: OperationPool) -> RequestPoller:
    """Build the poller of operators' requests."""
    handler = RequestHandler(base.journal, base.journal_retry, operations)
    return RequestPoller(base.journal, base.identity.slot, handler, base.stopping)


def make_reporter(
    base: Infrastructure,
    backend: StartableBackend,
    send: Callable[[], None],
    *,
    interval: float,
    heartbeat: Callable[[], None],
) -> Reporter:
    """Build the reporter; only the first process writes heartbeats.

    :param send: sends a capability report.
    :param interval: seconds between two capability reports.
    """
    return Reporter(
        backend,
        base.row.heartbeat if base.identity.first else _no_heartbeat,
        send,
        report_interval=base.conf.report_interval,
        stats_interval=interval,
        report_alive=functools.partial(_report_alive, base.consumers, heartbeat),
        prune=functools.partial(_prune, base.journal, base.conf),
    )


def _hold(inputs: Inputs, identity: Identity, locks: Locks) -> None:
    """Become the only service of the host on this machine, and the owner of the slot."""
    _exclude(inputs, identity, f"{identity.binary} {identity.host} of {inputs.database.shown}")
    with inputs.waits.on(f"the other process that serves {identity.host}"):
        slots.hold(locks, identity.slot, inputs.stopping)


def _exclude(inputs: Inputs, identity: Identity, service: str) -> None:
    """Wait for the end of a service of this name on this machine, and exclude others."""
    with inputs.waits.on(f"the other process that serves {identity.host}"):
        inputs.fence.hold(service, inputs.conf.state_path, inputs.stopping)


def _open_journal(url: str, stopping: threading.Event) -> Journal:
    """Open the journal; wait for the server of one that is no file.

    :raises SystemExit: it cannot be used, or its server refuses the password or the database.
    """
    path = database_url.file_of(url)
    if path is not None and (found := sqlite_file.problems(path, at_start=True)):
        advice = "run: holdfast journal check"
        LOG.error("the journal %s is damaged (%s); %s", path, found[0].splitlines()[0], advice)
        raise SystemExit(1)

    def upgrade() -> None:
        try:
            journal.upgrade()
        except JournalUnavailable as error:
            if kind_of(error.__cause__ or error) is ErrorKind.REFUSED:
                raise JournalError(str(error)) from error
            raise

    try:
        journal = Journal(url)
        if path is None:
            _when_available(upgrade, stopping, JournalUnavailable, "the journal's database")
        else:
            upgrade()
    except JournalError as error:
        # Without a journal no message may be acknowledged.
        LOG.error("[journal] connection cannot be used: %s", error)
        raise SystemExit(1) from error
    return journal


def _watch(url: str, stopping: threading.Event) -> JournalWatch:
    path = database_url.file_of(url)
    return JournalWatch(WatchedFile(path) if path is not None else None, stopping)


def _register(
    records: Records, database: Database, identity: Identity, stopping: threading.Event
) -> RegisteredService:
    def register() -> RegisteredService:
        try:
            return RegisteredService(
                records,
                identity.host,
                identity.binary,
                zone=identity.zone,
                rpc_version=identity.rpc_version,
            )
        except db_exception.DBError as error:
            where, why = database.shown, str(error).splitlines()[0]
            LOG.error("%s cannot be used: %s; run: holdfast db sync", where, why)
            raise SystemExit(1) from error

    return _when_available(register, stopping)


def _when_available(
    ask: Callable[[], T],
    stopping: threading.Event,
    on: type[Exception] = Unavailable,
    system: str = "the database",
) -> T:
    """Return an answer of a database; wait for one that does not answer.

    :param on: the error that means that.
    :param system: names the database in the log.
    :raises ProcessStopping: the process stops meanwhile.
    """

    def failed(error: BaseException, _pause: float) -> None:
        LOG.warning("the start waits for %s: %s", system, error)

    return repeat.until_stopped(
        ask,
        stopping.wait,
        on=on,
        first=DATABASE_PAUSE,
        longest=DATABASE_PAUSE,
        failed=failed,
    )


def _report_alive(consumers: ConsumerCheck, heartbeat: Callable[[], None]) -> None:
    """Notify the watchdog, unless this process receives no messages."""
    if not consumers.lacks_consumers:
        heartbeat()


def _no_heartbeat() -> None:
    return None


def _prune(journal: Journal, conf: cfg.ConfigOpts) -> None:
    """Remove journal entries that ended long ago."""
    now, options = timeutils.utcnow(), conf.journal
    finished = now - datetime.timedelta(hours=options.keep_finished)
    failed = now - datetime.timedelta(days=options.keep_failed)
    count = journal.prune(finished, failed)
    journal.requests.prune(finished)
    journal.prune_rejected(options.keep_rejected)
    LOG.debug("%d journal entries that ended long ago were removed", count)
