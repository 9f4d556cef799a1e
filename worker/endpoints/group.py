# SPDX-License-Identifier: Apache-2.0
"""RPC methods on generic groups and consistency groups (spec/volume-rpc §2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from flows.group import (
    create,
    create_from,
    create_snapshot,
    delete,
    delete_snapshot,
    replicate,
    update,
)
from worker.endpoints.arguments import check_id, id_of, ids_of
from worker.rpc.dispatch import BadArguments, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class GroupEndpoint:
    """Create, change and delete groups and their snapshots."""

    @exposed("3.0")
    def create_group(self, request: RequestContext, group: Any) -> Operation:
        """Create a group without members."""
        return _on_group(create.flow, "group", group)

    @exposed("3.0")
    def delete_group(self, request: RequestContext, group: Any) -> Operation:
        """Delete a group with its volumes."""
        return _on_group(delete.flow, "group", group)

    @exposed("3.0", quick=True)
    def update_group(
        self,
        request: RequestContext,
        group: Any,
        add_volumes: Any = None,
        remove_volumes: Any = None,
    ) -> Operation:
        """Add volumes to a group and remove volumes from it."""
        return _update("group", group, add_volumes, remove_volumes)

    @exposed("3.0")
    def create_group_from_src(
        self,
        request: RequestContext,
        group: Any,
        group_snapshot: Any = None,
        source_group: Any = None,
    ) -> Operation:
        """Create a group from a group snapshot or from another group."""
        return _create_from("group", group, group_snapshot, source_group)

    @exposed("3.0")
    def create_group_snapshot(self, request: RequestContext, group_snapshot: Any) -> Operation:
        """Make a snapshot of each volume of a group."""
        return _on_snapshot(create_snapshot.flow, "group_snapshot", group_snapshot)

    @exposed("3.0")
    def delete_group_snapshot(self, request: RequestContext, group_snapshot: Any) -> Operation:
        """Delete the snapshots of a group snapshot."""
        return _on_snapshot(delete_snapshot.flow, "group_snapshot", group_snapshot)

    @exposed("3.0")
    def create_consistencygroup(self, request: RequestContext, group: Any) -> Operation:
        """Create a consistency group without members."""
        return _on_group(create.flow, "consistencygroup", group)

    @exposed("3.0")
    def delete_consistencygroup(self, request: RequestContext, group: Any) -> Operation:
        """Delete a consistency group with its volumes."""
        return _on_group(delete.flow, "consistencygroup", group)

    @exposed("3.0", quick=True)
    def update_consistencygroup(
        self,
        request: RequestContext,
        group: Any,
        add_volumes: Any = None,
        remove_volumes: Any = None,
    ) -> Operation:
        """Add volumes to a consistency group and remove volumes from it."""
        return _update("consistencygroup", group, add_volumes, remove_volumes)

    @exposed("3.0")
    def create_consistencygroup_from_src(
        self,
        request: RequestContext,
        group: Any,
        cgsnapshot: Any = None,
        source_cg: Any = None,
    ) -> Operation:
        """Create a consistency group from a cgsnapshot or from another one."""
        return _create_from("consistencygroup", group, cgsnapshot, source_cg)

    @exposed("3.0")
    def create_cgsnapshot(self, request: RequestContext, cgsnapshot: Any) -> Operation:
        """Make a snapshot of each volume of a consistency group."""
        return _on_snapshot(create_snapshot.flow, "cgsnapshot", cgsnapshot)

    @exposed("3.0")
    def delete_cgsnapshot(self, request: RequestContext, cgsnapshot: Any) -> Operation:
        """Delete the snapshots of a cgsnapshot."""
        return _on_snapshot(delete_snapshot.flow, "cgsnapshot", cgsnapshot)


class GroupReplicationTargets(Protocol):
    """The configured replication targets of the backend."""

    def replication_targets(self, group_id: str) -> Sequence[dict[str, str]]:
        """Return the targets. :raises VolumeBackendAPIException: there is no such group."""


class GroupReplicationEndpoint:
    """Replicate groups, and fail them over.

    :param targets: the replication targets of the backend.
    """

    def __init__(self, targets: GroupReplicationTargets) -> None:
        self._targets = targets

    @exposed("3.14")
    def enable_replication(self, request: RequestContext, group: Any) -> Operation:
        """Enable replication of a group."""
        return _on_replication(replicate.enable, group)

    @exposed("3.14")
    def disable_replication(self, request: RequestContext, group: Any) -> Operation:
        """Disable replication of a group."""
        return _on_replication(replicate.disable, group)

    @exposed("3.14")
    def failover_replication(
        self,
        request: RequestContext,
        group: Any,
        allow_attached_volume: bool = False,
        secondary_backend_id: Any = None,
    ) -> Operation:
        """Fail a group over to a target, or back to ``default``."""
        if not isinstance(secondary_backend_id, str | None):
            raise BadArguments(f"secondary_backend_id is no name: {secondary_backend_id!r:.80}")
        target, allowed = [secondary_backend_id], bool(allow_attached_volume)
        return _on_replication(replicate.failover, group, targets=target, allow_attached=allowed)

    @exposed("3.14", journalled=False)
    def list_replication_targets(
        self, request: RequestContext, group: Any
    ) -> dict[str, list[dict[str, str]]]:
        """Return the targets to which a group can fail over; details to administrators only."""
        found = self._targets.replication_targets(id_of(group, "group"))
        if not request.is_admin:
            found = [{"backend_id": one["backend_id"]} for one in found if one.get("backend_id")]
        return {"replication_targets": list(found)}


def _on_group(
    factory: Any, kind: str, resource: Any, *, source: str | None = None, **args: Any
) -> Operation:
    """Return an operation on a group, or on a snapshot of one.

    :param source: the id of its source, which no operation may change meanwhile.
    """
    resource_id = id_of(resource, kind)
    return Operation(
        factory,
        (kind, resource_id),
        {"kind": kind, "resource_id": resource_id, **args},
        exclusive=(_lock(resource_id),),
        shared=(_lock(source),) if source else (),
    )


def _on_snapshot(factory: Any, kind: str, snapshot: Any) -> Operation:
    """Return an operation on a snapshot of a group, while the group stays as it is."""
    of = ids_of(snapshot, "group_id") or ids_of(snapshot, "consistencygroup_id")
    return _on_group(factory, kind, snapshot, source=of[0] if of else None)


def _update(kind: str, group: Any, add: Any, remove: Any) -> Operation:
    joins, leaves = _ids(add, "add_volumes"), _ids(remove, "remove_volumes")
    return _on_group(update.flow, kind, group, add=joins, remove=leaves)


def _create_from(kind: str, group: Any, snapshot: Any, source: Any) -> Operation:
    snapshot_id = id_of(snapshot, "the group snapshot") if snapshot else None
    source_id = id_of(source, "the source group") if source else None
    return _on_group(
        create_from.flow,
        kind,
        group,
        source=snapshot_id or source_id,
        snapshot_id=snapshot_id,
        source_id=source_id,
    )


def _ids(text: Any, label: str) -> list[str]:
    """Return ids out of a text that parts them by commas, or of a list."""
    if not text:
        return []
    found = text.split(",") if isinstance(text, str) else text
    if not isinstance(found, list | tuple):
        raise BadArguments(f"{label} is no list of ids: {text!r:.80}")
    for one in found:
        check_id(one, f"an id of {label}")
    return list(dict.fromkeys(found))


def _lock(resource_id: str) -> str:
    return f"{resource_id}-group"


def _on_replication(
    factory: Any, group: Any, *, targets: Sequence[str | None] = (), allow_attached: bool = True
) -> Operation:
    return _on_group(factory, "group", group, targets=list(targets), allow_attached=allow_attached)
