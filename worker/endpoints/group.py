# SPDX-License-Identifier: Apache-2.0
"""RPC methods on groups, generic and of old (spec/volume-rpc §2)."""

from __future__ import annotations

from typing import Any

from flows.group import (
    create,
    create_from,
    create_snapshot,
    delete,
    delete_snapshot,
    update,
)
from worker.endpoints.arguments import check_id, id_of, ids_of
from worker.endpoints.operation import Operation
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import BadArguments, exposed


class GroupMethods:
    """Groups, their snapshots, and what is made of these."""

    @exposed("3.0")
    def create_group(self, request: RequestContext, group: Any) -> Operation:
        """Create a group without members."""
        return on_group(create.flow, "group", group)

    @exposed("3.0")
    def delete_group(self, request: RequestContext, group: Any) -> Operation:
        """Delete a group with its volumes."""
        return on_group(delete.flow, "group", group)

    @exposed("3.0")
    def update_group(
        self,
        request: RequestContext,
        group: Any,
        add_volumes: Any = None,
        remove_volumes: Any = None,
    ) -> Operation:
        """Let volumes join a group and leave it."""
        return _update("group", group, add_volumes, remove_volumes)

    @exposed("3.0")
    def create_group_from_src(
        self,
        request: RequestContext,
        group: Any,
        group_snapshot: Any = None,
        source_group: Any = None,
    ) -> Operation:
        """Create a group out of a group snapshot or of another group."""
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
        return on_group(create.flow, "consistencygroup", group)

    @exposed("3.0")
    def delete_consistencygroup(self, request: RequestContext, group: Any) -> Operation:
        """Delete a consistency group with its volumes."""
        return on_group(delete.flow, "consistencygroup", group)

    @exposed("3.0")
    def update_consistencygroup(
        self,
        request: RequestContext,
        group: Any,
        add_volumes: Any = None,
        remove_volumes: Any = None,
    ) -> Operation:
        """Let volumes join a consistency group and leave it."""
        return _update("consistencygroup", group, add_volumes, remove_volumes)

    @exposed("3.0")
    def create_consistencygroup_from_src(
        self,
        request: RequestContext,
        group: Any,
        cgsnapshot: Any = None,
        source_cg: Any = None,
    ) -> Operation:
        """Create a consistency group out of a cgsnapshot or of another one."""
        return _create_from("consistencygroup", group, cgsnapshot, source_cg)

    @exposed("3.0")
    def create_cgsnapshot(self, request: RequestContext, cgsnapshot: Any) -> Operation:
        """Make a snapshot of each volume of a consistency group."""
        return _on_snapshot(create_snapshot.flow, "cgsnapshot", cgsnapshot)

    @exposed("3.0")
    def delete_cgsnapshot(self, request: RequestContext, cgsnapshot: Any) -> Operation:
        """Delete the snapshots of a cgsnapshot."""
        return _on_snapshot(delete_snapshot.flow, "cgsnapshot", cgsnapshot)


def on_group(
    factory: Any, kind: str, resource: Any, *, source: str | None = None, **args: Any
) -> Operation:
    """Return an operation on a group, or on a snapshot of one.

    :param source: what it is made of, which stays as it is meanwhile.
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
    return on_group(factory, kind, snapshot, source=of[0] if of else None)


def _update(kind: str, group: Any, add: Any, remove: Any) -> Operation:
    joins, leaves = _ids(add, "add_volumes"), _ids(remove, "remove_volumes")
    return on_group(update.flow, kind, group, add=joins, remove=leaves)


def _create_from(kind: str, group: Any, snapshot: Any, source: Any) -> Operation:
    snapshot_id = id_of(snapshot, "the group snapshot") if snapshot else None
    source_id = id_of(source, "the source group") if source else None
    return on_group(
        create_from.flow,
        kind,
        group,
        source=snapshot_id or source_id,
        snapshot_id=snapshot_id,
        source_id=source_id,
    )


def _ids(text: Any, what: str) -> list[str]:
    """Return ids out of a text that parts them by commas, or of a list."""
    if not text:
        return []
    found = text.split(",") if isinstance(text, str) else text
    if not isinstance(found, list | tuple):
        raise BadArguments(f"{what} is no list of ids: {text!r:.80}")
    for one in found:
        check_id(one, f"an id of {what}")
    return list(dict.fromkeys(found))


def _lock(resource_id: str) -> str:
    return f"{resource_id}-group"
