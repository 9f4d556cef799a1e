# SPDX-License-Identifier: Apache-2.0
"""The contexts of flows: rows, drivers, other services and the progress of the run.

A task gets its context as ``ctx``, and never knows its caller. Each family of flows is
typed with the narrowest context that has the fields it uses::

    OperationContext              both services
    ├── RepairContext             repairs of rows after an audit
    ├── AttachContext             volumes of any service, opened on this host
    │   └── BackupContext         the backup service
    └── VolumeContext             the volume service: snapshots, volumes
        ├── CreateContext         creations, which may go back to the scheduler
        ├── BackupSourceContext   devices of backups, and volumes from backups
        ├── InstanceContext       events to the compute service
        ├── ConnectionContext     connections and attachments
        │   └── DataContext       copies of data, reverts; an AttachContext too
        │       └── ImageContext  copies from and to images, and with encryption
        │           ├── ImageCloneContext      clones of volumes that hold images
        │           │   └── ImageCacheContext  the image-volume cache
        │           └── MigrationContext       migration and retype; an InstanceContext too
        └── GroupContext          groups
            └── HostContext       the whole backend

For each start and resume of an operation, the worker builds one object that is a context
of every family of its service: a BackupContext or a VolumeServiceContext. The protocols
of the fields are in :mod:`flows.protocols.records`, :mod:`flows.protocols.service_records`,
:mod:`flows.protocols.backends` and :mod:`flows.protocols.remote_services`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drivers.interface.backup import BackupDriver
from drivers.interface.compute import ComputeService
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.protocols.backends import Attacher, Backend, BackupBackend, Images
from flows.protocols.encryption_keys import Keys, NoKeys
from flows.protocols.image_cache import ImageCacheRecords, ResourceLocks
from flows.protocols.records import (
    AttachmentRecords,
    BackupRecords,
    GroupRecords,
    MessageRecords,
    QuotaRecords,
    SnapshotRecords,
    TypeRecords,
    VolumeRecords,
)
from flows.protocols.remote_services import (
    BackupPeers,
    Notifications,
    RemoteBackupService,
    RemoteVolumeService,
    Scheduler,
)
from flows.protocols.request import Request
from flows.protocols.service_records import (
    BackendRecords,
    InitiatorRecords,
    RowRepairs,
    ServiceOperations,
    ServiceRecords,
    ServiceRow,
    WorkRecords,
)

if TYPE_CHECKING:
    from flows.claims import HeldClaim


@dataclass(frozen=True)
class ImageCacheOptions:
    """The image-volume cache of a backend.

    :param project_id: the project of its volumes, the internal tenant.
    :param user_id: their user.
    :param max_gib: the sum of their sizes in one pool; 0 for no limit.
    :param max_count: their number in one pool; 0 for no limit.
    """

    project_id: str
    user_id: str
    max_gib: int = 0
    max_count: int = 0


@dataclass(frozen=True)
class CloneUploads:
    """Uploads of volumes to images by clones, whose locations the image service gets.

    :param project_id: the owner of the clones; None for the caller's project.
    :param user_id: their user, likewise.
    :param timeout: seconds in which an image has to be whole after that.
    """

    project_id: str | None = None
    user_id: str | None = None
    timeout: float = 600.0


@dataclass(frozen=True)
class Options:
    """Options that change the behaviour of flows."""

    no_snapshot_gb_quota: bool = False
    report_discard_supported: bool = False
    disk_geometry: str | None = None
    """Sizes of blocks that guests see: ``512``, ``512e`` or ``4k``."""
    verify_signatures: bool = False
    """Whether images that are signed may not be used unverified."""
    convert_images: bool = True
    """Whether volumes are made of images of other formats than raw."""
    unpack_images: bool = False
    """Whether volumes are made of images that gzip packed as a whole."""
    clone_image_volumes: bool = False
    """Whether a volume in which Glance keeps an image is cloned for a volume of that image."""
    migration_create_timeout: float = 300.0
    """Seconds in which the destination of a migration has to be created."""
    image_cache: ImageCacheOptions | None = None
    """None: there is none."""
    clone_uploads: CloneUploads | None = None
    """None: the data of a volume is sent to its image."""


@dataclass(frozen=True)
class CopyReports:
    """Reports of a copy besides its progress, as :class:`~drivers.interface.pace.Pace` has them.

    :param saved: called with the part that a later attempt does not repeat, from 0 to 1.
    :param moved: given the bytes that were moved, on any thread; waits for bandwidth.
    """

    saved: Callable[[float], None] = lambda _fraction: None
    moved: Callable[[int], None] = lambda _size: None


@dataclass(frozen=True, kw_only=True)
class OperationContext:
    """The context of flows of both services.

    :param resumed: whether an earlier attempt was interrupted; a task then first removes
        the objects that this attempt may have left.
    :param stopping: set when the process stops; a task that waits for the end of an
        outage then stops waiting.
    :param progress: called by tasks that move data with the completed part, from 0 to 1;
        raises when the operation was cancelled, and when it is suspended.
    :param copy_reports: called by the code that moves data.
    :param waiting: entered around long work that needs no processor, such as moving data.
    :param key: identifies the operation; the same for each attempt, until an operator has it run
        once more after its failure.
    :param abandoned: whether the process stops without waiting for the end of this run.
    :param claim: the operation's claim on its resource, where it makes one.
    :param repeated: whether the caller, whose call is reverted, has repeated it meanwhile, with
        success: then the effects are in use.
    :param deferrals: how often the operation has waited for the end of another one.
    :param keys: the key manager of encrypted volumes and backups.
    """

    request: Request
    backend: Any
    volumes: VolumeRecords
    snapshots: SnapshotRecords
    backups: BackupRecords
    messages: MessageRecords
    notifier: Notifications
    workers: WorkRecords
    resumed: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[float], None] = lambda _fraction: None
    copy_reports: CopyReports = CopyReports()
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext
    key: str = ""
    abandoned: Callable[[], bool] = lambda: False
    claim: HeldClaim | None = None
    repeated: bool = False
    deferrals: int = 0
    keys: Keys = field(default_factory=NoKeys)

    def pause(self, seconds: float) -> bool:
        """Wait outside the limit of running threads; return whether the process stops."""
        with self.waiting():
            return self.stopping.wait(seconds)

    def own_id(self, purpose: str) -> str:
        """Return the id of an object of this operation: the same in each attempt.

        It does not depend on the journal, which may be put back to a state before the object.
        """
        return str(uuid.uuid5(uuid.UUID(self.key), purpose))

    @property
    def pace(self) -> Pace:
        """The progress and the limits of a data transfer."""
        return Pace(self.progress, self.waiting, self.key, **vars(self.copy_reports))


@dataclass(frozen=True, kw_only=True)
class RepairContext(OperationContext):
    """The context of repairs of rows, which no service has to run for."""

    repairs: RowRepairs


@dataclass(frozen=True, kw_only=True)
class AttachContext(OperationContext):
    """The context of flows that open volumes on this host, of other services too."""

    attacher: Attacher
    volume_service: RemoteVolumeService


@dataclass(frozen=True, kw_only=True)
class BackupContext(AttachContext):
    """The context of flows of the backup service.

    :param progress_every: seconds between two notifications of a backup's progress; 0 for
        none.
    """

    backend: BackupBackend
    peers: BackupPeers
    progress_every: float = 0.0

    @property
    def driver(self) -> BackupDriver:
        """The driver. :raises DriverNotInitialized: the store is not usable."""
        return self.backend.require_driver()

    def driver_for(self, backup: Record) -> BackupDriver:
        """Return the driver that works on a backup for this request.

        :raises DriverNotInitialized: the store is not usable.
        :raises BackupDriverException: the request lacks something that the driver needs.
        """
        return self.backend.driver_for(self.request, backup)


@dataclass(frozen=True, kw_only=True)
class VolumeContext(OperationContext):
    """The context of flows of the volume service.

    Calls of the driver enter ``waiting`` by themselves.
    """

    backend: Backend
    attachments: AttachmentRecords
    quotas: QuotaRecords
    options: Options = field(default_factory=Options)

    @property
    def driver(self) -> VolumeDriver:
        """The driver. :raises DriverNotInitialized: the backend is not up."""
        return self.backend.require_driver()


@dataclass(frozen=True, kw_only=True)
class CreateContext(VolumeContext):
    """The context of flows that create volumes, and return some to the scheduler."""

    scheduler: Scheduler


@dataclass(frozen=True, kw_only=True)
class BackupSourceContext(VolumeContext):
    """The context of flows that hand volumes to the backup service."""

    backup_service: RemoteBackupService


@dataclass(frozen=True, kw_only=True)
class InstanceContext(VolumeContext):
    """The context of flows that send events to the compute service."""

    compute: ComputeService


@dataclass(frozen=True, kw_only=True)
class ConnectionContext(VolumeContext):
    """The context of flows that connect and attach volumes."""

    initiators: InitiatorRecords


@dataclass(frozen=True, kw_only=True)
class DataContext(ConnectionContext, AttachContext):
    """The context of flows that copy the data of volumes."""

    types: TypeRecords


@dataclass(frozen=True, kw_only=True)
class ImageContext(DataContext):
    """The context of flows that copy images to volumes and volumes to images."""

    images: Images


@dataclass(frozen=True, kw_only=True)
class ImageCloneContext(ImageContext):
    """The context of flows that clone volumes in which images are kept.

    :param locks: those that a step takes beside the operation's.
    """

    locks: ResourceLocks


@dataclass(frozen=True, kw_only=True)
class ImageCacheContext(ImageCloneContext):
    """The context of flows that use, fill and clean up the image-volume cache.

    :param operations: the operations of this service.
    """

    operations: ServiceOperations
    image_cache: ImageCacheRecords


@dataclass(frozen=True, kw_only=True)
class MigrationContext(ImageContext, InstanceContext):
    """The context of flows that migrate and retype volumes."""

    services: ServiceRecords


@dataclass(frozen=True, kw_only=True)
class GroupContext(VolumeContext):
    """The context of flows on groups.

    :param groups: rows by their kind: ``group``, ``group_snapshot``, ``consistencygroup``
        and ``cgsnapshot``.
    """

    groups: Mapping[str, GroupRecords]


@dataclass(frozen=True, kw_only=True)
class HostContext(GroupContext):
    """The context of flows on a whole backend.

    :param service: the services row of the backend.
    :param operations: the operations of this service.
    :param host: the rows of all volumes, snapshots and groups of the backend.
    """

    service: ServiceRow
    operations: ServiceOperations
    host: BackendRecords


@dataclass(frozen=True, kw_only=True)
class VolumeServiceContext(
    CreateContext, BackupSourceContext, ImageCacheContext, MigrationContext, HostContext
):
    """A context of every family of the volume service."""
