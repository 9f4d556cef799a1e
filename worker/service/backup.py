# SPDX-License-Identifier: Apache-2.0
"""The backup service: one process of one host."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg

from drivers.interface.records import Record
from flows.context import BackupContext
from flows.engine import Observer
from worker.adapters.backup_metadata import VolumeMetadata
from worker.adapters.host_attach import HostAttacher
from worker.adapters.remote_services import RemoteBackupPeers, RemoteVolumeServices
from worker.backends.backup_backend import BackupStoreBackend
from worker.backends.reporter import Reporter
from worker.conf import backup
from worker.endpoints.backup import RPC_VERSION, BackupEndpoint, ForceDeleteSupport
from worker.endpoints.service import CapabilityReports, ServiceEndpoint
from worker.recovery.orphaned_backups import OrphanedBackups
from worker.rpc import topics
from worker.rpc.clients import scheduler
from worker.rpc.clients.backup import BackupClient
from worker.rpc.context import RequestContext
from worker.service import log_levels
from worker.service.base import Service


class BackupService(Service):
    """One process of a host's backup service."""

    binary = topics.BACKUP_TOPIC
    rpc_version = RPC_VERSION
    backend: BackupStoreBackend

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        worker_id: int = 0,
        beat: Callable[[], None] = lambda: None,
        observer: Observer | None = None,
    ) -> None:
        driver_class, services = backup.driver_class(conf)
        super().__init__(conf, conf.host, worker_id, beat, observer)
        metadata = VolumeMetadata(self.records, lambda: int(conf.backup_metadata_version))
        self.backend = BackupStoreBackend(
            self.host,
            self.zone,
            lambda: driver_class(backup.Settings(conf), metadata=metadata),
            services,
            lambda: float(conf.backup_driver_init_check_interval),
        )
        self._attacher = HostAttacher(
            conf.backup_root_helper,
            multipath=conf.use_multipath_for_image_xfer,
            address=conf.my_ip or "",
        )

    @property
    def zone(self) -> str:
        """The node's."""
        return str(self.conf.storage_availability_zone)

    @property
    def processes(self) -> int:
        """What ``backup_workers`` says."""
        return int(self.conf.backup_workers)

    @property
    def data_transfers(self) -> int:
        """This process's part of the host's ``backup_max_operations``."""
        return math.ceil(int(self.conf.backup_max_operations) / self.processes)

    def endpoints(self) -> Sequence[object]:
        """Return the objects that have the RPC methods."""
        return endpoints(self.backend, self.backend)

    def targets(self) -> Sequence[oslo_messaging.Target]:
        """Return the host's queue."""
        return [topics.backup_target(self.host)]

    def connect(self) -> None:
        """Make the clients of the schedulers, of volume services and of other hosts."""
        self._scheduler = scheduler.SchedulerClient(self.transport, service=scheduler.BACKUP)
        self._volume_services = RemoteVolumeServices(
            self.transport, self.conf.rpc_response_timeout, self.limiter, self.stopping
        )
        self._peers = RemoteBackupPeers(self.transport)

    def came_up(self) -> None:
        """Look after what another service left."""
        admin = RequestContext.admin()
        OrphanedBackups(
            self.records,
            self.journal,
            self.host,
            self.stopping,
            lambda: self.context(admin, False),
            self._delete,
        ).start()

    def make_reporter(self) -> Reporter:
        """Return what sends heartbeats and capability reports."""
        return Reporter(
            self.backend,
            self.heartbeat,
            self._send_report,
            report_interval=self.conf.report_interval,
            stats_interval=self.conf.backup_driver_stats_polling_interval,
            beat=self.beat,
            prune=self.prune,
        )

    def context(self, request: RequestContext, resumed: bool) -> BackupContext:
        """Return what a flow is given."""
        records = self.records
        return BackupContext(
            request=request,
            backend=self.backend,
            volumes=records.volumes,
            snapshots=records.snapshots,
            backups=records.backups,
            messages=records.messages,
            notifier=self.notifier,
            volume_service=self._volume_services,
            peers=self._peers,
            attacher=self._attacher,
            progress_every=self._progress_every(),
            resumed=resumed,
            stopping=self.stopping,
            waiting=self.limiter.released,
        )

    def capabilities(self) -> dict[str, Any]:
        """Return what the scheduler is told (spec/backup-rpc §9)."""
        return {
            "backend_state": self.backend.initialized,
            "driver_name": self.backend.service,
            "availability_zone": self.zone,
        }

    def _delete(self, backup: Record) -> None:
        client = BackupClient(self.transport)
        client.cast(RequestContext.admin(), self.host, "delete_backup", backup=backup)

    def _progress_every(self) -> float:
        conf = self.conf
        return float(conf.backup_timer_interval) if conf.backup_enable_progress_timer else 0.0

    def _send_report(self) -> None:
        self._scheduler.report(RequestContext.admin(), self.host, self.capabilities())


def endpoints(driver: ForceDeleteSupport, reports: CapabilityReports) -> list[object]:
    """Return the RPC methods of the backup service (spec/backup-rpc)."""
    return [BackupEndpoint(driver), ServiceEndpoint(reports, log_levels)]
