# SPDX-License-Identifier: Apache-2.0
"""Usage notifications with the payloads that Cinder's listeners know (spec/volume-rpc §5)."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.statuses import VolumeStatus
from worker.compat import oslo_messaging as compat
from worker.rpc import bus_state
from worker.rpc import transport as bus
from worker.rpc.notifications.notification_queue import (
    GivenUp,
    Notification,
    NotificationQueue,
    TryAgain,
)

LOG = logging.getLogger(__name__)

_GROUP = "oslo_messaging_notifications"

_PRIORITY = "INFO"

_RETRIES = 1
"""Attempts of the library after the first, where the option ``retry`` sets no limit: then the
notification stays in the queue, and is sent again until the bus takes it."""

_WHOLE_HOST = ("create.", "manage_existing.")
"""Events of volumes whose publisher is the row's host with its pool."""

_PRIVATE = frozenset({"connection_info", "connector"})
"""Columns of attachments that may hold passwords."""

_Payload = Callable[[Record], dict[str, Any]]


class Notifier:
    """Sends notifications, or does nothing at all without a configured driver.

    A notification neither fails an operation nor delays it: it is put into a queue, and a thread
    sends it. Errors are logged.

    :param host: ``host@backend``, the publisher.
    :param transport: notifications have their own; it is not used.
    :param row_hosts: whether the publisher of creations is the row's host, as a service has it.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        transport: Any = None,
        *,
        host: str,
        row_hosts: bool = True,
    ) -> None:
        self._host = host
        self._row_hosts = row_hosts
        self._transport: Any = None
        conf.register_opts(compat.NOTIFIER_OPTS, group=_GROUP)
        settings = conf[_GROUP]
        self.enabled = bool({driver for driver in settings.driver if driver} - {"noop"})
        self.queue = NotificationQueue(self._deliver, self._release)
        if not self.enabled:
            return
        bus.register_opts(conf)
        self._transport = oslo_messaging.get_notification_transport(conf)
        self._held = settings.retry < 0
        self.retry = _RETRIES if self._held else settings.retry
        bus_state.divert_connections(self._transport, self.queue.note_outage)
        # Its drivers are loaded once, here; nothing is connected yet.
        self._base = oslo_messaging.Notifier(self._transport)

    @property
    def dropped(self) -> int:
        """Notifications that were not sent, since the start."""
        return self.queue.dropped

    def flush(self, timeout: float) -> bool:
        """Wait until all notifications are sent or dropped; return whether they are."""
        return self.queue.flush(timeout)

    def close(self) -> None:
        """Send the waiting notifications within a few seconds, and close the connection."""
        self.queue.close()

    def volume(self, request: Any, event: str, volume: Record, **extra: Any) -> None:
        """Send ``volume.<event>``."""
        if self.enabled:
            is_whole = self._row_hosts and event.startswith(_WHOLE_HOST)
            whole = volume.get("host") if is_whole else None
            publisher = f"volume.{whole or self._host}"
            self._send(request, publisher, f"volume.{event}", _volume, volume, extra)

    def snapshot(self, request: Any, event: str, snapshot: Record, **extra: Any) -> None:
        """Send ``snapshot.<event>``."""
        if self.enabled:
            publisher = f"snapshot.{self._host}"
            self._send(request, publisher, f"snapshot.{event}", _snapshot, snapshot, extra)

    def image_cache(self, request: Any, event: str, image_id: str, host: str | None) -> None:
        """Send ``image_volume_cache.<event>``."""
        if self.enabled:
            publisher = f"volume.{self._host.partition('@')[0]}"
            entry = Record("image", {"id": image_id})
            payload = {"image_id": image_id, "host": host}
            self._send(request, publisher, f"image_volume_cache.{event}", _nothing, entry, payload)

    def group(self, request: Any, event: str, group: Record, **extra: Any) -> None:
        """Send ``<kind>.<event>`` of a group, or of a snapshot of one."""
        if self.enabled:
            publisher = f"{group.kind}.{self._host}"
            self._send(
                request, publisher, f"{group.kind}.{event}", _GROUPS[group.kind], group, extra
            )

    def backup(self, request: Any, event: str, backup: Record, **extra: Any) -> None:
        """Send ``backup.<event>``."""
        if self.enabled:
            publisher = f"backup.{self._host}"
            self._send(request, publisher, f"backup.{event}", _backup, backup, extra)

    def _send(
        self,
        request: Any,
        publisher: str,
        event: str,
        payload: _Payload,
        record: Record,
        extra: Mapping[str, Any],
    ) -> None:
        try:
            message = {
                "message_id": str(uuid.uuid4()),
                "publisher_id": publisher,
                "event_type": event,
                "priority": _PRIORITY,
                "payload": {**payload(record), **extra},
                "timestamp": str(timeutils.utcnow()),
            }
            context = request.redacted_copy().to_wire() if request is not None else {}
            # The text, because an operation may change an extra value later.
            body = jsonutils.dumps(message)
        except Exception as error:  # noqa: BLE001  a record of any kind of driver
            LOG.warning("notification %s of %s was not sent: %s", event, record.id, error)
            return
        self.queue.put(Notification(context, body, f"{event} of {record.id}"))

    def _deliver(self, notification: Notification) -> None:
        """Send a notification to each receiver that does not have it. :raises TryAgain: later."""
        bus_state.divert(self.queue.note_outage)
        message = jsonutils.loads(notification.body)
        try:
            compat.send_notification(
                self._base, notification.context, message, self.retry, notification.taken
            )
        except compat.UNDELIVERED as error:
            if self._held:
                raise TryAgain(str(error)) from error
            raise GivenUp(str(error)) from error

    def _release(self) -> None:
        if self._transport is not None:
            self._transport.cleanup()


def _nothing(_record: Record) -> dict[str, Any]:
    return {}


_SHOWN = {VolumeStatus.ERROR_MANAGING_DELETING: VolumeStatus.DELETING}
"""Statuses of a volume that listeners see as another one."""


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
        "status": _SHOWN.get(status, status),
        "snapshot_id": volume.snapshot_id,
        "size": volume.size,
        "replication_status": volume.replication_status,
        "replication_extended_status": volume.replication_extended_status,
        "replication_driver_data": volume.replication_driver_data,
        "metadata": _pairs(volume.metadata),
        "volume_attachment": _attachments(volume.volume_attachment),
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
        "metadata": str(dict(snapshot.metadata or {})),
    }


_OF_BACKUPS = (
    *("user_id", "availability_zone", "host", "display_name", "status", "volume_id", "size"),
    *("service_metadata", "service", "fail_reason", "parent_id", "num_dependent_backups"),
    "snapshot_id",
)


def _backup(backup: Record) -> dict[str, Any]:
    return {
        "tenant_id": backup.project_id,
        "backup_id": backup.id,
        "created_at": _time(backup.created_at),
        **{name: backup[name] for name in _OF_BACKUPS},
    }


def _owned(record: Record, *names: str) -> dict[str, Any]:
    return {
        "tenant_id": record.project_id,
        **{name: record[name] for name in ("user_id", *names)},
        "created_at": _time(record.created_at),
        "status": record.status,
    }


def _group(group: Record) -> dict[str, Any]:
    return {
        "group_id": group.id,
        "group_type": group.group_type_id,
        **_owned(group, "availability_zone", "name"),
    }


def _group_snapshot(snapshot: Record) -> dict[str, Any]:
    return {
        "group_snapshot_id": snapshot.id,
        "group_type": snapshot.group_type_id,
        **_owned(snapshot, "name", "group_id"),
    }


def _consistencygroup(group: Record) -> dict[str, Any]:
    return {"consistencygroup_id": group.id, **_owned(group, "availability_zone", "name")}


def _cgsnapshot(snapshot: Record) -> dict[str, Any]:
    return {"cgsnapshot_id": snapshot.id, **_owned(snapshot, "name", "consistencygroup_id")}


_GROUPS: Mapping[str, _Payload] = {
    "group": _group,
    "group_snapshot": _group_snapshot,
    "consistencygroup": _consistencygroup,
    "cgsnapshot": _cgsnapshot,
}


def _time(value: datetime.datetime | None) -> str:
    moment = value or timeutils.utcnow()
    if moment.tzinfo is None:  # as the database has it
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.isoformat()


def _pairs(pairs: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in (pairs or {}).items()]


def _attachments(attachments: Iterable[Record] | None) -> list[dict[str, Any]]:
    return [
        {
            key: _time(value) if isinstance(value, datetime.datetime) else value
            for key, value in attachment.to_dict().items()
            if key not in _PRIVATE
        }
        for attachment in attachments or ()
    ]
