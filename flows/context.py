# SPDX-License-Identifier: Apache-2.0
"""What a flow is given: protocols over the database, the locks, the driver and the bus.

The worker implements them; tests implement them with plain objects. A task asks
its context for what it needs and never for its caller. What it knows of the database
is in :mod:`flows.records`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from drivers.interface.image import Image, ImageService
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.records import (
    AttachmentRecords,
    GroupRecords,
    Initiators,
    QuotaRecords,
    SnapshotRecords,
    VolumeRecords,
    WorkRows,
)


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
    ) -> None:
        """Insert a message; the resource's project is used when the request has none."""


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
