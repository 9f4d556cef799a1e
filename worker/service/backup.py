# SPDX-License-Identifier: Apache-2.0
"""Composition of the backup service: one process of one host."""

from __future__ import annotations

import functools
import hashlib
import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import oslo_messaging
from oslo_config import cfg

from drivers.interface.backup import BackupDriver
from drivers.interface.records import Record
from flows.context import BackupContext
from flows.engine.flow_run import Observer
from flows.statuses import BackupStatus
from worker import database_url
from worker.adapters.backup_metadata import VolumeMetadata
from worker.adapters.host_attach import HostAttacher
from worker.adapters.remote_services import RemoteBackupPeers, RemoteVolumeServices
from worker.backends.backup_backend import BackupStoreBackend
from worker.backends.directory_mark import DirectoryMark
from worker.conf.option_groups import backup as options
from worker.db.records import Records
from worker.db.tuning import is_sqlite
from worker.endpoints.backup import RPC_VERSION, BackupEndpoint, ForceDeleteSupport
from worker.endpoints.service import CapabilityReports, ServiceEndpoint
from worker.execution.concurrency import blocking
from worker.execution.timeouts import OperationTimeouts
from worker.recovery.adopted_backups import AdoptedBackups
from worker.recovery.orphaned_backups import OrphanedBackups
from worker.rpc import topics
from worker.rpc.clients import scheduler
from worker.rpc.clients.backup import BackupClient
from worker.rpc.dispatch import Dispatcher
from worker.rpc.request_context import RequestContext
from worker.service import base, log_levels, receiving
from worker.service.fence import HostFence
from worker.service.flow_contexts.common import common_fields
from worker.service.inputs import Identity, Inputs
from worker.service.parts import Infrastructure, Parts
from worker.service.start_stop import Service

LOG = logging.getLogger(__name__)

_POOL_LENGTH = 255
"""Characters that the table of slots has for the name of a pool."""


def service(
    conf: cfg.ConfigOpts,
    number: int = 0,
    heartbeat: Callable[[str], None] = lambda _waits: None,
    observer: Observer | None = None,
    fence: HostFence | None = None,
) -> Service:
    """Return one process of the host's backup service, not started yet.

    :param number: the number of the process among those of the service.
    :param heartbeat: called about every second while the service is alive, with the systems
        that it waits for.
    :param observer: called at every change of a task's state.
    :param fence: shared by the processes of the service.
    """
    inputs = Inputs.from_conf(conf, number, heartbeat, observer, fence)
    return Service(build, inputs)


def build(inputs: Inputs) -> Parts:
    """Build the parts of one process, each from the parts before it."""
    conf = inputs.conf
    common = base.connect(inputs, _identity(inputs))
    targets = [topics.backup_target(common.identity.host)]

    reports = scheduler.SchedulerClient(common.transport, service=scheduler.BACKUP)
    backend = _backend(common)
    dispatcher = Dispatcher(endpoints(backend, backend), RPC_VERSION)
    contexts = BackupContexts(_context(common, backend))
    executor = base.make_executor(
        common, contexts, dispatcher, timeouts=OperationTimeouts(), observer=inputs.observer
    )
    # The limit is the host's; each process has its part of it.
    transfers = math.ceil(int(conf.backup_max_operations) / common.identity.processes)
    operations = base.make_pool(common, executor, data_transfers=transfers)
    intake = receiving.make_intake(common, dispatcher, operations)
    adopted = _adopted(common)
    report = functools.partial(_report, common, backend, reports)
    interval = conf.backup_driver_stats_polling_interval
    return Parts(
        base=common,
        backend=backend,
        operations=operations,
        intake=intake,
        servers=receiving.make_servers(common, targets, intake),
        requests=base.make_requests(common, operations, dispatcher),
        adopter=base.make_adopter(common, operations, adopted.take),
        reporter=base.make_reporter(
            common, backend, report, interval=interval, heartbeat=inputs.alive
        ),
        recovery=_recovery(common, targets, contexts),
        others_serve=common.others_serve,
    )


def endpoints(driver: ForceDeleteSupport, reports: CapabilityReports) -> list[object]:
    """Return the RPC methods of the backup service (spec/backup-rpc)."""
    return [BackupEndpoint(driver), ServiceEndpoint(reports, log_levels)]


@dataclass(frozen=True)
class BackupContexts:
    """The contexts of flows.

    :param common: the context without a request.
    """

    common: BackupContext

    def __call__(self, request: RequestContext, resumed: bool) -> BackupContext:
        """Return the context of one run of a flow."""
        return replace(self.common, request=request, resumed=resumed)

    def internal(self) -> BackupContext:
        """Return the context of a flow that the service runs without a request."""
        return self(RequestContext.admin(), False)


