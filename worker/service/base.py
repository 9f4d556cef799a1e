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
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from oslo_config import cfg
from oslo_db.exception import DBError
from oslo_utils import timeutils, units
from taskflow.persistence.models import FlowDetail

from flows.engine.flow_run import Observer
from flows.errors import Unavailable
from worker import database_url
from worker.adapters.submitted_operations import SubmittedOperations
from worker.backends.reporter import Reporter
from worker.conf.check import config_files
from worker.conf.check.problems import ConfigError
from worker.conf.option_groups import coordination
from worker.db import clock
from worker.db.records import Records
from worker.db.tuning import is_sqlite
from worker.execution.concurrency import Limiter
from worker.execution.executor import Contexts, Executor
from worker.execution.fairness.bandwidth import Bandwidth
from worker.execution.fairness.project_limits import ProjectLimits
from worker.execution.operator_requests import RequestHandler, RequestPoller
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.pools.pool_limits import PoolSize, WaitingLimits
from worker.execution.rejections.retried import MessageRetry
from worker.execution.resource_queue import ResourceQueue
from worker.execution.retry import JournalRetry
from worker.execution.timeouts import ANY, OperationTimeouts
from worker.journal.journal import Journal
from worker.journal.sqlite_file import WatchedFile
from worker.locks import Locks, LocksUnavailable, LocksUnusable
from worker.metrics.outages import OUTAGES
from worker.rpc import transport as bus
from worker.rpc.bus_state import BUS_STATE
from worker.rpc.consumer_check import ConsumerCheck, counts_of
from worker.rpc.dispatch import Dispatcher
from worker.rpc.notifications.notifier import Notifier
from worker.service.fence import identity_of
from worker.service.inputs import Identity, Inputs
from worker.service.journal_watch import JournalWatch
from worker.service.leases import own_slot
from worker.service.leases.adopter import Adopter, OwnSlots
from worker.service.parts import Infrastructure, StartableBackend
from worker.service.startup import registration, slot_locks
from worker.service.startup.database_wait import when_available
from worker.service.startup.open_journal import open_journal

LOG = logging.getLogger(__name__)


PREFETCH = 256
"""Messages that the broker delivers ahead: so many casts without room do not block calls."""


def connect(inputs: Inputs, identity: Identity) -> Infrastructure:
    """Build the parts that need no driver; wait for the slot and for the database.

    :raises ProcessStopping: the process stops meanwhile.
    :raises SystemExit: the journal or the database cannot be used.
    """
    conf, stopping = inputs.conf, inputs.stopping
    with ExitStack() as opened:  # closes the connections when a later part fails
        with inputs.waits.on("the journal's database"):
            journal = open_journal(
                conf.journal.connection,
                stopping,
                lambda: int(conf.journal.keep_failed_mib) * units.Mi,
            )
        opened.callback(journal.close)
        member = f"{identity.slot}-{os.getpid()}"
        # An adopter waits for the locks of the dead owner: they end when its lease does.
        lifetime = (
            None
            if is_sqlite(database_url.parse(conf.journal.connection))
            else conf.journal.slot_ttl
        )
        locks = Locks(conf.coordination.backend_url, member, lifetime)
        local = f"file://{conf.state_path}"
        # A dead process of this host is known by these files, wherever the other locks are.
        slot_locks = locks if conf.coordination.backend_url == local else Locks(local, member)
        with inputs.waits.on("the locks"):
            _start_locks(locks, conf, stopping)
        opened.callback(locks.stop)
        if slot_locks is not locks:
            _start_locks(slot_locks, conf, stopping)
            opened.callback(slot_locks.stop)
        registration.hold(inputs, identity, slot_locks)
        if (slot := own_slot.take(inputs, identity, journal)) is not None:
            opened.callback(slot.close)
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
            row = registration.register(records, inputs.database, identity, stopping)
            named = when_available(lambda: identity_of(inputs.database), stopping)
        registration.exclude(
            inputs, identity, f"{identity.binary} {identity.host} of database {named}"
        )
        if identity.first:
            clock.warn_of_skew(inputs.database)
        inputs.waits.watch("the database", lambda: inputs.database.is_away)
        inputs.waits.watch("the message bus", lambda: BUS_STATE.is_away)
        inputs.waits.watch("the journal", lambda: "journal" in OUTAGES.lasting())
        opened.pop_all()
    return Infrastructure(
        conf=conf,
        identity=identity,
        stopping=stopping,
        draining=inputs.draining,
        database=inputs.database,
        records=records,
        limiter=Limiter(),
        journal=journal,
        journal_watch=journal_watch,
        journal_retry=JournalRetry(stopping),
        locks=locks,
        slot_locks=slot_locks,
        slot=slot,
        queue=ResourceQueue(locks, stopping),
        transport=transport,
        notifier=notifier,
        row=row,
        consumers=ConsumerCheck(counts_of(transport), stopping),
    )


