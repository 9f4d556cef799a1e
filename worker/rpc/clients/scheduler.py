# SPDX-License-Identifier: Apache-2.0
"""The scheduler: gets capability reports, and volumes to place somewhere else."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import oslo_messaging

from drivers.interface.records import Record
from worker.rpc import objects, topics
from worker.rpc.context import ContextSerializer, RequestContext

_RETRIES = 3
"""Tries at a broker that does not answer; reports are repeated anyway."""

SERVICE = "volume"


class SchedulerClient:
    """Casts to cinder-scheduler.

    :param transport: an RPC transport.
    """

    def __init__(self, transport: Any) -> None:
        self._client = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(topic=topics.SCHEDULER_TOPIC, version="3.0"),
            serializer=ContextSerializer(),
            retry=_RETRIES,
        )

    def create_volume(
        self,
        request: Any,
        volume: Record,
        request_spec: Any,
        filter_properties: Mapping[str, Any],
    ) -> None:
        """Hand a volume back so that another backend is tried."""
        spec = _with_volume_id(request_spec, volume.id)
        self._client.prepare(version="3.0").cast(
            request,
            "create_volume",
            volume=objects.volume(volume),
            request_spec=spec,
            filter_properties=dict(filter_properties),
            snapshot_id=None,
            image_id=None,
            backup_id=None,
        )

    def report(
        self,
        request: RequestContext,
        host: str,
        capabilities: Mapping[str, Any],
        cluster: str | None = None,
    ) -> None:
        """Tell every scheduler, and one of them for the notice, what a backend can do."""
        timestamp = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat()
        self._client.prepare(fanout=True, version="3.3").cast(
            request,
            "update_service_capabilities",
            service_name=SERVICE,
            host=host,
            capabilities=dict(capabilities),
            cluster_name=cluster,
            timestamp=timestamp,
        )
        self._client.prepare(version="3.5").cast(
            request,
            "notify_service_capabilities",
            service_name=SERVICE,
            backend=cluster or host,
            capabilities=dict(capabilities),
            timestamp=timestamp,
        )


def _with_volume_id(request_spec: Any, volume_id: str) -> Any:
    data = request_spec.get("versioned_object.data") if isinstance(request_spec, dict) else None
    if not isinstance(data, dict):
        return request_spec
    return {**request_spec, "versioned_object.data": {**data, "volume_id": volume_id}}
