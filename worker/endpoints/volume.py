# SPDX-License-Identifier: Apache-2.0
"""RPC methods of the volume service, 3.0 to 3.20 (spec/volume-rpc §2)."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from flows.snapshot import create as snapshot_create
from flows.snapshot import delete as snapshot_delete
from flows.volume import (
    accept_transfer,
    create,
    create_from_backup,
    create_from_image,
    delete,
    extend,
    revert,
)
from flows.volume.connections import attach, attachment, connection, detach
from worker.endpoints.arguments import (
    as_list,
    check_id,
    field,
    id_of,
    ids_of,
    on_connection,
    on_snapshot,
    on_volume,
    prefix_of,
)
from worker.endpoints.group import GroupMethods
from worker.endpoints.image import ImageMethods
from worker.endpoints.maintenance import MaintenanceMethods, Whole
from worker.endpoints.manage import Listing, ManageMethods
from worker.endpoints.migration import MigrationMethods
from worker.endpoints.operation import Operation, snapshot_lock, volume_lock
from worker.endpoints.reading import ReadingMethods
from worker.endpoints.replication import ReplicationMethods, Targets
from worker.rpc import codec, objects
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import BadArguments, exposed

RPC_VERSION = "3.20"


class Service(Whole, Targets, Protocol):
    """What the methods that start no flow ask of the running service."""

    def capabilities(self, discover: bool) -> dict[str, Any]:
        """Return the driver's capabilities; fetched anew when asked to discover."""

    def publish_capabilities(self) -> None:
        """Report to the scheduler at once."""

    def secure_file_operations_enabled(self) -> bool:
        """Return what the driver says."""

    def changed_extents(self, kind: str, source_id: str, since: str) -> list[list[int]] | None:
        """Return what the driver says, None where it cannot tell."""

    def set_log_levels(self, prefix: str, level: str) -> None:
        """Set the level of all loggers whose names start with a prefix."""

    def log_levels(self, prefix: str) -> dict[str, str]:
        """Return logger names and levels."""