def make_executor(
    base: Infrastructure,
    contexts: Contexts,
    dispatcher: Dispatcher,
    *,
    timeouts: OperationTimeouts,
    observer: Observer | None,
    bandwidth: Callable[[], int] = lambda: 0,
) -> Executor:
    """Build the executor; log timeouts of operations that the dispatcher does not have.

    :param bandwidth: returns the bytes in a second of all data transfers; 0 for no limit.
    """
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
        bandwidth=Bandwidth(ProjectLimits.of(base.conf), bandwidth),
    )


def make_pool(
    base: Infrastructure,
    executor: Executor,
    *,
    submitted: SubmittedOperations | None = None,
    data_transfers: int = 0,
    most: Callable[[], int] = lambda: 0,
) -> OperationPool:
    """Build the pool of the operations.

    :param submitted: the operations that flows start.
    :param data_transfers: how many data transfers run at once; 0 for no limit.
    :param most: returns how many operations of each kind run at once; 0 for no limit.
    """
    return OperationPool(
        executor,
        base.slot_journal,
        base.queue,
        size=PoolSize(base.conf.executor_thread_pool_size, data_transfers, most),
        submitted=submitted,
        projects=ProjectLimits.of(base.conf),
        limits=WaitingLimits(
            base.conf.waiting_operations_max,
            base.conf.waiting_operations_per_resource,
            base.conf.waiting_operations_mib * units.Mi,
        ),
        stopping=base.stopping,
    )


def make_requests(
    base: Infrastructure, operations: OperationPool, dispatcher: Dispatcher
) -> RequestPoller:
    """Build the poller of operators' requests."""
    handler = RequestHandler(base.journal, base.journal_retry, operations)
    messages = MessageRetry(base.slot_journal, operations, dispatcher)
    journal, slot = base.journal, base.identity.slot
    return RequestPoller(journal, slot, handler, base.stopping, base.draining, messages)


def make_adopter(
    base: Infrastructure,
    operations: OperationPool,
    moved: Callable[[Sequence[FlowDetail]], None] = lambda _flows: None,
) -> Adopter | None:
    """Build the adopter of the operations of dead processes; None for a journal in SQLite.

    :param moved: called with operations that were adopted, before they resume.
    """
    if (slot := base.slot) is None:
        return None
    identity, journal = base.identity, base.journal
    prove_dead = functools.partial(slot_locks.prove_dead, base.slot_locks)
    lease = slot.lease
    own = OwnSlots(
        identity.slot,
        identity.pool,
        lease.holder.instance,
        identity.slots,
        prove_dead if identity.first else None,
    )
    return Adopter(
        *(slot.adoption, slot.apart, own, lease.times),
        lambda flows: base.journal_retry.until_available(lambda: journal.load_each(flows)),
        functools.partial(_claim_work, base, moved),
        operations.resumed.adopt,
        base.stopping,
    )


def make_reporter(
    base: Infrastructure,
    backend: StartableBackend,
    send: Callable[[], None],
    *,
    interval: float,
    heartbeat: Callable[[], None],
    check_late: Callable[[], None] = lambda: None,
) -> Reporter:
    """Build the reporter; only the first process writes heartbeats.

    :param send: sends a capability report.
    :param interval: seconds between two capability reports.
    :param check_late: warns of statistics that take too long.
    """
    return Reporter(
        backend,
        base.row.heartbeat if base.identity.first else _no_heartbeat,
        send,
        report_interval=base.conf.report_interval,
        stats_interval=interval,
        report_alive=functools.partial(_report_alive, base.consumers, heartbeat),
        check_late=check_late,
        prune=functools.partial(_prune, base.journal, base.conf),
        check=backend.check_directory,
    )


def _claim_work(
    base: Infrastructure,
    moved: Callable[[Sequence[FlowDetail]], None],
    host: str,
    flows: Sequence[FlowDetail],
) -> None:
    """Claim the rows of ``workers`` that another service had for these flows."""
    moved(flows)
    services = base.records.services.list(host=host, binary=base.identity.binary)
    former = {int(one.id) for one in services} - {base.row.id}
    resources = {str(one) for flow in flows for one in (flow.meta.get("resource") or ())[1:]}
    try:
        base.records.work_of(base.row).adopt(former, resources)
    except (Unavailable, DBError) as error:
        LOG.warning("the work rows of %s stay as they are: %s", host, error)


def _start_locks(locks: Locks, conf: cfg.ConfigOpts, stopping: threading.Event) -> None:
    try:
        when_available(locks.start, stopping, LocksUnavailable, "the server of the locks")
    except LocksUnusable as error:
        found, (option,) = config_files.of(conf), coordination.OPTS
        raise ConfigError(found.problem("coordination", option, str(error))) from error


def _watch(url: str, stopping: threading.Event) -> JournalWatch:
    path = database_url.file_of(url)
    return JournalWatch(WatchedFile(path) if path is not None else None, stopping)


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
    journal.prune_failures()
    journal.requests.prune(finished)
    journal.rejected.prune(options.keep_rejected)
    LOG.debug("%d journal entries that ended long ago were removed", count)
