# SPDX-License-Identifier: Apache-2.0
"""RPC methods of the volume service, 3.0 to 3.20 (spec/volume-rpc §2)."""

from __future__ import annotations

import re
import reprlib
from typing import Any, Literal, Protocol

from flows.snapshot import create as snapshot_create
from flows.snapshot import delete as snapshot_delete
from flows.volume import attach, attachment, connection, create, delete, detach, extend, revert
from worker.endpoints.operation import Operation, snapshot_lock, volume_lock
from worker.rpc import codec, objects
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import BadArguments, exposed

RPC_VERSION = "3.20"

_AN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,35}")
"""A UUID, or what somebody else took for ids; never a path, never longer than its column."""


class Service(Protocol):
    """What the methods that start no flow ask of the running service."""

    def capabilities(self, discover: bool) -> dict[str, Any]:
        """Return the driver's capabilities; fetched anew when asked to discover."""

    def publish_capabilities(self) -> None:
        """Report to the scheduler at once."""

    def secure_file_operations_enabled(self) -> bool:
        """Return what the driver says."""

    def set_log_levels(self, prefix: str, level: str) -> None:
        """Set the level of all loggers whose names start with a prefix."""

    def log_levels(self, prefix: str) -> dict[str, str]:
        """Return logger names and levels."""