class VolumeEndpoint(
    ManageMethods,
    MigrationMethods,
    GroupMethods,
    ImageMethods,
    ReadingMethods,
    MaintenanceMethods,
    ReplicationMethods,
):
    """One backend's RPC methods.

    :param service: the running service, for what needs no flow.
    :param listing: of what can be taken over.
    """

    def __init__(self, service: Service, listing: Listing) -> None:
        super().__init__(listing)
        self._service: Service = service

    @exposed("3.0")
    def create_volume(
        self,
        request: RequestContext,
        volume: Any,
        request_spec: Any = None,
        filter_properties: Any = None,
        allow_reschedule: bool = True,
    ) -> Operation:
        """Create a volume, empty or from the source that its row names."""
        volume_id = id_of(volume, "volume")
        factory, source = _source_of(volume, request_spec)
        shared = [snapshot_lock(s) for s in ids_of(volume, "snapshot_id")]
        shared += [volume_lock(s) for s in ids_of(volume, "source_volid")]
        return Operation(
            factory,
            ("volume", volume_id),
            {
                **source,
                "volume_id": volume_id,
                "request_spec": codec.raw(request_spec),
                "filter_properties": _for_the_scheduler(codec.raw(filter_properties)),
                "allow_reschedule": bool(allow_reschedule),
            },
            exclusive=(volume_lock(volume_id),),
            shared=tuple(shared),
        )

    @exposed("3.0")
    def delete_volume(
        self,
        request: RequestContext,
        volume: Any,
        unmanage_only: bool = False,
        cascade: bool = False,
    ) -> Operation:
        """Delete a volume, with its snapshots when cascading, or only forget it."""
        return on_volume(
            delete.flow, volume, unmanage_only=bool(unmanage_only), cascade=bool(cascade)
        )

    @exposed("3.0")
    def extend_volume(
        self, request: RequestContext, volume: Any, new_size: Any, reservations: Any = None
    ) -> Operation:
        """Grow a volume to a size in GiB."""
        return on_volume(extend.flow, volume, new_size=new_size, reservations=as_list(reservations))

    @exposed("3.19")
    def extend_volume_completion(
        self,
        request: RequestContext,
        volume: Any,
        new_size: Any,
        reservations: Any = None,
        error: bool = False,
    ) -> Operation:
        """End an extension that the host of an attached volume took part in."""
        return on_volume(
            extend.completion,
            volume,
            new_size=new_size,
            reservations=as_list(reservations),
            error=bool(error),
        )

    @exposed("3.15")
    def revert_to_snapshot(self, request: RequestContext, volume: Any, snapshot: Any) -> Operation:
        """Set a volume back to one of its snapshots."""
        snapshot_id = id_of(snapshot, "snapshot")
        operation = on_volume(revert.flow, volume, snapshot_id=snapshot_id)
        locks = (*operation.exclusive, snapshot_lock(snapshot_id))
        return Operation(operation.factory, operation.resource, operation.args, locks)

    @exposed("3.0")
    def create_snapshot(self, request: RequestContext, snapshot: Any) -> Operation:
        """Create a snapshot."""
        return on_snapshot(snapshot_create.flow, snapshot)

    @exposed("3.0")
    def delete_snapshot(
        self, request: RequestContext, snapshot: Any, unmanage_only: bool = False
    ) -> Operation:
        """Delete a snapshot, or only forget it."""
        return on_snapshot(snapshot_delete.flow, snapshot, unmanage_only=bool(unmanage_only))

    @exposed("3.0")
    def initialize_connection(
        self, request: RequestContext, volume: Any, connector: Any
    ) -> Operation:
        """Let a connector reach a volume; answers the connection info."""
        return on_connection(
            connection.initialize,
            id_of(volume, "volume"),
            connector=connector,
            when_cut_short="revert",
        )

    @exposed("3.0")
    def terminate_connection(
        self, request: RequestContext, volume_id: str, connector: Any, force: bool = False
    ) -> Operation:
        """End a connector's access, or everybody's when there is no connector."""
        return on_connection(
            connection.terminate_flow, volume_id, connector=connector, force=bool(force)
        )

    @exposed("3.0")
    def remove_export(self, request: RequestContext, volume_id: str) -> Operation:
        """Take a volume's export away."""
        return on_connection(connection.remove_export, volume_id)

    @exposed("3.3")
    def attach_volume(
        self,
        request: RequestContext,
        volume_id: str,
        instance_uuid: Any,
        host_name: Any,
        mountpoint: Any,
        mode: Any,
        volume: Any = None,
    ) -> Operation:
        """Attach in the manner before attachments; answers the attachment."""
        return on_connection(
            attach.attach,
            volume_id,
            answer=objects.attachment,
            instance_uuid=instance_uuid,
            host_name=host_name,
            mountpoint=mountpoint,
            mode=mode,
        )

    @exposed("3.4")
    def detach_volume(
        self,
        request: RequestContext,
        volume_id: str,
        attachment_id: Any = None,
        volume: Any = None,
    ) -> Operation:
        """Detach in the manner before attachments."""
        return on_connection(detach.detach, volume_id, attachment_id=attachment_id)

    @exposed("3.9")
    def attachment_update(
        self, request: RequestContext, vref: Any, connector: Any, attachment_id: str
    ) -> Operation:
        """Connect an attachment; answers the connection info."""
        return on_connection(
            attachment.update,
            id_of(vref, "vref"),
            connector=connector,
            attachment_id=attachment_id,
            when_cut_short="revert",
        )

    @exposed("3.9")
    def attachment_delete(
        self, request: RequestContext, attachment_id: str, vref: Any
    ) -> Operation:
        """Disconnect an attachment."""
        return on_connection(attachment.delete, id_of(vref, "vref"), attachment_id=attachment_id)

    @exposed("3.16")
    def accept_transfer(
        self,
        request: RequestContext,
        volume_id: str,
        new_user: Any,
        new_project: Any,
        no_snapshots: bool = False,
    ) -> Operation:
        """Tell the driver of a volume's new owner; answers the columns that it changed."""
        check_id(volume_id, "volume_id")
        operation = on_volume(
            accept_transfer.flow, {"id": volume_id}, new_user=new_user, new_project=new_project
        )
        return dataclasses.replace(operation, when_cut_short="revert")

    @exposed("3.0", journalled=False)
    def get_capabilities(self, request: RequestContext, discover: bool = False) -> dict[str, Any]:
        """Answer the driver's capabilities."""
        return self._service.capabilities(bool(discover))

    @exposed("3.0", journalled=False)
    def publish_service_capabilities(self, request: RequestContext) -> None:
        """Report to the scheduler at once."""
        self._service.publish_capabilities()

    @exposed("3.0", journalled=False)
    def secure_file_operations_enabled(self, request: RequestContext, volume: Any = None) -> bool:
        """Answer whether files are opened as the service's user."""
        return self._service.secure_file_operations_enabled()

    @exposed("3.20", journalled=False)
    def get_changed_extents(
        self, request: RequestContext, resource: Any, since: Any
    ) -> list[list[int]] | None:
        """Answer which parts of a volume or snapshot may differ from an older snapshot.

        A method of ours: who asks another service for it is told that there is none.
        """
        kind = field(resource, "kind", "resource")
        if kind not in ("volume", "snapshot"):
            raise BadArguments(f"resource is a {kind!r:.20}, not a volume or snapshot")
        check_id(since, "since")
        return self._service.changed_extents(kind, id_of(resource, "resource"), since)

    @exposed("3.12", journalled=False)
    def set_log_levels(self, request: RequestContext, log_request: Any) -> None:
        """Set log levels by logger prefix."""
        level = field(log_request, "level", "log_request")
        self._service.set_log_levels(prefix_of(log_request), str(level))

    @exposed("3.12", journalled=False)
    def get_log_levels(self, request: RequestContext, log_request: Any) -> dict[str, Any]:
        """Answer log levels by logger prefix."""
        return objects.log_levels(self._service.log_levels(prefix_of(log_request)))


def _source_of(volume: Any, request_spec: Any) -> tuple[Any, dict[str, str]]:
    """Return the flow that makes a volume, and what it is made of.

    A source in the row goes first; of those in the request, the image.
    """
    if not ids_of(volume, "snapshot_id") and not ids_of(volume, "source_volid"):
        for name, factory in (
            ("image_id", create_from_image.flow),
            ("backup_id", create_from_backup.flow),
        ):
            if found := ids_of(request_spec, name):
                return factory, {name: found[0]}
    return create.flow, {}


def _for_the_scheduler(filter_properties: Any) -> dict[str, Any] | None:
    """Return what a retry on another backend needs, None when there will be none.

    It goes into the journal with every cast. A scheduler writes its own copy of the
    request into the filter properties each time, so that one is left out.
    """
    if not isinstance(filter_properties, dict) or not filter_properties.get("retry"):
        return None
    return {name: value for name, value in filter_properties.items() if name != "request_spec"}
