# SPDX-License-Identifier: Apache-2.0
"""The volume service: one process of one backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg

from drivers.compute.nova import Nova
from drivers.interface.volume import VolumeDriver
from flows.context import Options, VolumeServiceContext
from flows.engine import Observer
from worker.adapters import image_service
from worker.adapters.host_attach import HostAttacher
from worker.adapters.record_cache import RecordCache
from worker.adapters.remote_services import RemoteBackupServices, RemoteVolumeServices
from worker.adapters.service_row import BackendServiceRow
from worker.backends import replication_status, startup_sync
from worker.backends.capabilities import Capabilities
from worker.backends.driver_queries import DriverQueries
from worker.backends.manageable import Manageable
from worker.backends.replication_status import ReplicationTargets
from worker.backends.reporter import Reporter
from worker.backends.startup_sync import StartupSync
from worker.backends.volume_backend import VolumeBackend
from worker.conf import backends
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
from worker.execution.timeouts import OperationTimeouts
from worker.recovery.orphaned_volumes import OrphanedVolumes
from worker.rpc import topics
from worker.rpc.clients.scheduler import SchedulerClient
from worker.rpc.clients.volume import VolumeClient
from worker.rpc.context import RequestContext
from worker.service import log_levels
from worker.service.base import Service


class VolumeService(Service):
    """One process of one backend.

    :param name: the backend's section.
    """

    binary = topics.TOPIC
    rpc_version = RPC_VERSION
    backend: VolumeBackend

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        name: str,
        worker_id: int = 0,
        beat: Callable[[], None] = lambda: None,
        observer: Observer | None = None,
    ) -> None:
        driver_class, configuration = backends.configure(conf, name)
        self._node = configuration.safe_get("backend_host") or conf.host
        self._name, self._configuration = name, configuration
        super().__init__(conf, topics.join(self._node, name), worker_id, beat, observer)
        self.images = image_service.make(conf)
        self._compute = Nova(conf)
        self.backend = VolumeBackend(
            name,
            self.host,
            lambda: driver_class(
                configuration, host=self.host, active_backend_id=self._standing.active_backend_id()
            ),
            configuration,
            self._driver_up,
            self.limiter,
        )
        self._standing = BackendServiceRow(
            self.records,
            self.backend,
            lambda: self.processes,
            lambda: VolumeClient(self.transport),
            lambda: self.journal,
            lambda message, context: self.intake.cast(message, context),
            self.stopping,
        )
        self._options = Options(
            no_snapshot_gb_quota=conf.no_snapshot_gb_quota,
            report_discard_supported=bool(configuration.safe_get("report_discard_supported")),
            migration_create_timeout=float(conf.migration_create_volume_timeout_secs),
        )
        self._attacher = HostAttacher(
            conf.backup_root_helper,
            multipath=conf.use_multipath_for_image_xfer,
            address=conf.my_ip or "",
        )
        self._capabilities = Capabilities(
            self.backend,
            lambda: self.records.volumes.allocated_by_pool(self.host),
            extra=configuration.extra_capabilities,
            filter_function=configuration.filter_function,
            goodness_function=configuration.goodness_function,
        )

    @property
    def zone(self) -> str:
        """The backend's zone, or else the node's."""
        zone = self._configuration.safe_get("backend_availability_zone")
        return str(zone or self.conf.storage_availability_zone)

    @property
    def processes(self) -> int:
        """What the backend's section says."""
        return int(self._configuration.processes)

    @property
    def timeouts(self) -> OperationTimeouts:
        """What the backend's section says."""
        return OperationTimeouts.of(self._configuration)

    def endpoints(self) -> Sequence[object]:
        """Return the objects that have the RPC methods of a backend."""
        devices = self._configuration.replication_device
        return endpoints(
            self.host,
            capabilities=self._capabilities,
            reports=self.backend,
            queries=DriverQueries(self.records, self.backend),
            manageable=Manageable(self.records, self.backend, self.host),
            targets=ReplicationTargets(self.records, devices),
            follower=self._standing,
        )

    def targets(self) -> Sequence[oslo_messaging.Target]:
        """Return the backend's queues."""
        return topics.volume_targets(self._node, self._name, self.conf.cluster)

    def connect(self) -> None:
        """Make the clients of the scheduler, of the backup services and of other backends."""
        self._scheduler = SchedulerClient(self.transport)
        self._volume_services = RemoteVolumeServices(
            self.transport, self.conf.rpc_response_timeout, self.limiter, self.stopping
        )
        self._backups = RemoteBackupServices(self.transport, self.records, self.conf)

    def registered(self, row: Any) -> None:
        """Volumes and work rows name the service."""
        self.backend.service_uuid = row.uuid
        self.records.workers.service_id = self._standing.service_id = row.id

    def came_up(self) -> None:
        """End what a service left behind, and bring exports back."""
        abandoned = OrphanedVolumes(
            self.records, self.host, lambda: self.context(RequestContext.admin(), False)
        )
        abandoned.clean_up()
        abandoned.start(lambda: self.operations.has_free_slot, self.stopping)
        exports = StartupSync(self.records, self.queue, self.host, self.stopping)
        exports.start(self.backend.require_driver())

    def make_reporter(self) -> Reporter:
        """Return what sends heartbeats and capability reports."""
        return Reporter(
            self.backend,
            self.heartbeat,
            self._report,
            report_interval=self.conf.report_interval,
            stats_interval=self.conf.backend_stats_polling_interval,
            beat=self.beat,
            prune=self.prune,
        )

    def context(self, request: RequestContext, resumed: bool) -> VolumeServiceContext:
        """Return what a flow is given."""
        records, cache = self.records, RecordCache()
        return VolumeServiceContext(
            **cache.context(records),
            request=request,
            backend=self.backend,
            notifier=self.notifier,
            scheduler=self._scheduler,
            images=self.images,
            backup_service=cache.observed(self._backups),
            service=cache.observed(self._standing),
            host=records.on_host(self.host),
            volume_service=cache.observed(self._volume_services),
            attacher=self._attacher,
            compute=self._compute,
            options=self._options,
            resumed=resumed,
            stopping=self.stopping,
            waiting=self.limiter.released,
        )

    def _driver_up(self, driver: VolumeDriver) -> None:
        if self.first:
            startup_sync.correct(self.records, driver, self.host)
            self._standing.came_up(bool(self.backend.stats().get("replication_enabled")))

    def _report(self) -> None:
        capabilities = self._capabilities.fresh()
        self._send_report(capabilities)
        if self.first:
            driver = self.backend.require_driver()
            replication_status.note_errors(self.records, driver, self.host, capabilities)

    def _send_report(self, capabilities: dict[str, Any]) -> None:
        self._scheduler.report(RequestContext.admin(), self.host, capabilities)


def endpoints(
    host: str,
    *,
    capabilities: DriverCapabilities,
    reports: CapabilityReports,
    queries: BackendQueries,
    manageable: ManageableObjects,
    targets: GroupReplicationTargets,
    follower: FailoverFollower,
) -> list[object]:
    """Return the RPC methods of the volume service (spec/volume-rpc §2).

    :param host: ``host@backend``.
    """
    return [
        VolumeEndpoint(),
        SnapshotEndpoint(),
        ConnectionEndpoint(),
        MigrationEndpoint(),
        ManageEndpoint(manageable),
        GroupEndpoint(),
        GroupReplicationEndpoint(targets),
        BackupSourceEndpoint(queries),
        MaintenanceEndpoint(host, follower),
        CapabilityEndpoint(capabilities),
        ServiceEndpoint(reports, log_levels),
    ]
