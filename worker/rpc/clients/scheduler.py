# SPDX-License-Identifier: Apache-2.0
"""The scheduler: gets capability reports, and volumes to place somewhere else."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Mapping
from typing import Any

import oslo_messaging
from oslo_utils import timeutils

from drivers.interface.records import Record
from worker.rpc import codec, objects, topics
from worker.rpc.clients.sender import Sender
from worker.rpc.request_context import RequestContext

VOLUME, BACKUP = "volume", "backup"
"""Whose capabilities are reported."""

_REPORT_RETRIES = 1
"""A report is repeated every minute anyway."""

_RESCHEDULE_RETRIES = 3
"""Operations send again until the bus is there."""


class SchedulerClient:
    """Casts to cinder-scheduler.

    :param transport: an RPC transport.
    :param object_version: the oldest object version among the schedulers.
    :param service: whose capabilities are reported.
    """

    def __init__(
        self,
        transport: Any,
        object_version: str = objects.OBJECT_VERSION,
        service: str = VOLUME,
    ) -> None:
        self._sender = Sender(transport, topics.SCHEDULER_TOPIC)
        self._service = service
        self._object_version = object_version
        self._times = _Times()

    def create_volume(
        self,
        request: Any,
        volume: Record,
        request_spec: Any,
        filter_properties: Mapping[str, Any],
    ) -> None:
        """Hand a volume back so that another backend is tried.

        :raises BusUnavailable: the cast was not sent.
        """
        args = {
            "volume": objects.volume(volume, self._object_version),
            "request_spec": _with_volume_id(codec.raw(request_spec), volume.id),
            "filter_properties": dict(filter_properties),
            "snapshot_id": None,
            "image_id": None,
            "backup_id": None,
        }
        target = oslo_messaging.Target(version="3.0")
        self._sender.cast(request, target, "create_volume", args, retry=_RESCHEDULE_RETRIES)

    def report(
        self,
        request: RequestContext,
        host: str,
        capabilities: Mapping[str, Any],
        cluster: str | None = None,
    ) -> None:
        """Report a backend's capabilities to every scheduler, and to one of them for notification.

        :raises BusUnavailable: a cast was not sent.
        """
        self.update_service_capabilities(request, host, capabilities, cluster)
        self.notify_service_capabilities(request, cluster or host, capabilities)

    def update_service_capabilities(
        self,
        request: RequestContext,
        host: str,
        capabilities: Mapping[str, Any],
        cluster: str | None = None,
    ) -> None:
        """Report a backend's capabilities to every scheduler."""
        args = {
            "service_name": self._service,
            "host": host,
            "capabilities": dict(capabilities),
            "cluster_name": cluster,
            "timestamp": self._times.next(),
        }
        target = oslo_messaging.Target(fanout=True, version="3.3")
        method = "update_service_capabilities"
        self._sender.cast(request, target, method, args, retry=_REPORT_RETRIES)

    def notify_service_capabilities(
        self, request: RequestContext, backend: str, capabilities: Mapping[str, Any]
    ) -> None:
        """Have one scheduler notify its listeners of a backend's capacity.

        :param backend: its cluster, or else its host.
        """
        args = {
            "service_name": self._service,
            "backend": backend,
            "capabilities": of_known_capacity(capabilities),
            "timestamp": self._times.next(),
        }
        target = oslo_messaging.Target(version="3.5")
        method = "notify_service_capabilities"
        self._sender.cast(request, target, method, args, retry=_REPORT_RETRIES)


def of_known_capacity(capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """Return capabilities without the pools whose capacity is ``unknown`` or ``infinite``.

    Cinder's scheduler has no notification for such a pool, and ends with KeyError at the first
    one, before those of the remaining pools and of the backend.
    """
    if not isinstance(pools := capabilities.get("pools"), list):
        return dict(capabilities)
    return {**capabilities, "pools": [pool for pool in pools if _is_known(pool)]}


def _is_known(pool: Mapping[str, Any]) -> bool:
    capacity = (pool.get("total_capacity_gb"), pool.get("free_capacity_gb"))
    return all(isinstance(value, int | float) for value in capacity)


class _Times:
    """The times of reports: each is later than the one before, also when the clock is set back.

    A scheduler drops a report that is older than the last one. After a step of an hour backwards
    it would choose this backend by the capacity of before the step, for an hour.
    """

    def __init__(self) -> None:
        self._last = datetime.datetime.min
        self._lock = threading.Lock()

    def next(self) -> str:
        """Return a time in exactly the form that the scheduler reads."""
        with self._lock:
            self._last = max(timeutils.utcnow(), self._last + datetime.timedelta(microseconds=1))
            return self._last.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _with_volume_id(request_spec: Any, volume_id: str) -> Any:
    if not codec.is_object(request_spec):
        return request_spec
    key = "versioned_object.data"
    return {**request_spec, key: {**request_spec[key], "volume_id": volume_id}}
