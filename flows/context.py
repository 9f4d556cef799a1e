# SPDX-License-Identifier: Apache-2.0
"""What a flow is given: protocols over the database, the locks, the driver and the bus.

The worker implements them; tests implement them with plain objects. A task asks
its context for what it needs and never for its caller. What it knows of the database
is in :mod:`flows.records` and :mod:`flows.service_records`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from drivers.interface.backup import BackupDriver
from drivers.interface.compute import ComputeService
from drivers.interface.image import Image, ImageService
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.records import (
    AttachmentRecords,
    BackupRecords,
    GroupRecords,
    QuotaRecords,
    SnapshotRecords,
    TypeRecords,
    VolumeRecords,
)
from flows.service_records import HostRecords, Initiators, ServiceRecords, ServiceRow, WorkRows


class Request(Protocol):
    """Who asked, and under which request id; shown in logs and notifications."""

    @property
    def user_id(self) -> str | None:
        """The user who asked."""

    @property
    def project_id(self) -> str | None:
        """The project in whose name."""

    @property
    def request_id(self) -> str | None:
        """What all log lines of the request carry."""

    @property
    def is_admin(self) -> bool | None:
        """Whether with administrator's rights."""

    def elevated(self) -> Request:
        """Return the same request with administrator's rights."""

    def to_wire(self) -> dict[str, Any]:
        """Return the keys that travel with an onward cast."""


class Messages(Protocol):
    """User messages (spec/volume-rpc §6)."""

    def create(
        self,
        request: Request,
        resource: Record,
        *,
        action: str,
        detail: str,
        resource_type: str = "VOLUME",
        level: str = "ERROR",
    ) -> None:
        """Insert a message; the resource's project is used when the request has none."""


class Images(Protocol):
    """An image service, and what moves its data."""

    @property
    def service(self) -> ImageService:
        """The service, as volume drivers are handed it."""

    def fetch(
        self, context: Any, image: Image, file: BinaryIO, size: int, key: str, pace: Pace
    ) -> None:
        """Check an image and write it over a volume; none of the old data remains.

        :param file: the volume, open for reading and writing.
        :param size: of the volume, in bytes.
        :param key: the volume's id, which names temporary files.
        :raises ImageError: the volume's data must be discarded.
        """

    def store(self, context: Any, image: Image, file: BinaryIO, key: str, pace: Pace) -> None:
        """Write a volume into an image that has no data yet.

        :param file: the volume, open for reading.
        :raises ImageError: the image is incomplete and must be discarded.
        """

    def clear(self, key: str) -> None:
        """Remove the temporary files of an interrupted try."""


class Notifier(Protocol):
    """Usage notifications (spec/volume-rpc §5); never fails an operation."""

    def volume(self, request: Request, event: str, volume: Record, **extra: Any) -> None:
        """Send ``volume.<event>``, such as ``volume.create.start``."""

    def snapshot(self, request: Request, event: str, snapshot: Record, **extra: Any) -> None:
        """Send ``snapshot.<event>``."""

    def group(self, request: Request, event: str, group: Record, **extra: Any) -> None:
        """Send ``<kind>.<event>`` of a group or of a snapshot of one."""

    def backup(self, request: Request, event: str, backup: Record, **extra: Any) -> None:
        """Send ``backup.<event>``."""


class Scheduler(Protocol):
    """The scheduler service on the bus."""

    def create_volume(
        self,
        request: Request,
        volume: Record,
        request_spec: Any,
        filter_properties: Mapping[str, Any],
    ) -> None:
        """Hand a volume back so that another backend is tried."""


class Backend(Protocol):
    """One configured backend of this process."""

    name: str
    host: str
    """``host@backend``: the part of ``volume.host`` before the pool."""

    service_uuid: str | None

    def require_driver(self) -> VolumeDriver:
        """:raises DriverNotInitialized: the driver is not up."""

    def any_driver(self) -> VolumeDriver:
        """Return the driver, even one that is not up, for what a lost backend needs.

        :raises DriverNotInitialized: there is none at all.
        """

    def stats(self) -> Mapping[str, Any]:
        """Return the last statistics that passed the check; empty before the first."""

    def publish_soon(self) -> None:
        """Ask for a capability report without waiting for it."""

    def initiator_namespace(self) -> str:
        """Return the namespace under which initiator data is kept."""


class RemoteBackupService(Protocol):
    """The backup services on the bus, as the volume service knows them."""

    def continue_backup(self, request: Request, backup: Record, device: Mapping[str, Any]) -> None:
        """Have the backup's host read what :meth:`device` names. :raises ServiceUnreachable:"""

    def restore_backup(self, request: Request, backup: Record, volume_id: str) -> None:
        """Have the backup's host restore it to a new volume. :raises ServiceUnreachable:"""

    def device(self, source: Record, secure: bool) -> dict[str, Any]:
        """Return a volume, or a snapshot, as the thing that a backup is read from.

        :param secure: whether its files belong to the service's user.
        """

    def alive(self, zone: str | None, preferred: str | None) -> str | None:
        """Return the host of a backup service that is up; None if there is none.

        :param zone: where it should be, if it is not the preferred one.
        """


