# SPDX-License-Identifier: Apache-2.0
"""Create a group without members.

======  ========================================  ==========================
task    does                                      undone by
======  ========================================  ==========================
begin   checks that it is ours and ``creating``   ``error``
ask     driver.create_group, or                   the new group is deleted,
        create_consistencygroup, or nothing       unless the driver reported
                                                  its failure by a status
store   the driver's columns                      (the row is in ``error``)
finish  ``available``, created_at                 (point of no return)
======  ========================================  ==========================

Source: seeds, VolumeConsistencyGroupDriver.create_consistencygroup;
spec/interfaces §5.2.
"""

from __future__ import annotations

from oslo_utils import timeutils
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from flows import driver_contract
from flows.context import GroupContext as Context
from flows.group import answers, methods
from flows.group.delete import take_off
from flows.group.kinds import KINDS
from flows.group.lifecycle import (
    BeginGroupOperation,
    GroupOperation,
    StoreGroup,
    is_settled,
    set_group,
    tell,
)
from flows.lifecycle import Statuses, Step
from flows.statuses import GroupStatus, VolumeStatus

STATUSES = Statuses(
    during=(GroupStatus.CREATING,),
    success=GroupStatus.AVAILABLE,
    failure={Exception: GroupStatus.ERROR},
)
MEMBERS = Statuses(
    during=(VolumeStatus.CREATING,),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR},
)
OPERATION = GroupOperation("create", STATUSES, members=MEMBERS, tells_members=True)

CREATE = methods.GroupMethod("create_group", "create_consistencygroup")


class CallCreateGroup(Step, task="ask"):
    """Have the driver make the group.

    Idempotent: a second try first deletes the remains of the interrupted one.
    """

    default_provides = "verdict"

    def execute(self, ctx: Context, kind: str, resource_id: str) -> answers.MemberUpdates:
        of = KINDS[kind]
        group = of.rows(ctx).get(resource_id)
        if ctx.resumed:
            take_off(ctx, of, group, [])
        answered = methods.call(ctx, of, group, CREATE, lambda view: [view.group(group)])
        if answered is None:
            return answers.NOTHING
        name, answer = answered
        return answers.of_group(answer, group, name)

    def revert(
        self, ctx: Context, kind: str, resource_id: str, flow_failures: dict[str, Failure]
    ) -> None:
        if not driver_contract.never_reached_driver(flow_failures) and not is_settled(
            flow_failures
        ):
            of = KINDS[kind]
            take_off(ctx, of, of.rows(ctx).get(resource_id), [])


class FinishCreateGroup(Step, task="finish"):
    """Make the group available. Idempotent: one that is available stays so."""

    def execute(self, ctx: Context, kind: str, resource_id: str) -> None:
        of = KINDS[kind]
        now = timeutils.utcnow()
        if set_group(ctx, of, of.rows(ctx).get(resource_id), OPERATION, created_at=now):
            tell(ctx, of, of.rows(ctx).get(resource_id), OPERATION, "end")


def flow() -> linear_flow.Flow:
    """Create a group. Needs ``kind`` and ``resource_id``."""
    return linear_flow.Flow("create_group").add(
        BeginGroupOperation(OPERATION), CallCreateGroup(), StoreGroup(), FinishCreateGroup()
    )
