# SPDX-License-Identifier: Apache-2.0
"""Create a group with its volumes out of a group snapshot, or of another group.

======  ============================================  ===========================
task    does                                          undone by
======  ============================================  ===========================
begin   checks that it is here and ``creating``       group and volumes ``error``
check   each volume has its source, which is          (nothing was changed)
        ``available``
ask     driver.create_group_from_src, or              new objects are deleted,
        create_consistencygroup_from_src, or per      unless it is written
        volume create_volume_from_snapshot or         already their statuses
        create_cloned_volume
store   the driver's columns of group and volumes     (see ``ask``)
settle  the volumes: image metadata, multiattach,     (they stay; one whose
        ``available``                                 metadata could not be
                                                      copied is in ``error``)
finish  the group: ``available``, created_at          (point of no return)
======  ============================================  ===========================

An operation that raised nothing has succeeded, even if the driver reports errors.

Source: seeds, VolumeConsistencyGroupDriver.create_consistencygroup_from_src;
spec/interfaces §5.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oslo_utils import timeutils
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.context import GroupContext
from flows.driver_calls import driver_contract
from flows.errors import (
    InvalidConsistencyGroup,
    InvalidGroup,
    MetadataCopyFailure,
)
from flows.factories import registered
from flows.group import driver_answers, driver_methods, member_calls
from flows.group.create import MEMBERS, OPERATION
from flows.group.delete import delete_on_backend
from flows.group.group_kinds import KINDS, SNAPSHOT_OF, GroupKind
from flows.group.lifecycle import (
    BeginGroupOperation,
    StoreGroup,
    members_are_written,
    notify,
    partly_failed,
    set_group,
    set_member,
    usable,
)
from flows.lifecycle import Step
from flows.statuses import SnapshotStatus, VolumeStatus
from flows.volume.create import inherit, launched, require_capacity

CREATE = driver_methods.GroupMethod(
    "create_group_from_src", "create_consistencygroup_from_src", type_needs=True
)

_USABLE = (VolumeStatus.AVAILABLE, SnapshotStatus.AVAILABLE)
_UNFINISHED = (*MEMBERS.during, *MEMBERS.failures)
"""Statuses of volumes that are deleted when the creation is undone."""


@dataclass(frozen=True)
class GroupSource:
    """The source of a group: of the two, one is None.

    :param members: the sources of the volumes, in the volumes' order.
    """

    snapshot: Record | None
    group: Record | None
    members: Sequence[Record]


class CheckGroupSource(Step, task="check"):
    """Line the volumes up with their sources, and see that these can be used.

    Idempotent: it only reads.
    """

    bookkeeping = True

    def execute(
        self,
        ctx: GroupContext,
        kind: str,
        resource_id: str,
        snapshot_id: str | None,
        source_id: str | None,
    ) -> None:
        of = KINDS[kind]
        volumes = of.rows(ctx).members(resource_id)
        source = _source(ctx, of, resource_id, volumes, snapshot_id, source_id)
        for volume, one in zip(volumes, source.members, strict=True):
            if one.status not in _USABLE:
                text = f"{one.kind} {one.id} is {one.status}, not available"
                raise _unfit(of, f"{kind} {resource_id}: its source {text}")
            origin = one.volume if one.kind == "snapshot" else one
            driver_contract.require_on_this_backend(ctx, origin, origin)
            size = one.volume_size if one.kind == "snapshot" else one.size
            require_capacity(volume, size, f"{one.kind} {one.id}")


class CallCreateGroupFromSource(Step, task="ask"):
    """Have the driver make the group and its volumes.

    Idempotent: a second try first deletes the remains of the interrupted one.
    """

    default_provides = "verdict"

    def execute(
        self,
        ctx: GroupContext,
        kind: str,
        resource_id: str,
        snapshot_id: str | None,
        source_id: str | None,
    ) -> driver_answers.MemberUpdates:
        of = KINDS[kind]
        group, volumes = of.rows(ctx).get(resource_id), of.rows(ctx).members(resource_id)
        source = _source(ctx, of, resource_id, volumes, snapshot_id, source_id)
        if ctx.resumed:
            delete_on_backend(ctx, of, group, volumes)
        answered = driver_methods.call(
            ctx,
            of,
            group,
            CREATE,
            lambda view: [
                view.group(group),
                view.volumes(volumes),
                view.group_snapshot(source.snapshot),
                view.snapshots(source.members) if source.snapshot else None,
                view.group(source.group),
                view.volumes(source.members) if source.group else None,
            ],
        )
        if answered is None:
            pairs = zip(volumes, source.members, strict=True)
            return member_calls.create_volumes(ctx, volumes, {v.id: one for v, one in pairs})
        name, answer = answered
        return driver_answers.of_created(answer, group, volumes, name)

    def revert(
        self, ctx: GroupContext, kind: str, resource_id: str, flow_failures: dict[str, Failure]
    ) -> None:
        if driver_contract.never_reached_driver(flow_failures) or members_are_written(
            flow_failures
        ):
            return
        of = KINDS[kind]
        made = [v for v in of.rows(ctx).members(resource_id) if v.status in _UNFINISHED]
        delete_on_backend(ctx, of, of.rows(ctx).get(resource_id), made)


class MakeVolumesAvailable(Step, task="settle"):
    """Make the volumes available. Idempotent: available ones stay so."""

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str, verdict: driver_answers.MemberUpdates
    ) -> None:
        of, failed = KINDS[kind], []
        for volume in usable(of.rows(ctx).members(resource_id), verdict):
            try:
                _inherit(ctx, volume)
            except MetadataCopyFailure as error:
                failed.append(str(error))
                set_member(ctx, of, volume, MEMBERS.during, MEMBERS.failed)
                continue
            columns = {**launched(ctx), "created_at": timeutils.utcnow()}
            set_member(ctx, of, volume, MEMBERS.during, MEMBERS.done, **columns)
        if failed or verdict["failed"]:
            raise partly_failed(kind, resource_id, verdict, failed)


class FinishCreateGroupFrom(Step, task="finish"):
    """Make the group available. Idempotent: one that is available stays so."""

    bookkeeping = True

    def execute(self, ctx: GroupContext, kind: str, resource_id: str) -> None:
        of = KINDS[kind]
        if set_group(
            ctx, of, of.rows(ctx).get(resource_id), OPERATION, created_at=timeutils.utcnow()
        ):
            notify(ctx, of, of.rows(ctx).get(resource_id), OPERATION, "end")


@registered
def flow() -> linear_flow.Flow:
    """Create a group from a source.

    Needs ``kind``, ``resource_id``, and ``snapshot_id`` of a group snapshot or
    ``source_id`` of a group; without either the row says it.
    """
    return linear_flow.Flow("create_group_from_src").add(
        BeginGroupOperation(OPERATION),
        CheckGroupSource(),
        CallCreateGroupFromSource(),
        StoreGroup(fails=False),
        MakeVolumesAvailable(),
        FinishCreateGroupFrom(),
    )


def _source(
    ctx: GroupContext,
    of: GroupKind,
    group_id: str,
    volumes: Sequence[Record],
    snapshot_id: str | None,
    source_id: str | None,
) -> GroupSource:
    """Return the source of the group.

    :raises InvalidGroup: neither or both are named, or a volume has no source in it.
    """
    group = of.rows(ctx).get(group_id)
    if not snapshot_id and not source_id:
        names = (
            ("group_snapshot_id", "source_group_id")
            if of.generic
            else ("cgsnapshot_id", "source_cgid")
        )
        snapshot_id, source_id = (group[name] for name in names)
    if bool(snapshot_id) == bool(source_id):
        text = "is to be made of one group snapshot or of one group"
        raise _unfit(of, f"{of.name} {group_id} {text}")
    if snapshot_id:
        snapshots = KINDS[SNAPSHOT_OF[of.name]].rows(ctx)
        record, found, column = (
            snapshots.get(snapshot_id),
            snapshots.members(snapshot_id),
            "snapshot_id",
        )
        source_group = None
    else:
        assert source_id is not None
        record, column = None, "source_volid"
        source_group, found = of.rows(ctx).get(source_id), of.rows(ctx).members(source_id)
    return GroupSource(record, source_group, _lined_up(of, group_id, volumes, found, column))


def _lined_up(
    of: GroupKind, group_id: str, volumes: Sequence[Record], found: Sequence[Record], column: str
) -> list[Record]:
    known = {one.id: one for one in found}
    wanted = [volume[column] for volume in volumes]
    if len(volumes) != len(found) or set(wanted) != set(known):
        text = f"has {len(volumes)} volumes for {len(found)} sources, or one without its own"
        raise _unfit(of, f"{of.name} {group_id} {text}")
    return [known[source_id] for source_id in wanted]


def _inherit(ctx: GroupContext, volume: Record) -> None:
    """Copy the columns that a volume takes from its source."""
    inherit(ctx, volume)
    if volume.snapshot_id:
        origin = ctx.snapshots.get(volume.snapshot_id).volume
    else:
        origin = ctx.volumes.get(volume.source_volid)
    if origin.multiattach:
        ctx.volumes.update(volume.id, multiattach=True)


def _unfit(of: GroupKind, text: str) -> InvalidGroup:
    return InvalidGroup(text) if of.generic else InvalidConsistencyGroup(text)
