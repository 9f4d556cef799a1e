# SPDX-License-Identifier: Apache-2.0
"""Composition of the volume service: one process of one backend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_utils import units

from drivers.interface.volume import VolumeDriver
from flows.engine.flow_run import Observer
from worker.adapters.object_pages import ObjectPages
from worker.adapters.service_row import BackendServiceRow, RemoteFailovers
from worker.adapters.submitted_operations import SubmittedOperations
from worker.backends import replication_status, startup_sync
from worker.backends.capabilities import Capabilities
from worker.backends.directory_mark import DirectoryMark
from worker.backends.driver_queries import DriverQueries
from worker.backends.manageable import Manageable
from worker.backends.replication_status import ReplicationTargets
from worker.backends.reports.slow_statistics import StatisticsTimer
from worker.backends.startup_sync import StartupSync
from worker.backends.volume_backend import VolumeBackend
from worker.conf import backends, clone_uploads, image_cache, image_locations, image_signatures
from worker.endpoints.audit import AuditEndpoint, BackendObjects
from worker.endpoints.backup_source import BackendQueries, BackupSourceEndpoint
from worker.endpoints.connection import ConnectionEndpoint
from worker.endpoints.group import (
    GroupEndpoint,
    GroupReplicationEndpoint,
    GroupReplicationTargets,
)
from worker.endpoints.maintenance import FailoverFollower, MaintenanceEndpoint
from worker.endpoints.manage import ManageableObjects, ManageEndpoint
from worker.endpoints.migration import MigrationEndpoint
from worker.endpoints.service import (
    CapabilityEndpoint,
    CapabilityReports,
    DriverCapabilities,
    ServiceEndpoint,
)
from worker.endpoints.volume import RPC_VERSION, SnapshotEndpoint, VolumeEndpoint
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.timeouts import OperationTimeouts
from worker.recovery.orphaned_volumes import OrphanedVolumes
from worker.recovery.unserved_queues import UnservedQueues
from worker.rpc import topics
from worker.rpc.clients.scheduler import SchedulerClient
from worker.rpc.clients.volume import VolumeClient
from worker.rpc.dispatch import Dispatcher
from worker.rpc.request_context import RequestContext
from worker.service import base, log_levels, receiving
from worker.service.fence import HostFence
from worker.service.flow_contexts.volume import VolumeContexts, volume_context
from worker.service.inputs import Identity, Inputs
from worker.service.parts import Infrastructure, Parts
from worker.service.start_stop import Service


def service(
    conf: cfg.ConfigOpts,
    name: str,
    number: int = 0,
    heartbeat: Callable[[str], None] = lambda _waits: None,
    observer: Observer | None = None,
    fence: HostFence | None = None,
) -> Service:
    """Return one process of the volume service of a backend, not started yet.

    :param name: the backend's section.
    :param number: the number of the process among those of the backend.
    :param heartbeat: called about every second while the service is alive, with the systems
        that it waits for.
    :param observer: called at every change of a task's state.
    :param fence: shared by the processes of the service.
    """
    inputs = Inputs.from_conf(conf, number, heartbeat, observer, fence)
    return Service(functools.partial(build, name), inputs)


def build(name: str, inputs: Inputs) -> Parts:
    """Build the parts of one process, each from the parts before it."""
    driver_class, configuration = backends.configure(inputs.conf, name)
    common = base.connect(inputs, _identity(name, configuration, inputs))
    node, cluster = _node(configuration, inputs.conf), inputs.conf.cluster
    targets = topics.volume_targets(node, name, cluster)

    if common.identity.first:
        image_cache.warn_of_missing_tenant(inputs.conf, configuration, name)
        image_locations.warn_of_missing_directory(inputs.conf)
        image_signatures.warn_of_missing_library(inputs.conf)
        clone_uploads.warn_of_missing_tenant(inputs.conf, configuration, name)
    scheduler = SchedulerClient(common.transport)
    client = VolumeClient(common.transport)
    row = BackendServiceRow(common.records, common.row, client, common.identity.processes)
    backend = _backend(common, name, driver_class, configuration, row)
    capabilities = _capabilities(common, backend, configuration)
    failovers = RemoteFailovers(row, backend, common.stopping)
    dispatcher = _dispatcher(common, configuration, backend, failovers, capabilities)
    submitted = SubmittedOperations(dispatcher, common.slot_journal, common.queue)
    contexts = VolumeContexts(
        volume_context(common, configuration, backend, scheduler, row, submitted)
    )
    timeouts = OperationTimeouts.of(configuration)
    executor = base.make_executor(
        *(common, contexts, dispatcher),
        timeouts=timeouts,
        observer=inputs.observer,
        bandwidth=lambda: int(configuration.bandwidth_mib) * units.Mi,
    )
    operations = base.make_pool(
        common, executor, submitted=submitted, most=lambda: int(configuration.operations_max)
    )
    intake = receiving.make_intake(common, dispatcher, operations)
    servers = receiving.make_servers(common, targets, intake)
    unserved = receiving.make_unserved_queues(common)
    report = functools.partial(
        _report, common, backend, capabilities, scheduler, failovers, unserved
    )
    interval = inputs.conf.backend_stats_polling_interval
    return Parts(
        base=common,
        backend=backend,
        operations=operations,
        intake=intake,
        servers=servers,
        shared_queue=receiving.make_shared_queue(common, servers),
        requests=base.make_requests(common, operations, dispatcher),
        adopter=base.make_adopter(common, operations),
        reporter=base.make_reporter(
            *(common, backend, report),
            interval=interval,
            heartbeat=inputs.alive,
            check_late=backend.timer.check,
        ),
        recovery=_recovery(common, targets, backend, contexts, operations),
        others_serve=unserved.another_serves,
    )


def endpoints(
    address: str,
    *,
    capabilities: DriverCapabilities,
    reports: CapabilityReports,
    queries: BackendQueries,
    manageable: ManageableObjects,
    objects: BackendObjects,
    targets: GroupReplicationTargets,
    follower: FailoverFollower,
    image_cache: bool = False,
    clone_uploads: bool = False,
) -> list[object]:
    """Return the RPC methods of the volume service (spec/volume-rpc §2).

    :param address: ``cluster@backend``, or ``host@backend``.
    :param image_cache: whether the backend has an image-volume cache.
    :param clone_uploads: whether images of its volumes are kept in clones of these.
    """
    return [
        VolumeEndpoint(image_cache=image_cache, clone_uploads=clone_uploads),
        SnapshotEndpoint(),
        ConnectionEndpoint(),
        MigrationEndpoint(),
        ManageEndpoint(manageable),
        AuditEndpoint(objects),
        GroupEndpoint(),
        GroupReplicationEndpoint(targets),
        BackupSourceEndpoint(queries),
        MaintenanceEndpoint(address, follower),
        CapabilityEndpoint(capabilities),
        ServiceEndpoint(reports, log_levels),
    ]


def operations() -> frozenset[str]:
    """Return the names of the operations, which ``operation_timeout`` may limit."""
    unused: Any = None
    methods = endpoints(
        "",
        capabilities=unused,
        reports=unused,
        queries=unused,
        manageable=unused,
        objects=unused,
        targets=unused,
        follower=unused,
    )
    return Dispatcher(methods, RPC_VERSION).journalled


@dataclass(frozen=True)
class VolumeRecovery:
    """Implements :class:`worker.service.parts.Recovery` for a volume backend."""

    orphaned: OrphanedVolumes
    exports: StartupSync
    backend: VolumeBackend

    def start(self) -> None:
        """End orphaned operations, and restore the exports of volumes in use."""
        self.orphaned.start()
        self.exports.start(self.backend.require_driver())


def _node(configuration: Any, conf: cfg.ConfigOpts) -> str:
    return str(configuration.safe_get("backend_host") or conf.host)


def _identity(name: str, configuration: Any, inputs: Inputs) -> Identity:
    conf = inputs.conf
    zone = configuration.safe_get("backend_availability_zone") or conf.storage_availability_zone
    return Identity(
        binary=topics.TOPIC,
        rpc_version=RPC_VERSION,
        host=topics.join(_node(configuration, conf), name),
        zone=str(zone),
        number=inputs.number,
        processes=int(configuration.processes),
        cluster=topics.join(conf.cluster, name) if conf.cluster else None,
    )


def _backend(
    common: Infrastructure,
    name: str,
    driver_class: type[VolumeDriver],
    configuration: Any,
    row: BackendServiceRow,
) -> VolumeBackend:
    host, rows = common.identity.host, common.identity.backend_rows
    held = functools.partial(startup_sync.has_data, common.records, rows)
    mark = DirectoryMark(common.identity.address, common.conf.state_path, held)

    def make_driver() -> VolumeDriver:
        active = row.active_backend_id()
        driver = driver_class(configuration, host=host, active_backend_id=active)
        mark.check(driver)
        return driver

    def driver_ready(driver: VolumeDriver, stats: Any) -> None:
        if common.identity.first:
            startup_sync.correct(common.records, driver, rows)
            row.write_replication_status(bool(stats.get("replication_enabled")))

    timer = StatisticsTimer(name, common.conf.backend_stats_polling_interval)
    return VolumeBackend(
        *(name, common.row, make_driver, configuration, driver_ready, common.limiter), mark, timer
    )


def _capabilities(
    common: Infrastructure, backend: VolumeBackend, configuration: Any
) -> Capabilities:
    volumes, rows = common.records.volumes, common.identity.backend_rows
    return Capabilities(
        backend,
        functools.partial(volumes.allocated_by_pool, rows),
        extra=configuration.extra_capabilities,
        filter_function=configuration.filter_function or common.conf.filter_function,
        goodness_function=configuration.goodness_function or common.conf.goodness_function,
    )


def _dispatcher(
    common: Infrastructure,
    configuration: Any,
    backend: VolumeBackend,
    failovers: RemoteFailovers,
    capabilities: Capabilities,
) -> Dispatcher:
    records, identity = common.records, common.identity
    methods = endpoints(
        identity.address,
        capabilities=capabilities,
        reports=backend,
        queries=DriverQueries(records, backend),
        manageable=Manageable(records, backend, identity.backend_rows),
        objects=ObjectPages(records, backend, identity.backend_rows),
        targets=ReplicationTargets(records, configuration.replication_device),
        follower=failovers,
        image_cache=image_cache.options(common.conf, configuration) is not None,
        clone_uploads=clone_uploads.options(common.conf, configuration) is not None,
    )
    return Dispatcher(methods, RPC_VERSION)


def _recovery(
    common: Infrastructure,
    targets: Sequence[oslo_messaging.Target],
    backend: VolumeBackend,
    contexts: VolumeContexts,
    operations: OperationPool,
) -> VolumeRecovery:
    records, identity, stopping = common.records, common.identity, common.stopping
    return VolumeRecovery(
        OrphanedVolumes(
            records,
            identity.backend_rows,
            contexts.internal,
            operations,
            receiving.make_proof(common, targets),
            stopping,
        ),
        StartupSync(records, common.queue, identity.backend_rows, stopping),
        backend,
    )


def _report(
    common: Infrastructure,
    backend: VolumeBackend,
    capabilities: Capabilities,
    scheduler: SchedulerClient,
    failovers: RemoteFailovers,
    unserved: UnservedQueues,
) -> None:
    """Follow a missed failover, send the capabilities to the scheduler, store errors.

    Casts in queues of dead hosts are logged.
    """
    failovers.follow_missed()
    identity, current = common.identity, capabilities.fresh()
    scheduler.report(RequestContext.admin(), identity.host, current, identity.cluster)
    if identity.first:
        driver = backend.require_driver()
        replication_status.note_errors(common.records, driver, identity.backend_rows, current)
        unserved.check()