class RemoteVolumeService(Protocol):
    """The volume services on the bus, as another service knows them.

    A source is a volume or a snapshot. Each call may be repeated.

    :raises ServiceUnreachable: the service of the volume's backend does not answer.
    :raises ServiceRefused: it did, with an error.
    """

    def get_backup_device(self, request: Request, backup: Record, volume: Record) -> None:
        """Have a volume's service choose what is read, and send us ``continue_backup``."""

    def secure_file_operations_enabled(self, request: Request, volume: Record) -> bool:
        """Say whether the volume's files belong to the service's user."""

    def connect(
        self, request: Request, source: Record, connector: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Let a connector reach a source, and return how."""

    def disconnect(self, request: Request, source: Record, connector: Mapping[str, Any]) -> None:
        """End a connector's access."""

    def unexport(self, request: Request, source: Record) -> None:
        """Take a source's export away."""

    def create(self, request: Request, volume: Record) -> None:
        """Have a volume created empty on the host that its row names, some time."""

    def delete(self, request: Request, source: Record) -> None:
        """Have a temporary source deleted, some time."""

    def update_migrated(
        self, request: Request, volume: Record, copy: Record, status: str | None
    ) -> None:
        """Have the service of a volume's copy give the copy the volume's place.

        :param volume: as it was before, and ``copy`` likewise: a second try tells the same.
        :param status: that the volume had before its migration.
        """

    def attach(self, request: Request, volume: Record, attachment: Mapping[str, Any]) -> None:
        """Write anew, on a volume's new host, an attachment that was there before."""

    def changed_extents(
        self, request: Request, source: Record, since: str
    ) -> Sequence[tuple[int, int]] | None:
        """Return what of a source may differ from a snapshot; None where nobody knows."""


class BackupPeers(Protocol):
    """The other backup services on the bus."""

    def import_record(
        self,
        request: Request,
        host: str,
        backup: Record,
        service: str,
        url: str,
        hosts: Sequence[str],
    ) -> None:
        """Have another host import a record. :raises ServiceUnreachable: it was not told."""


class Attacher(Protocol):
    """Brings a source to this host as something that can be opened."""

    def connector(self) -> Mapping[str, Any]:
        """Return what a driver needs to know of this host."""

    def opened(
        self, info: Mapping[str, Any], *, write: bool, secure: bool
    ) -> AbstractContextManager[BinaryIO]:
        """Attach, open, and in the end close and detach.

        :param info: connection info, as a driver returns it.
        :param secure: whether the service's user may open it as it is.
        :raises AttachFailed: it cannot be opened here.
        :raises DetachFailed: it could not be detached.
        """

    def let_go(self, info: Mapping[str, Any]) -> None:
        """Detach what a try that was cut short may have left. :raises DetachFailed:"""


class BackupBackend(Protocol):
    """The configured store of backups of this process."""

    host: str
    zone: str

    service: str
    """The driver's name in ``backups.service``."""

    def require_driver(self) -> BackupDriver:
        """:raises DriverNotInitialized: the store cannot be used now."""

    def is_ours(self, service: str | None) -> bool:
        """Say whether backups of that service name can be read here."""


@dataclass(frozen=True)
class Options:
    """The few options that change what an operation does."""

    no_snapshot_gb_quota: bool = False
    report_discard_supported: bool = False
    migration_create_timeout: float = 300.0
    """Seconds in which a migration's destination has to be created."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What the tasks of every service may ask for; injected anew at each start and resume.

    ``resumed`` says that an earlier try was cut short, so that a task first
    clears away what that try may have left. ``stopping`` is set when the process
    drains: a task that waits for an outage to end gives up waiting. ``progress`` is
    called by a task that moves data with the part that is done, from 0 to 1; it raises
    when the operation was cancelled. ``waiting`` is entered around what may take long
    and needs no turn of the processor, as moving data. ``key`` names the operation: it
    is the same for each try.
    """

    request: Request
    backend: Any
    volumes: VolumeRecords
    snapshots: SnapshotRecords
    backups: BackupRecords
    messages: Messages
    notifier: Notifier
    resumed: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[float], None] = lambda _fraction: None
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext
    key: str = ""

    @property
    def pace(self) -> Pace:
        """How a copy of data tells of its progress."""
        return Pace(self.progress, self.waiting, self.key)


@dataclass(frozen=True, kw_only=True)
class Context(Common):
    """Everything a task of the volume service may ask for.

    ``groups`` are rows by their kind: ``group``, ``group_snapshot``, ``consistencygroup``
    and ``cgsnapshot``. Calls of the driver enter ``waiting`` by themselves.
    """

    backend: Backend
    groups: Mapping[str, GroupRecords]
    attachments: AttachmentRecords
    quotas: QuotaRecords
    workers: WorkRows
    initiators: Initiators
    scheduler: Scheduler
    images: Images
    backup_service: RemoteBackupService
    service: ServiceRow
    host: HostRecords
    volume_service: RemoteVolumeService
    attacher: Attacher
    compute: ComputeService
    types: TypeRecords
    services: ServiceRecords
    options: Options = field(default_factory=Options)

    @property
    def driver(self) -> VolumeDriver:
        """The driver. :raises DriverNotInitialized: the backend is not up."""
        return self.backend.require_driver()


@dataclass(frozen=True, kw_only=True)
class BackupContext(Common):
    """Everything a task of the backup service may ask for.

    ``progress_every`` is how often listeners are told of a backup's progress, in
    seconds; 0 for never.
    """

    backend: BackupBackend
    volume_service: RemoteVolumeService
    peers: BackupPeers
    attacher: Attacher
    progress_every: float = 0.0

    @property
    def driver(self) -> BackupDriver:
        """The driver. :raises DriverNotInitialized: the store cannot be used."""
        return self.backend.require_driver()
