# SPDX-License-Identifier: Apache-2.0
"""Usage notifications with the payloads that Cinder's listeners know (spec/volume-rpc §5)."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Any

import oslo_messaging
from oslo_config import cfg

from drivers.interface.records import Record
from worker.rpc.context import ContextSerializer, RequestContext

LOG = logging.getLogger(__name__)

_RETRIES = 3
"""Tries at a broker that does not answer; an operation does not wait for ever."""

_WHOLE_HOST = ("create.", "manage_existing.")
"""Events of volumes whose publisher is the row's host with its pool."""


class Notifier:
    """Sends notifications, or does nothing at all when nobody asked for them.

    :param transport: not used for sending; notifications have their own.
    :param host: ``host@backend``.
    """

    def __init__(self, conf: cfg.ConfigOpts, transport: Any, *, host: str) -> None:
        self._host = host
        drivers = [driver for driver in conf.oslo_messaging_notifications.driver if driver]
        self._on = bool(set(drivers) - {"noop"})
        self._transport = oslo_messaging.get_notification_transport(conf) if self._on else None

    def close(self) -> None:
        """Give the connection up."""
        if self._transport is not None:
            self._transport.cleanup()

    def volume(self, request: Any, event: str, volume: Record, **extra: Any) -> None:
        """Send ``volume.<event>``."""
        if self._on:
            whole = event.startswith(_WHOLE_HOST) and volume.host
            host = volume.host if whole else self._host
            self._send(request, "volume", event, host, lambda: {**_volume(volume), **extra})

    def snapshot(self, request: Any, event: str, snapshot: Record, **extra: Any) -> None:
        """Send ``snapshot.<event>``."""
        if self._on:
            payload = lambda: {**_snapshot(snapshot), **extra}  # noqa: E731
            self._send(request, "snapshot", event, self._host, payload)

    def _send(
        self,
        request: RequestContext,
        kind: str,
        event: str,
        host: str,
        payload: Callable[[], dict[str, Any]],
    ) -> None:
        try:
            notifier = oslo_messaging.Notifier(
                self._transport,
                publisher_id=f"{kind}.{host}",
                serializer=ContextSerializer(),
                retry=_RETRIES,
            )
            notifier.info(request, f"{kind}.{event}", payload())
        except Exception as error:  # a notification never fails an operation
            LOG.warning("notification %s.%s was not sent: %s", kind, event, error)


def _volume(volume: Record) -> dict[str, Any]:
    status = volume.status
    payload = {
        "tenant_id": volume.project_id,
        "host": volume.host,
        "user_id": volume.user_id,
        "availability_zone": volume.availability_zone,
        "volume_id": volume.id,
        "volume_type": volume.volume_type_id,
        "display_name": volume.display_name,
        "launched_at": _time(volume.launched_at),
        "created_at": _time(volume.created_at),
        "status": "deleting" if status == "error_managing_deleting" else status,
        "snapshot_id": volume.snapshot_id,
        "size": volume.size,
        "replication_status": volume.replication_status,
        "replication_extended_status": volume.replication_extended_status,
        "replication_driver_data": volume.replication_driver_data,
        "metadata": _pairs(volume.metadata),
        "volume_attachment": [_plain(entry) for entry in volume.volume_attachment],
    }
    if image := _pairs(volume.glance_metadata):
        payload["glance_metadata"] = image
    return payload


def _snapshot(snapshot: Record) -> dict[str, Any]:
    volume = snapshot.volume
    return {
        "tenant_id": snapshot.project_id,
        "user_id": snapshot.user_id,
        "availability_zone": volume.availability_zone if volume else None,
        "volume_id": snapshot.volume_id,
        "volume_size": snapshot.volume_size,
        "snapshot_id": snapshot.id,
        "display_name": snapshot.display_name,
        "created_at": _time(snapshot.created_at),
        "status": snapshot.status,
        "deleted": "True" if snapshot.deleted else "",
        "metadata": str(dict(snapshot.metadata)),
    }


def _time(value: datetime.datetime | None) -> str:
    moment = value or datetime.datetime.now(datetime.UTC)
    return moment.replace(tzinfo=None, microsecond=0).isoformat() + "+00:00"


def _pairs(pairs: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in pairs.items()]


def _plain(attachment: Record) -> dict[str, Any]:
    return {
        key: _time(value) if isinstance(value, datetime.datetime) else value
        for key, value in attachment.to_dict().items()
        if key not in ("connection_info", "connector")
    }