def _identity(inputs: Inputs) -> Identity:
    conf = inputs.conf
    place = _shared_place(conf)
    return Identity(
        binary=topics.BACKUP_TOPIC,
        rpc_version=RPC_VERSION,
        host=conf.host,
        zone=str(conf.storage_availability_zone),
        number=inputs.number,
        processes=int(conf.backup_workers),
        store_pool="" if place is None else _pool(place),
    )


def _shared_place(conf: cfg.ConfigOpts) -> str | None:
    """Return driver and place of a store by which hosts that share a journal know each other."""
    if is_sqlite(database_url.parse(conf.journal.connection)):
        return None
    driver_class, services = options.driver_class(conf)
    find = getattr(driver_class, "shared_place", lambda _configuration: None)
    place = find(options.Settings(conf))
    return None if place is None else f"{services[0].rpartition('.')[2]} {place}"


def _pool(place: str) -> str:
    """Return the pool of the hosts with one place; a long one is shortened to a unique text."""
    pool = f"{topics.BACKUP_TOPIC} {place}"
    if len(pool) <= _POOL_LENGTH:
        return pool
    end = hashlib.sha256(pool.encode()).hexdigest()
    return f"{pool[: _POOL_LENGTH - len(end) - 1]} {end}"


def _adopted(common: Infrastructure) -> AdoptedBackups:
    """Build the part that gives this host the backups that it, or its last process, adopted."""
    host, slot, journal = common.identity.host, common.slot, common.journal

    def others() -> Collection[str]:
        if slot is None or host == common.identity.pool:
            return ()
        found = common.journal_retry.until_available(
            lambda: slot.apart.of_pool(common.identity.pool)
        )
        return {one.host for one in found} - {host}

    adopted = AdoptedBackups(common.records, host, others, common.stopping)
    if others():
        name = common.identity.slot
        adopted.take(common.journal_retry.until_available(lambda: journal.unfinished(name)))
    return adopted


def _backend(common: Infrastructure) -> BackupStoreBackend:
    conf = common.conf
    driver_class, services = options.driver_class(conf)
    metadata = VolumeMetadata(common.records, lambda: int(conf.backup_metadata_version))
    host = common.identity.host
    held = functools.partial(_has_backups, common.records, host, services)
    mark = DirectoryMark(f"{host} {services[0]}", conf.state_path, held)

    shared = {"shared": True} if common.identity.store_pool else {}
    if common.identity.number == 0 and (text := driver_class.limits(options.Settings(conf))):
        LOG.warning("backup_driver = %s: %s", conf.backup_driver, text)

    def make_driver() -> BackupDriver:
        driver: BackupDriver = driver_class(options.Settings(conf), metadata=metadata, **shared)
        mark.check(driver)
        return driver

    return BackupStoreBackend(
        host,
        common.identity.zone,
        make_driver,
        services,
        lambda: float(conf.backup_driver_init_check_interval),
        common.limiter,
        mark,
    )


def _has_backups(records: Records, host: str, services: Collection[str]) -> bool:
    """Return whether rows say that the store of this host holds a backup."""
    return any(
        row.service in services and _has_objects(row) for row in records.backups.list(host=host)
    )


def _has_objects(backup: Record) -> bool:
    if backup.status in (BackupStatus.DELETING, BackupStatus.ERROR_DELETING):
        return bool(backup.object_count)  # others may be deleted without ever being made
    return backup.status not in (BackupStatus.CREATING, BackupStatus.ERROR)


def _context(common: Infrastructure, backend: BackupStoreBackend) -> BackupContext:
    conf, limiter = common.conf, common.limiter
    remote_volumes = RemoteVolumeServices(
        common.transport, conf.rpc_response_timeout, common.stopping
    )
    timer = float(conf.backup_timer_interval) if conf.backup_enable_progress_timer else 0.0
    return BackupContext(
        **common_fields(common),
        backend=backend,
        volume_service=blocking(remote_volumes, limiter),
        peers=blocking(RemoteBackupPeers(common.transport, common.stopping), limiter),
        attacher=blocking(HostAttacher.from_conf(conf), limiter),
        progress_every=timer,
    )


def _recovery(
    common: Infrastructure, targets: Sequence[oslo_messaging.Target], contexts: BackupContexts
) -> OrphanedBackups:
    client, host = BackupClient(common.transport), common.identity.host

    def delete(backup: Record) -> None:
        client.cast(RequestContext.admin(), host, "delete_backup", backup=backup)

    proof = receiving.make_proof(common, targets)
    return OrphanedBackups(
        common.records, common.journal, host, proof, common.stopping, contexts.internal, delete
    )


def _report(
    common: Infrastructure, backend: BackupStoreBackend, reports: scheduler.SchedulerClient
) -> None:
    """Send the capabilities to the scheduler (spec/backup-rpc §9)."""
    capabilities = {
        "backend_state": backend.initialized,
        "driver_name": backend.service,
        "availability_zone": common.identity.zone,
    }
    reports.report(RequestContext.admin(), common.identity.host, capabilities)