class VolumeEndpoint:
    """One backend's RPC methods.

    :param service: the running service, for what needs no flow.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

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
        volume_id = _id(volume, "volume")
        shared = [snapshot_lock(s) for s in _ids(volume, "snapshot_id")]
        shared += [volume_lock(s) for s in _ids(volume, "source_volid")]
        return Operation(
            create.flow,
            ("volume", volume_id),
            {
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
        return _on_volume(
            delete.flow, volume, unmanage_only=bool(unmanage_only), cascade=bool(cascade)
        )

    @exposed("3.0")
    def extend_volume(
        self, request: RequestContext, volume: Any, new_size: Any, reservations: Any = None
    ) -> Operation:
        """Grow a volume to a size in GiB."""
        return _on_volume(extend.flow, volume, new_size=new_size, reservations=_list(reservations))

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
        return _on_volume(
            extend.completion,
            volume,
            new_size=new_size,
            reservations=_list(reservations),
            error=bool(error),
        )

    @exposed("3.15")
    def revert_to_snapshot(self, request: RequestContext, volume: Any, snapshot: Any) -> Operation:
        """Set a volume back to one of its snapshots."""
        snapshot_id = _id(snapshot, "snapshot")
        operation = _on_volume(revert.flow, volume, snapshot_id=snapshot_id)
        locks = (*operation.exclusive, snapshot_lock(snapshot_id))
        return Operation(operation.factory, operation.resource, operation.args, locks)

    @exposed("3.0")
    def create_snapshot(self, request: RequestContext, snapshot: Any) -> Operation:
        """Create a snapshot."""
        return _on_snapshot(snapshot_create.flow, snapshot)

    @exposed("3.0")
    def delete_snapshot(
        self, request: RequestContext, snapshot: Any, unmanage_only: bool = False
    ) -> Operation:
        """Delete a snapshot, or only forget it."""
        return _on_snapshot(snapshot_delete.flow, snapshot, unmanage_only=bool(unmanage_only))

    @exposed("3.0")
    def initialize_connection(
        self, request: RequestContext, volume: Any, connector: Any
    ) -> Operation:
        """Let a connector reach a volume; answers the connection info."""
        return _on_connection(
            connection.initialize,
            _id(volume, "volume"),
            connector=connector,
            when_cut_short="revert",
        )

    @exposed("3.0")
    def terminate_connection(
        self, request: RequestContext, volume_id: str, connector: Any, force: bool = False
    ) -> Operation:
        """End a connector's access, or everybody's when there is no connector."""
        return _on_connection(
            connection.terminate_flow, volume_id, connector=connector, force=bool(force)
        )

    @exposed("3.0")
    def remove_export(self, request: RequestContext, volume_id: str) -> Operation:
        """Take a volume's export away."""
        return _on_connection(connection.remove_export, volume_id)

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
        return _on_connection(
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
        return _on_connection(detach.detach, volume_id, attachment_id=attachment_id)

    @exposed("3.9")
    def attachment_update(
        self, request: RequestContext, vref: Any, connector: Any, attachment_id: str
    ) -> Operation:
        """Connect an attachment; answers the connection info."""
        return _on_connection(
            attachment.update,
            _id(vref, "vref"),
            connector=connector,
            attachment_id=attachment_id,
            when_cut_short="revert",
        )

    @exposed("3.9")
    def attachment_delete(
        self, request: RequestContext, attachment_id: str, vref: Any
    ) -> Operation:
        """Disconnect an attachment."""
        return _on_connection(attachment.delete, _id(vref, "vref"), attachment_id=attachment_id)

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

    @exposed("3.12", journalled=False)
    def set_log_levels(self, request: RequestContext, log_request: Any) -> None:
        """Set log levels by logger prefix."""
        level = _field(log_request, "level", "log_request")
        self._service.set_log_levels(_prefix(log_request), str(level))

    @exposed("3.12", journalled=False)
    def get_log_levels(self, request: RequestContext, log_request: Any) -> dict[str, Any]:
        """Answer log levels by logger prefix."""
        return objects.log_levels(self._service.log_levels(_prefix(log_request)))


def _for_the_scheduler(filter_properties: Any) -> dict[str, Any] | None:
    """Return what a retry on another backend needs, None when there will be none.

    It goes into the journal with every cast. A scheduler writes its own copy of the
    request into the filter properties each time, so that one is left out.
    """
    if not isinstance(filter_properties, dict) or not filter_properties.get("retry"):
        return None
    return {name: value for name, value in filter_properties.items() if name != "request_spec"}


def _on_volume(factory: Any, volume: Any, **args: Any) -> Operation:
    volume_id = _id(volume, "volume")
    return Operation(
        factory,
        ("volume", volume_id),
        {"volume_id": volume_id, **args},
        exclusive=(volume_lock(volume_id),),
    )


def _on_snapshot(factory: Any, snapshot: Any, **args: Any) -> Operation:
    snapshot_id = _id(snapshot, "snapshot")
    return Operation(
        factory,
        ("snapshot", snapshot_id),
        {"snapshot_id": snapshot_id, **args},
        exclusive=(snapshot_lock(snapshot_id),),
        shared=tuple(volume_lock(v) for v in _ids(snapshot, "volume_id")),
    )


def _on_connection(
    factory: Any,
    volume_id: Any,
    answer: Any = None,
    when_cut_short: Literal["finish", "revert"] = "finish",
    **args: Any,
) -> Operation:
    _check_id(volume_id, "volume_id")
    # One volume's exports change one after another; its own name is Cinder's lock for that.
    return Operation(
        factory,
        ("volume", volume_id),
        {"volume_id": volume_id, **args},
        exclusive=(volume_id,),
        answer=answer,
        when_cut_short=when_cut_short,
    )


def _field(source: Any, name: str, what: str) -> Any:
    try:
        return source[name]
    except (KeyError, TypeError, IndexError):
        raise BadArguments(f"{what} has no {name}") from None


def _id(source: Any, what: str) -> str:
    found = _field(source, "id", what)
    _check_id(found, f"the id of {what}")
    return str(found)


def _check_id(found: Any, what: str) -> None:
    """Refuse what cannot be an id: it becomes part of names of locks and of files."""
    if not isinstance(found, str) or not _AN_ID.fullmatch(found):
        raise BadArguments(f"{what} is not usable: {reprlib.repr(found)}")


def _ids(source: Any, name: str) -> list[str]:
    try:
        found = source[name]
    except (KeyError, TypeError):
        return []
    if not found:
        return []
    _check_id(found, name)
    return [str(found)]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _prefix(log_request: Any) -> str:
    try:
        return str(log_request["prefix"] or "")
    except (KeyError, TypeError):
        return ""
