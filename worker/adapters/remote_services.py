# SPDX-License-Identifier: Apache-2.0
"""RPC clients of other services, as flows use them.

A message waits for as long as the bus is away, as every operation waits for a database that is
away. Every other failure becomes one of two errors: ``ServiceUnreachable`` or
``ServiceRefused``. A service that restarts replies to the calls that waited on the bus
meanwhile; so a call without a reply is repeated a few times before it fails.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import oslo_messaging
from oslo_config import cfg

from drivers.interface.records import Record
from drivers.interface.volume import ZEROED
from flows import repeat
from flows.errors import InvalidVolume, ProcessStopping, ServiceRefused, ServiceUnreachable
from worker.db.records import Records
from worker.db.records.services.service import is_up
from worker.rpc import objects, topics
from worker.rpc.clients.backup import BackupClient
from worker.rpc.clients.scheduler import SchedulerClient
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.clients.volume import VolumeClient

LOG = logging.getLogger(__name__)

STOPPING = ("CinderException", "the service stops")
"""Class and text of the answer of a Holdfast service that stops: the call is repeated."""

TRIES = 3
PATIENCE = 300.0
"""How often a call without a reply is made at least, and for how many seconds: several hosts that
were to reply may be lost one after the other."""

SEND_PAUSE = 0.2
SEND_PAUSE_MAX = 2.0
"""First and longest pause between two attempts to send a message, in seconds; each attempt takes
some seconds itself while the bus is away."""

T = TypeVar("T")


class RemoteVolumeServices:
    """Implements :class:`flows.protocols.remote_services.RemoteVolumeService`.

    :param timeout: seconds that a call waits for its reply.
    :param stopping: ends the waiting; the operation resumes at the next start.
    """

    def __init__(self, transport: Any, timeout: float, stopping: threading.Event) -> None:
        self._client = VolumeClient(transport, timeout)
        self._stopping = stopping

    def get_backup_device(self, request: Any, backup: Record, volume: Record) -> None:
        """Cast to the volume's service, which chooses the device that the backup reads."""
        self._cast(
            request, volume, "get_backup_device", backup=backup, want_objects=True, async_call=True
        )

    def secure_file_operations_enabled(self, request: Any, volume: Record) -> bool:
        """Ask the volume's driver whether its files belong to the service's user."""
        return bool(self._call(request, volume, "secure_file_operations_enabled", volume=volume))

    def new_volumes_are_zero(self, request: Any, volume: Record) -> bool:
        """Ask the volume's service for the capabilities of its driver; no answer means no."""
        try:
            answer = self._call(request, volume, "get_capabilities", discover=False)
        except (ServiceRefused, ServiceUnreachable) as error:
            LOG.info("zeros are written to the new volume %s: %s", volume.id, error)
            return False
        return isinstance(answer, Mapping) and answer.get(ZEROED) is True

    def connect(
        self, request: Any, source: Record, connector: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Connect a source; return the connection info."""
        name, named = ("volume", source) if source.kind == "volume" else ("snapshot_id", source.id)
        method = _of("initialize_connection", source)
        answer = self._call(request, source, method, **{name: named}, connector=dict(connector))
        if not isinstance(answer, Mapping):
            raise ServiceRefused(f"{method} of {source.kind} {source.id} returned no mapping")
        return answer

    def disconnect(self, request: Any, source: Record, connector: Mapping[str, Any]) -> None:
        """Disconnect a connector from a source."""
        named = {f"{source.kind}_id": source.id, "connector": dict(connector), "force": True}
        self._call(request, source, _of("terminate_connection", source), **named)

    def unexport(self, request: Any, source: Record, *, wait: bool = True) -> None:
        """Remove a source's export, by a call or a cast."""
        named = {f"{source.kind}_id": source.id}
        send = self._call if wait else self._cast
        send(request, source, _of("remove_export", source), **named)

    def create(self, request: Any, volume: Record) -> None:
        """Cast the creation of an empty volume, which is not rescheduled elsewhere."""
        nothing = {"request_spec": None, "filter_properties": None, "allow_reschedule": False}
        self._cast(request, volume, "create_volume", volume=volume, **nothing)

    def update_migrated(
        self, request: Any, volume: Record, copy: Record, status: str | None
    ) -> None:
        """Call the service of the copy."""
        named = {"volume": volume, "new_volume": copy, "volume_status": status}
        self._call(request, copy, "update_migrated_volume", **named)

    def attach(self, request: Any, volume: Record, attachment: Mapping[str, Any]) -> None:
        """Call the service of the volume."""
        named = {
            "volume_id": volume.id,
            "instance_uuid": attachment["instance_uuid"],
            "host_name": attachment["attached_host"],
            "mountpoint": attachment["mountpoint"],
            "mode": attachment["attach_mode"] or "rw",
        }
        self._call(request, volume, "attach_volume", **named)

    def delete(self, request: Any, source: Record) -> None:
        """Cast the deletion of a temporary source."""
        self._cast(request, source, f"delete_{source.kind}", **{source.kind: source})

    def changed_extents(
        self, request: Any, source: Record, since: str
    ) -> Sequence[tuple[int, int]] | None:
        """Return the changed extents; a service that does not know them is no failure."""
        named = {"kind": source.kind, "id": source.id}
        try:
            answer = self._call(request, source, "get_changed_extents", resource=named, since=since)
            return None if answer is None else [(int(start), int(end)) for start, end in answer]
        except (ServiceRefused, ServiceUnreachable, TypeError, ValueError) as error:
            LOG.info("%s %s is read completely: %s", source.kind, source.id, error)
            return None

    def _cast(self, request: Any, source: Record, method: str, **args: Any) -> None:
        host = _address(source)
        _sent(lambda: self._client.cast(request, host, method, **args), self._stopping)

    def _call(self, request: Any, source: Record, method: str, **args: Any) -> Any:
        host = _address(source)
        until = time.monotonic() + PATIENCE
        for tries in itertools.count(1):
            try:
                return _sent(
                    lambda: self._client.call(request, host, method, **args), self._stopping
                )
            except ServiceUnreachable as error:
                if self._stopping.is_set():
                    raise ProcessStopping(str(error)) from error
                silent = isinstance(error.__cause__, oslo_messaging.MessagingTimeout)
                if tries >= TRIES and (not silent or time.monotonic() > until):
                    raise
                LOG.warning("%s; the call is repeated", error)
        raise AssertionError("not reached")


class RemoteBackupServices:
    """Implements :class:`flows.protocols.remote_services.RemoteBackupService`.

    :param stopping: ends the waiting for the bus.
    """

    def __init__(
        self, transport: Any, records: Records, conf: cfg.ConfigOpts, stopping: threading.Event
    ) -> None:
        self._client = BackupClient(transport)
        self._records = records
        self._conf = conf
        self._stopping = stopping

    def continue_backup(self, request: Any, backup: Record, device: Mapping[str, Any]) -> None:
        """Cast to the backup's host."""
        self._cast(request, backup, "continue_backup", backup_device=dict(device))

    def restore_backup(self, request: Any, backup: Record, volume_id: str) -> None:
        """Cast to the backup's host."""
        self._cast(request, backup, "restore_backup", volume_id=volume_id, volume_is_new=True)

    def device(self, source: Record, secure: bool) -> dict[str, Any]:
        """Return a source as a versioned object."""
        return objects.backup_device(source, secure)

    def alive(self, zone: str | None, preferred: str | None) -> str | None:
        """Return the host of a backup service with a recent heartbeat."""
        down, rows = self._conf.service_down_time, self._records.services
        services = rows.list(binary=topics.BACKUP_TOPIC)
        found = [row for row in services if not row.disabled and is_up(row, down)]
        best = [row for row in found if row.host == preferred]
        near = [row for row in found if row.availability_zone == zone]
        return next((str(row.host) for row in (*best, *near, *found)), None)

    def _cast(self, request: Any, backup: Record, method: str, **args: Any) -> None:
        _sent(
            lambda: self._client.cast(request, backup.host, method, backup=backup, **args),
            self._stopping,
        )


class RemoteBackupPeers:
    """Implements :class:`flows.protocols.remote_services.BackupPeers`.

    :param stopping: ends the waiting for the bus.
    """

    def __init__(self, transport: Any, stopping: threading.Event) -> None:
        self._client = BackupClient(transport)
        self._stopping = stopping

    def import_record(
        self,
        request: Any,
        host: str,
        backup: Record,
        service: str,
        url: str,
        hosts: Sequence[str],
    ) -> None:
        """Cast to another host."""
        named = {
            "backup": backup,
            "backup_service": service,
            "backup_url": url,
            "backup_hosts": list(hosts),
        }
        _sent(lambda: self._client.cast(request, host, "import_record", **named), self._stopping)


class RemoteScheduler:
    """Implements :class:`flows.protocols.remote_services.Scheduler`.

    :param stopping: ends the waiting for the bus.
    """

    def __init__(self, client: SchedulerClient, stopping: threading.Event) -> None:
        self._client = client
        self._stopping = stopping

    def create_volume(
        self,
        request: Any,
        volume: Record,
        request_spec: Any,
        filter_properties: Mapping[str, Any],
    ) -> None:
        """Cast to the scheduler."""
        _sent(
            lambda: self._client.create_volume(request, volume, request_spec, filter_properties),
            self._stopping,
        )


def _of(method: str, source: Record) -> str:
    return method if source.kind == "volume" else f"{method}_snapshot"


def _address(source: Record) -> str:
    try:
        return topics.address(source if source.kind == "volume" else source.volume)
    except InvalidVolume as error:
        raise ServiceUnreachable(str(error)) from error


def _sent(send: Callable[[], T], stopping: threading.Event) -> T:
    """Send a message as soon as the bus is there; translate failures into one of two errors.

    :raises ProcessStopping: the process stops before that.
    """
    return repeat.until_stopped(
        lambda: _translated(send),
        stopping.wait,
        on=BusUnavailable,
        first=SEND_PAUSE,
        longest=SEND_PAUSE_MAX,
        failed=repeat.first_only(
            lambda error, _pause: LOG.warning("a message waits for the message bus: %s", error)
        ),
    )


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except oslo_messaging.MessagingTimeout as error:
        raise ServiceUnreachable(f"no reply from the bus: {error}") from error
    except InvalidVolume as error:
        raise ServiceUnreachable(str(error)) from error
    except oslo_messaging.RemoteError as error:
        if error.exc_type == STOPPING[0] and STOPPING[1] in str(error.value):
            raise ServiceUnreachable(str(error.value)) from error
        raise ServiceRefused(f"{error.exc_type}: {error.value}") from error
