# SPDX-License-Identifier: Apache-2.0
"""Make a snapshot of a group: one of each of its volumes.

======  ==========================================  ============================
task    does                                        undone by
======  ==========================================  ============================
begin   checks that it is here and ``creating``     ``error``, and the snapshots
                                                    without a reported one
ask     driver.create_group_snapshot, or            new snapshots are deleted,
        create_cgsnapshot, or create_snapshot of    unless the driver reported
        each                                        its failure by a status
store   the driver's columns of the snapshots; an   (statuses stay)
        error among it fails the operation
settle  the snapshots: image metadata of bootable   (they stay; one whose
        volumes, ``available`` and ``100%``         metadata could not be copied
                                                    is in ``error``)
finish  the group snapshot: ``available``           (point of no return)
======  ==========================================  ============================

Source: seeds, VolumeConsistencyGroupDriver.create_cgsnapshot; spec/interfaces §5.6.
"""

from __future__ import annotations

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.context import GroupContext
from flows.driver_calls import driver_contract
from flows.errors import MetadataCopyFailure
from flows.factories import registered
from flows.group import driver_answers, driver_methods, member_calls
from flows.group.delete_snapshot import delete_on_backend
from flows.group.group_kinds import KINDS
from flows.group.lifecycle import (
    BeginGroupOperation,
    GroupOperation,
    StoreGroup,
    members_are_written,
    notify,
    partly_failed,
    set_group,
    set_member,
    usable,
)
from flows.lifecycle import Statuses, Step
from flows.snapshot.create import copy_image_metadata
from flows.statuses import GroupSnapshotStatus, SnapshotStatus

STATUSES = Statuses(
    during=(GroupSnapshotStatus.CREATING,),
    success=GroupSnapshotStatus.AVAILABLE,
    failure={Exception: GroupSnapshotStatus.ERROR},
    unmarked=True,
)
MEMBERS = Statuses(
    during=(SnapshotStatus.CREATING,),
    success=SnapshotStatus.AVAILABLE,
    failure={Exception: SnapshotStatus.ERROR},
)
OPERATION = GroupOperation("create", STATUSES, members=MEMBERS, notifies_members=True)

CREATE = driver_methods.GroupMethod("create_group_snapshot", "create_cgsnapshot", type_needs=True)


class CallCreateGroupSnapshot(Step, task="ask"):
    """Have the driver make all snapshots.

    Idempotent: on a second try all that the interrupted one may have left are deleted
    first, so that those there are in the end are of one moment.
    """

    default_provides = "verdict"

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str
    ) -> driver_answers.MemberUpdates:
        of = KINDS[kind]
        snapshot = of.rows(ctx).get(resource_id)
        made = of.rows(ctx).members(resource_id)
        if ctx.resumed:
            delete_on_backend(ctx, of, snapshot, made)
        answered = driver_methods.call_for_snapshots(ctx, of, snapshot, made, CREATE)
        if answered is None:
            return member_calls.create_snapshots(ctx, made)
        name, answer = answered
        return driver_answers.of_members(answer, snapshot, made, name, deletes=False)

    def revert(
        self, ctx: GroupContext, kind: str, resource_id: str, flow_failures: dict[str, Failure]
    ) -> None:
        if driver_contract.never_reached_driver(flow_failures) or members_are_written(
            flow_failures
        ):
            return
        of = KINDS[kind]
        made = [one for one in of.rows(ctx).members(resource_id) if _is_new(one)]
        delete_on_backend(ctx, of, of.rows(ctx).get(resource_id), made)


class MakeSnapshotsAvailable(Step, task="settle"):
    """Make the snapshots available. Idempotent: available ones stay so."""

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str, verdict: driver_answers.MemberUpdates
    ) -> None:
        of, failed = KINDS[kind], []
        for snapshot in usable(of.rows(ctx).members(resource_id), verdict):
            try:
                copy_image_metadata(ctx, snapshot)
            except MetadataCopyFailure as error:
                failed.append(str(error))
                set_member(ctx, of, snapshot, MEMBERS.during, MEMBERS.failed)
                continue
            columns = {
                "progress": "100%",
                "encryption_key_id": snapshot.volume.encryption_key_id,
            }
            set_member(ctx, of, snapshot, MEMBERS.during, MEMBERS.done, **columns)
        if failed or verdict["failed"]:
            raise partly_failed(kind, resource_id, verdict, failed)


class FinishCreateGroupSnapshot(Step, task="finish"):
    """Make the group snapshot available. Idempotent: one that is available stays so."""

    bookkeeping = True

    def execute(self, ctx: GroupContext, kind: str, resource_id: str) -> None:
        of = KINDS[kind]
        if set_group(ctx, of, of.rows(ctx).get(resource_id), OPERATION):
            notify(ctx, of, of.rows(ctx).get(resource_id), OPERATION, "end")


@registered
def flow() -> linear_flow.Flow:
    """Make a snapshot of a group. Needs ``kind`` and ``resource_id``."""
    return linear_flow.Flow("create_group_snapshot").add(
        BeginGroupOperation(OPERATION),
        CallCreateGroupSnapshot(),
        StoreGroup(fails=False),
        MakeSnapshotsAvailable(),
        FinishCreateGroupSnapshot(),
    )


def _is_new(snapshot: Record) -> bool:
    return snapshot.status in (*MEMBERS.during, *MEMBERS.failures)
