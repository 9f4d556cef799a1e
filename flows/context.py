# SPDX-License-Identifier: Apache-2.0
"""What a flow is given: protocols over the database, the locks, the driver and the bus.

The worker implements them; tests implement them with plain objects. A task asks
its context for what it needs and never for its caller. Every record method may
be called a second time after a kill, with the same result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from drivers.interface.image import Image, ImageService, Pace
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver


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


class VolumeRecords(Protocol):
    """Rows of ``volumes`` (spec/schema §2)."""

    def get(self, volume_id: str) -> Record:
        """Return the live row. :raises VolumeNotFound: none, or a deleted one."""

    def create(self, **columns: Any) -> Record:
        """Insert a row and return it; an existing row of that id is returned as it is."""

    def update(self, volume_id: str, **columns: Any) -> None:
        """Write columns; ``metadata`` and ``admin_metadata`` replace the whole key set.

        :raises ValueError: an unknown column, or a value too long for it.
        """

    def transition(
        self,
        volume_id: str,
        to: str,
        *,
        when: Collection[str],
        commit: Sequence[str] = (),
        rollback: Sequence[str] = (),
        done: bool = False,
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set, with columns, in one transaction.

        A row that already is in ``to`` with these columns counts as changed.

        :param when: statuses from which the change is allowed.
        :param commit: reservation ids whose quota becomes used.
        :param rollback: reservation ids whose quota is given back.
        :param done: the work row of the volume goes as well (spec/volume-rpc §8).
        :raises StatusChanged: the row is in another status.
        :raises VolumeNotFound: the row is gone.
        """

    def destroy(self, volume_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the volume and what belongs to it (spec/schema §3).

        Quota is given back in the same transaction, so that a second try after a
        kill cannot give it back twice.

        :param release: ``{"volumes": 1, "gigabytes": 5}``; the project and the
            type (``gigabytes_<type name>``) are the row's.
        :returns: False when the row was already deleted.
        """

    def pop_admin_metadata(self, volume_id: str, key: str) -> None:
        """Remove one key of the admin metadata, if it is there."""

    def set_admin_metadata(self, volume_id: str, **pairs: str) -> None:
        """Set some keys of the admin metadata and leave the others."""

    def copy_image_metadata(
        self,
        volume_id: str,
        *,
        from_volume: str | None = None,
        from_snapshot: str | None = None,
    ) -> None:
        """Copy the image metadata rows of one source to this volume; repeatable."""

    def replace_image_metadata(self, volume_id: str, pairs: Mapping[str, Any]) -> None:
        """Write the image metadata of a volume, and nothing else of it is left."""

    def qos(self, volume_type_id: str | None) -> dict[str, Any] | None:
        """Return ``{"consumer": …, "specs": {…}}`` of a type, None without one."""

    def named(self, text: str) -> Record | None:
        """Return the live volume that has this name on the backend, if one has."""


class SnapshotRecords(Protocol):
    """Rows of ``snapshots``; the methods mean what they mean for volumes."""

    def get(self, snapshot_id: str) -> Record:
        """:raises SnapshotNotFound: no live row."""

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live snapshots of a volume, oldest first."""

    def create(self, **columns: Any) -> Record:
        """Insert a row and return it; an existing row of that id is returned as it is."""

    def update(self, snapshot_id: str, **columns: Any) -> None:
        """Write columns."""

    def transition(
        self,
        snapshot_id: str,
        to: str,
        *,
        when: Collection[str],
        done: bool = False,
        commit: Sequence[str] = (),
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set."""

    def destroy(self, snapshot_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the snapshot, its metadata and image metadata; give quota back.

        Type-specific quota follows the type of the snapshot's volume.
        """

    def copy_image_metadata(self, snapshot_id: str, *, from_volume: str) -> None:
        """Copy the image metadata rows of a volume to the snapshot; repeatable."""

    def named(self, text: str) -> Record | None:
        """Return the live snapshot whose name on the backend is part of a text, if one's is."""


class QuotaRecords(Protocol):
    """Rows of ``reservations`` and ``quota_usages`` (spec/volume-rpc §7)."""

    def require_volume_size(self, project_id: str, gib: int) -> None:
        """Compare a size with the limit for one volume. :raises OverQuota: it is too large."""

    def reserve_for(self, resource: Record, amounts: Mapping[str, int]) -> None:
        """Reserve amounts under the id of a resource, also under the name of its type.

        A second try meets the reservation of the first. An amount below zero becomes
        free when the reservation is used.

        :raises OverQuota: a limit would be passed; nothing is reserved.
        """

    def rollback(self, reservation_ids: Sequence[str]) -> None:
        """Give reservations back; what was settled stays so."""


class GroupRecords(Protocol):
    """Rows of groups, or of snapshots of groups, with their members (spec/schema §2).

    Members of a group are volumes, those of a group snapshot are snapshots.
    """

    def get(self, row_id: str) -> Record:
        """:raises NotFound: no live row."""

    def members(self, row_id: str) -> list[Record]:
        """Return the live members, oldest first."""

    def update(self, row_id: str, **columns: Any) -> None:
        """Write columns. :raises ValueError: an unknown one, or a value that does not fit."""

    def update_members(self, row_id: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write columns of members, all of them or none; each entry has an ``id``."""

    def transition(self, row_id: str, to: str, *, when: Collection[str], **columns: Any) -> None:
        """Change the status by compare-and-set."""

    def change_members(self, row_id: str, add: Iterable[str], remove: Iterable[str]) -> None:
        """Let volumes join a group and leave it, all of them or none; repeatable."""

    def destroy(self, row_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the row and give its quota back; False when it was gone already."""


class AttachmentRecords(Protocol):
    """Rows of ``volume_attachment``."""

    def get(self, attachment_id: str) -> Record:
        """:raises VolumeAttachmentNotFound: no live row."""

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live attachments of a volume."""

    def create(self, **columns: Any) -> Record:
        """Insert a row and return it; an existing row of that id is returned as it is."""

    def update(self, attachment_id: str, **columns: Any) -> None:
        """Write columns."""

    def destroy(self, attachment_id: str) -> None:
        """Soft-delete: ``detached``, detach_time and deleted_at now."""

    def settle_volume(self, volume_id: str) -> str:
        """Recompute the volume's statuses from its attachments (spec/volume-rpc §3).

        :returns: the volume's status afterwards.
        """


class WorkRows(Protocol):
    """Rows of ``workers``: what the API and scheduler say is being worked on."""

    def claim(self, resource_type: str, resource_id: str, status: str) -> None:
        """Take over the row if there is one (``Volume`` or ``Snapshot``)."""

    def offer(self, resource_type: str, resource_id: str, status: str) -> None:
        """Write an unclaimed row, before the work is handed to another service."""


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
    ) -> None:
        """Insert a message; the resource's project is used when the request has none."""


class Initiators(Protocol):
    """Driver data kept per initiator (spec/interfaces §2.2)."""

    def get(self, initiator: str, namespace: str) -> dict[str, str]:
        """Return the stored pairs."""

    def save(
        self,
        initiator: str,
        namespace: str,
        set_values: Mapping[str, Any],
        remove_values: Iterable[str],
    ) -> None:
        """Upsert pairs, then delete keys for good."""


class Images(Protocol):
    """An image service, and what moves its data."""

    @property
    def service(self) -> ImageService:
        """The service, as volume drivers are handed it."""

    def fetch(self, context: Any, image: Image, path: str, size: int, key: str, pace: Pace) -> None:
        """Write an image over a volume's path, checked; nothing of what was there is left.

        :param size: of the volume, in bytes.
        :param key: the volume's id: what is put aside meanwhile goes by it.
        :raises ImageError: the volume's data is to be thrown away.
        """

    def store(self, context: Any, image: Image, path: str, key: str, pace: Pace) -> None:
        """Write what is at a volume's path into an image that has no data yet.

        :raises ImageError: the image is incomplete and is to be thrown away.
        """

    def clear(self, key: str) -> None:
        """Remove what an interrupted try put aside."""


class Notifier(Protocol):
    """Usage notifications (spec/volume-rpc §5); never fails an operation."""

    def volume(self, request: Request, event: str, volume: Record, **extra: Any) -> None:
        """Send ``volume.<event>``, such as ``volume.create.start``."""

    def snapshot(self, request: Request, event: str, snapshot: Record, **extra: Any) -> None:
        """Send ``snapshot.<event>``."""

    def group(self, request: Request, event: str, group: Record, **extra: Any) -> None:
        """Send ``<kind>.<event>`` of a group or of a snapshot of one."""


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

    def stats(self) -> Mapping[str, Any]:
        """Return the last statistics that passed the check; empty before the first."""

    def publish_soon(self) -> None:
        """Ask for a capability report without waiting for it."""

    def initiator_namespace(self) -> str:
        """Return the namespace under which initiator data is kept."""


@dataclass(frozen=True)
class Options:
    """The few options that change what an operation does."""

    no_snapshot_gb_quota: bool = False
    report_discard_supported: bool = False


@dataclass(frozen=True)
class Context:
    """Everything a task may ask for; injected anew at each start and resume.

    ``resumed`` says that an earlier try was cut short, so that a task first
    clears away what that try may have left. ``stopping`` is set when the process
    drains: a task that waits for an outage to end gives up waiting. ``groups`` are
    rows by their kind: ``group``, ``group_snapshot``, ``consistencygroup`` and
    ``cgsnapshot``. ``progress`` is called by a task that moves data with the part that
    is done, from 0 to 1; it raises when the operation was cancelled. ``waiting`` is
    entered around what may take long and needs no turn of the processor, as moving
    data; calls of the driver are entered by themselves.
    """

    request: Request
    backend: Backend
    volumes: VolumeRecords
    snapshots: SnapshotRecords
    groups: Mapping[str, GroupRecords]
    attachments: AttachmentRecords
    quotas: QuotaRecords
    workers: WorkRows
    messages: Messages
    initiators: Initiators
    notifier: Notifier
    scheduler: Scheduler
    images: Images
    options: Options = field(default_factory=Options)
    resumed: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[float], None] = lambda _fraction: None
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def driver(self) -> VolumeDriver:
        """The driver. :raises DriverNotInitialized: the backend is not up."""
        return self.backend.require_driver()

    @property
    def pace(self) -> Pace:
        """How a copy of data tells of its progress."""
        return Pace(self.progress, self.waiting)
