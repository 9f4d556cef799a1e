# SPDX-License-Identifier: Apache-2.0
"""Operations on groups: member by member for today's, by the driver for those of old."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from drivers.interface.records import Record
from flows.group import (
    create,
    create_from,
    create_snapshot,
    delete,
    delete_snapshot,
    replicate,
    update,
)
from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.world import World

_SNAPSHOT = {"group": "group_snapshot", "consistencygroup": "cgsnapshot"}
_SOURCE = {"group": "source_group", "consistencygroup": "source_cg"}


def _asked(record: Record, members: list[Record], argument: str, **args: Any) -> Asked:
    roles = {"it": record.id, **{f"member {n}": one.id for n, one in enumerate(members)}}
    return Asked(record.project_id, record.id, {argument: record, **args}, roles)


def _group(world: World, project: str, kind: str, status: str, members: str) -> Asked:
    group = world.group(project, kind, status)
    volumes = [world.volume(project, members, **{f"{kind}_id": group.id}) for _ in "AB"]
    return _asked(group, volumes, "group")


def _create(world: World, project: str, kind: str) -> Asked:
    return _asked(world.group(project, kind, "creating"), [], "group")


def _delete(world: World, project: str, kind: str) -> Asked:
    return _group(world, project, kind, "deleting", "deleting")


def _update(world: World, project: str, kind: str) -> Asked:
    asked = _group(world, project, kind, "updating", "available")
    joins = world.volume(project)
    asked.args |= {"add_volumes": joins.id, "remove_volumes": asked.roles["member 0"]}
    asked.roles["joins"] = joins.id
    return asked


def _snapshot(
    world: World, project: str, kind: str, status: str, *, made: bool = True
) -> tuple[Asked, list[Record]]:
    group = _group(world, project, kind, "available", "available")
    snapshot = world.group_snapshot(group.args["group"], status)
    column = {f"{snapshot.kind}_id": snapshot.id}
    volumes = [world.records.volumes.get(group.roles[f"member {n}"]) for n in range(2)]
    members = [world.snapshot(volume, status, made=made, **column) for volume in volumes]
    asked = _asked(snapshot, members, snapshot.kind)
    asked.roles |= {"group": group.resource, **{f"of {n}": v.id for n, v in enumerate(volumes)}}
    return asked, members


def _create_snapshot(world: World, project: str, kind: str) -> Asked:
    return _snapshot(world, project, kind, "creating", made=False)[0]


def _delete_snapshot(world: World, project: str, kind: str) -> Asked:
    return _snapshot(world, project, kind, "deleting")[0]


def _from_snapshot(world: World, project: str, kind: str) -> Asked:
    source, members = _snapshot(world, project, kind, "available")
    return _made_of(world, project, kind, source, "snapshot_id", members, _SNAPSHOT[kind])


def _from_group(world: World, project: str, kind: str) -> Asked:
    source = _group(world, project, kind, "available", "available")
    members = [world.records.volumes.get(source.roles[f"member {n}"]) for n in range(2)]
    return _made_of(world, project, kind, source, "source_volid", members, _SOURCE[kind])


def _made_of(
    world: World,
    project: str,
    kind: str,
    source: Asked,
    link: str,
    members: list[Record],
    argument: str,
) -> Asked:
    group = world.group(project, kind, "creating")
    volumes = [
        world.volume(project, "creating", made=False, **{f"{kind}_id": group.id, link: one.id})
        for one in members
    ]
    (origin,) = source.args.values()
    asked = _asked(group, volumes, "group", **{argument: origin})
    asked.roles |= {f"source {role}": one for role, one in source.roles.items()}
    return asked


def _replicating(world: World, project: str, during: str) -> Asked:
    asked = _group(world, project, "group", "available", "available")
    world.records.groups.update(asked.resource, replication_status=during)
    for member in world.records.groups.members(asked.resource):
        world.records.volumes.update(member.id, replication_status=during)
    return asked


def _replication(method: str, factory: Any, during: str) -> Case:
    """Return a case of a group whose replication is to be changed."""
    arrange = functools.partial(_replicating, during=during)
    return Case(method.replace("_", " "), method, factory, arrange, "3.14")


def _case(
    name: str, methods: tuple[str, str], factory: Any, arrange: Callable[[World, str, str], Asked]
) -> list[Case]:
    """Return a case for each kind of group."""
    kinds = zip(("group", "consistencygroup"), methods, strict=True)
    return [
        Case(f"{name}, {kind}", method, factory, lambda w, p, kind=kind: arrange(w, p, kind))  # type: ignore[misc]
        for kind, method in kinds
    ]


_FROM = ("create_group_from_src", "create_consistencygroup_from_src")

CASES = (
    *_case("create group", ("create_group", "create_consistencygroup"), create.flow, _create),
    *_case("delete group", ("delete_group", "delete_consistencygroup"), delete.flow, _delete),
    *_case("update group", ("update_group", "update_consistencygroup"), update.flow, _update),
    *_case(
        "group snapshot",
        ("create_group_snapshot", "create_cgsnapshot"),
        create_snapshot.flow,
        _create_snapshot,
    ),
    *_case(
        "delete group snapshot",
        ("delete_group_snapshot", "delete_cgsnapshot"),
        delete_snapshot.flow,
        _delete_snapshot,
    ),
    *_case("group from snapshot", _FROM, create_from.flow, _from_snapshot),
    *_case("group from group", _FROM, create_from.flow, _from_group),
    _replication("enable_replication", replicate.enable, "enabling"),
    _replication("disable_replication", replicate.disable, "disabling"),
    _replication("failover_replication", replicate.failover, "failing-over"),
)
