# SPDX-License-Identifier: Apache-2.0
"""The contexts that the flows of one volume backend run in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from drivers.compute.nova import Nova
from flows.context import Options, VolumeServiceContext
from worker.adapters import image_service
from worker.adapters.host_attach import HostAttacher
from worker.adapters.record_cache import RecordCache
from worker.adapters.remote_services import (
    RemoteBackupServices,
    RemoteScheduler,
    RemoteVolumeServices,
)
from worker.adapters.resource_locks import QueueLocks
from worker.adapters.service_row import BackendServiceRow
from worker.adapters.submitted_operations import SubmittedOperations
from worker.backends.volume_backend import VolumeBackend
from worker.conf import clone_uploads, image_cache, image_locations
from worker.execution.concurrency import blocking
from worker.rpc.clients.scheduler import SchedulerClient
from worker.rpc.request_context import RequestContext
from worker.service.flow_contexts.common import common_fields
from worker.service.parts import Infrastructure


@dataclass(frozen=True)
class VolumeContexts:
    """The contexts of flows; each run has a cache of its own.

    :param common: the context without a request.
    """

    common: VolumeServiceContext

    def __call__(self, request: RequestContext, resumed: bool) -> VolumeServiceContext:
        """Return the context of one run of a flow."""
        return RecordCache().around(self.common, request=request, resumed=resumed)

    def internal(self) -> VolumeServiceContext:
        """Return the context of a flow that the service runs without a request."""
        return self(RequestContext.admin(), False)


def volume_context(
    common: Infrastructure,
    configuration: Any,
    backend: VolumeBackend,
    scheduler: SchedulerClient,
    row: BackendServiceRow,
    submitted: SubmittedOperations,
) -> VolumeServiceContext:
    """Return the context of a backend's flows, without a request.

    :param configuration: of the backend.
    """
    conf, records, transport = common.conf, common.records, common.transport
    limiter = common.limiter
    remote_volumes = RemoteVolumeServices(transport, conf.rpc_response_timeout, common.stopping)
    remote_backups = RemoteBackupServices(transport, records, conf, common.stopping)
    return VolumeServiceContext(
        **common_fields(common),
        backend=backend,
        groups=records.by_group_kind,
        attachments=records.attachments,
        quotas=records.quotas,
        initiators=records.initiators,
        types=records.volume_types,
        services=records.services,
        host=records.on_host(common.identity.backend_rows),
        service=blocking(row, limiter),
        operations=blocking(submitted, limiter),
        image_cache=records.image_cache,
        locks=QueueLocks(common.queue, limiter),
        scheduler=blocking(RemoteScheduler(scheduler, common.stopping), limiter),
        volume_service=blocking(remote_volumes, limiter),
        backup_service=blocking(remote_backups, limiter),
        images=blocking(image_service.make(conf, limiter), limiter),
        attacher=blocking(HostAttacher.from_conf(conf), limiter),
        compute=blocking(Nova(conf), limiter),
        options=flow_options(conf, configuration),
    )


def flow_options(conf: cfg.ConfigOpts, configuration: Any) -> Options:
    """Return the options of flows.

    :param configuration: of the backend.
    """
    return Options(
        no_snapshot_gb_quota=conf.no_snapshot_gb_quota,
        report_discard_supported=bool(configuration.safe_get("report_discard_supported")),
        verify_signatures=conf.verify_glance_signatures == "enabled",
        convert_images=not conf.image_conversion_disable,
        unpack_images=conf.allow_compression_on_image_upload,
        clone_image_volumes=image_locations.may_clone(conf),
        disk_geometry=configuration.safe_get("disk_geometry"),
        migration_create_timeout=float(conf.migration_create_volume_timeout_secs),
        image_cache=image_cache.options(conf, configuration),
        clone_uploads=clone_uploads.options(conf, configuration),
    )
