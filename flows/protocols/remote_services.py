# SPDX-License-Identifier: Apache-2.0
"""Other services on the bus, as flows use them: protocols.

The worker implements them; tests implement them with plain objects. A source is a volume
or a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from drivers.interface.records import Record
from flows.protocols.request import Request


class Notifications(Protocol):
    """Usage notifications (spec/volume-rpc §5); never fails an operation."""

    def volume(self, request: Request, event: str, volume: Record, **extra: Any) -> None:
        """Send ``volume.<event>``, such as ``volume.create.start``."""

    def snapshot(self, request: Request, event: str, snapshot: Record, **extra: Any) -> None:
        """Send ``snapshot.<event>``."""

    def image_cache(self, request: Request, event: str, image_id: str, host: str | None) -> None:
        """Send ``image_volume_cache.<event>``: ``hit``, ``miss`` or ``evict``."""

    def group(self, request: Request, event: str, group: Record, **extra: Any) -> None:
        """Send ``<kind>.<event>`` of a group or a group snapshot."""

    def backup(self, request: Request, event: str, backup: Record, **extra: Any) -> None:
        """Send ``backup.<event>``."""


class Scheduler(Protocol):
    """The scheduler service."""

    def create_volume(
        self,
        request: Request,
        volume: Record,
        request_spec: Any,
        filter_properties: Mapping[str, Any],
    ) -> None:
        """Cast the creation of a volume back, so that the scheduler tries another backend."""


class RemoteBackupService(Protocol):
    """The backup services, as the volume service uses them."""

    def continue_backup(self, request: Request, backup: Record, device: Mapping[str, Any]) -> None:
        """Cast the device to read to the backup's host. :raises ServiceUnreachable:"""

    def restore_backup(self, request: Request, backup: Record, volume_id: str) -> None:
        """Cast the restore to a new volume to the backup's host. :raises ServiceUnreachable:"""

    def device(self, source: Record, secure: bool) -> dict[str, Any]:
        """Return a source in the form of a backup device.

        :param secure: whether the source's files belong to the service's user.
        """

    def alive(self, zone: str | None, preferred: str | None) -> str | None:
        """Return the host of a backup service that is up; None if there is none.

        :param zone: the preferred availability zone, after the preferred host.
        """


class RemoteVolumeService(Protocol):
    """The volume services, as other services use them. Each call may be repeated.

    :raises ServiceUnreachable: the service of the volume's backend does not reply.
    :raises ServiceRefused: the service replied with an error.
    """

    def get_backup_device(self, request: Request, backup: Record, volume: Record) -> None:
        """Cast to the volume's service, which chooses a device and casts ``continue_backup``."""

    def secure_file_operations_enabled(self, request: Request, volume: Record) -> bool:
        """Return whether the volume's files belong to the service's user."""

    def new_volumes_are_zero(self, request: Request, volume: Record) -> bool:
        """Return whether new volumes of the volume's backend read as zeros, as far as it says."""

    def connect(
        self, request: Request, source: Record, connector: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Connect a source; return the connection info."""

    def disconnect(self, request: Request, source: Record, connector: Mapping[str, Any]) -> None:
        """Disconnect a connector from a source."""

    def unexport(self, request: Request, source: Record, *, wait: bool = True) -> None:
        """Remove a source's export.

        :param wait: for the service's reply; False casts.
        """

    def create(self, request: Request, volume: Record) -> None:
        """Cast the creation of an empty volume to the host in its row."""

    def delete(self, request: Request, source: Record) -> None:
        """Cast the deletion of a temporary source."""

    def update_migrated(
        self, request: Request, volume: Record, copy: Record, status: str | None
    ) -> None:
        """Have the service of a volume's copy give the copy the volume's name and location.

        :param volume: the row before the migration, likewise ``copy``; every attempt sends
            the same rows.
        :param status: the volume's status before the migration.
        """

    def attach(self, request: Request, volume: Record, attachment: Mapping[str, Any]) -> None:
        """Write an attachment of the migrated volume anew, on its new host."""

    def changed_extents(
        self, request: Request, source: Record, since: str
    ) -> Sequence[tuple[int, int]] | None:
        """Return the extents that may differ from a snapshot; None if they are unknown."""


class BackupPeers(Protocol):
    """The other backup services."""

    def import_record(
        self,
        request: Request,
        host: str,
        backup: Record,
        service: str,
        url: str,
        hosts: Sequence[str],
    ) -> None:
        """Cast the import of a record to another host. :raises ServiceUnreachable: not sent."""
