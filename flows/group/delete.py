# SPDX-License-Identifier: Apache-2.0
"""Delete a group with its volumes.

======  ===========================================  ===========================
task    does                                         undone by
======  ===========================================  ===========================
begin   checks that it is ``deleting``               group ``error``; volumes of
                                                     without a reported one:
                                                     ``error``, or, where the
                                                     driver was not asked,
                                                     ``error_deleting``
check   refuses another backend's group, and         (nothing was changed)
        attached volumes
ask     driver.delete_group, or                      (deleted ones stay deleted)
        delete_consistencygroup, or per volume
        remove_export and delete_volume
store   the driver's columns of the volumes; an      (statuses stay)
        error among it fails the operation
finish  the rows, the quota                          (point of no return)
======  ===========================================  ===========================

Volumes that were deleted when others could not be are ``deleted`` with their rows:
these go when the group is deleted once more.

Source: seeds, VolumeConsistencyGroupDriver.delete_consistencygroup;
spec/interfaces §5.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskflow.patterns import linear_flow

from drivers.interface.records import Record
from flows.context import GroupContext
from flows.errors import GroupNotFound, Invalid, VolumeAttached
from flows.factories import registered
from flows.group import driver_answers, driver_methods, member_calls
from flows.group.group_kinds import KINDS, GroupKind
from flows.group.lifecycle import BeginGroupOperation, GroupOperation, StoreGroup, notify_member
from flows.lifecycle import Statuses, Step
from flows.statuses import AttachStatus, GroupStatus, VolumeStatus

DELETE = driver_methods.GroupMethod("delete_group", "delete_consistencygroup", old_needs=False)

STATUSES = Statuses(
    during=(GroupStatus.DELETING,),
    success=GroupStatus.DELETED,
    failure={Exception: GroupStatus.ERROR},
    unmarked=True,
)
MEMBERS = Statuses(
    during=(VolumeStatus.DELETING,),
    success=VolumeStatus.DELETED,
    failure={Invalid: VolumeStatus.ERROR_DELETING, Exception: VolumeStatus.ERROR},
)
OPERATION = GroupOperation(
    "delete",
    STATUSES,
    members=MEMBERS,
    notifies_members=True,
)


class CheckDeleteGroup(Step, task="check"):
    """Refuse a group that must not be deleted here. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: GroupContext, kind: str, resource_id: str) -> None:
        rows = KINDS[kind].rows(ctx)
        for volume in rows.members(resource_id):
            if volume.attach_status == AttachStatus.ATTACHED:
                text = f"volume {volume.id} is attached: detach it first"
                raise VolumeAttached(f"{kind} {resource_id}: {text}")


class CallDeleteGroup(Step, task="ask"):
    """Have the driver delete the group. Idempotent: absence is a success."""

    default_provides = "verdict"

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str
    ) -> driver_answers.MemberUpdates:
        rows = KINDS[kind].rows(ctx)
        return delete_on_backend(ctx, KINDS[kind], rows.get(resource_id), rows.members(resource_id))


class FinishDeleteGroup(Step, task="finish"):
    """Forget the rows and give their quota back. Idempotent: both happen once for each."""

    def execute(self, ctx: GroupContext, kind: str, resource_id: str) -> None:
        of = KINDS[kind]
        for volume in of.rows(ctx).members(resource_id):
            release = {"volumes": 1, "gigabytes": volume.size or 0} if volume.use_quota else {}
            if ctx.volumes.destroy(volume.id, release=release):
                notify_member(ctx, "delete.end", volume.replace(status=MEMBERS.done))
        try:
            group = of.rows(ctx).get(resource_id)
        except GroupNotFound:  # a second try, after the row went
            return
        if of.rows(ctx).destroy(resource_id, release={of.quota: 1}):
            ctx.notifier.group(ctx.request, "delete.end", group.replace(status=STATUSES.done))
        ctx.backend.request_report()


def delete_on_backend(
    ctx: GroupContext, of: GroupKind, group: Record, volumes: Sequence[Record]
) -> driver_answers.MemberUpdates:
    """Delete a group and volumes of it on the backend; absence is a success."""
    answered = driver_methods.call(
        ctx, of, group, DELETE, lambda view: [view.group(group), view.volumes(volumes)]
    )
    if answered is None:
        return member_calls.delete_volumes(ctx, volumes)
    name, answer = answered
    return driver_answers.of_members(answer, group, volumes, name, deletes=True)


@registered
def flow() -> linear_flow.Flow:
    """Delete a group. Needs ``kind`` and ``resource_id``."""
    return linear_flow.Flow("delete_group").add(
        BeginGroupOperation(OPERATION),
        CheckDeleteGroup(),
        CallDeleteGroup(),
        StoreGroup(),
        FinishDeleteGroup(),
    )
