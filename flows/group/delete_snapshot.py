# SPDX-License-Identifier: Apache-2.0
"""Delete a snapshot of a group with its snapshots.

======  ==========================================  ============================
task    does                                        undone by
======  ==========================================  ============================
begin   checks that it is here and ``deleting``     ``error``, and the snapshots
                                                    without a reported one
ask     driver.delete_group_snapshot, or            (deleted ones stay deleted)
        delete_cgsnapshot, or delete_snapshot of
        each
store   the driver's columns of the snapshots; an   (statuses stay)
        error among it fails the operation
finish  the rows, the quota                         (point of no return)
======  ==========================================  ============================

Source: seeds, VolumeConsistencyGroupDriver.delete_cgsnapshot; spec/interfaces §5.7.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskflow.patterns import linear_flow

from drivers.interface.records import Record
from flows.context import GroupContext
from flows.errors import GroupSnapshotNotFound
from flows.factories import registered
from flows.group import driver_answers, driver_methods, member_calls
from flows.group.group_kinds import KINDS, GroupKind
from flows.group.lifecycle import BeginGroupOperation, GroupOperation, StoreGroup
from flows.lifecycle import Statuses, Step
from flows.snapshot.delete import forget
from flows.statuses import GroupSnapshotStatus, SnapshotStatus

STATUSES = Statuses(
    during=(GroupSnapshotStatus.DELETING,),
    success=GroupSnapshotStatus.DELETED,
    failure={Exception: GroupSnapshotStatus.ERROR},
    unmarked=True,
)
MEMBERS = Statuses(
    during=(SnapshotStatus.DELETING,),
    success=SnapshotStatus.DELETED,
    failure={Exception: SnapshotStatus.ERROR},
)
DELETE = driver_methods.GroupMethod("delete_group_snapshot", "delete_cgsnapshot", old_needs=False)

OPERATION = GroupOperation("delete", STATUSES, members=MEMBERS, notifies_members=True)


class CallDeleteGroupSnapshot(Step, task="ask"):
    """Have the driver delete all snapshots. Idempotent: absence is a success."""

    default_provides = "verdict"

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str
    ) -> driver_answers.MemberUpdates:
        rows = KINDS[kind].rows(ctx)
        return delete_on_backend(ctx, KINDS[kind], rows.get(resource_id), rows.members(resource_id))


class FinishDeleteGroupSnapshot(Step, task="finish"):
    """Forget the rows and give their quota back. Idempotent: both happen once for each."""

    def execute(self, ctx: GroupContext, kind: str, resource_id: str) -> None:
        of = KINDS[kind]
        for snapshot in of.rows(ctx).members(resource_id):
            forget(ctx, snapshot)
        try:
            group_snapshot = of.rows(ctx).get(resource_id)
        except GroupSnapshotNotFound:  # a second try, after the row went
            return
        if of.rows(ctx).destroy(resource_id):
            shown = group_snapshot.replace(status=STATUSES.done)
            ctx.notifier.group(ctx.request, "delete.end", shown)


def delete_on_backend(
    ctx: GroupContext, of: GroupKind, group_snapshot: Record, snapshots: Sequence[Record]
) -> driver_answers.MemberUpdates:
    """Delete snapshots of a group on the backend; absence is a success."""
    answered = driver_methods.call_for_snapshots(ctx, of, group_snapshot, snapshots, DELETE)
    if answered is None:
        return member_calls.delete_snapshots(ctx, snapshots)
    name, answer = answered
    return driver_answers.of_members(answer, group_snapshot, snapshots, name, deletes=True)


@registered
def flow() -> linear_flow.Flow:
    """Delete a snapshot of a group. Needs ``kind`` and ``resource_id``."""
    return linear_flow.Flow("delete_group_snapshot").add(
        BeginGroupOperation(OPERATION),
        CallDeleteGroupSnapshot(),
        StoreGroup(),
        FinishDeleteGroupSnapshot(),
    )
