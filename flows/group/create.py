# SPDX-License-Identifier: Apache-2.0
"""Create a group without members.

======  ========================================  ==========================
task    does                                      undone by
======  ========================================  ==========================
begin   checks that it is here and ``creating``   ``error``
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

from drivers.interface.records import Record
from flows.context import GroupContext
from flows.driver_calls import creation_place, driver_contract
from flows.factories import registered
from flows.group import driver_answers, driver_methods
from flows.group.delete import delete_on_backend
from flows.group.group_kinds import KINDS, GroupKind
from flows.group.lifecycle import (
    BeginGroupOperation,
    GroupOperation,
    StoreGroup,
    members_are_written,
    notify,
    set_group,
)
from flows.lifecycle import Statuses, Step
from flows.statuses import GroupStatus, VolumeStatus

STATUSES = Statuses(
    during=(GroupStatus.CREATING,),
    success=GroupStatus.AVAILABLE,
    failure={Exception: GroupStatus.ERROR},
    unmarked=True,
)
MEMBERS = Statuses(
    during=(VolumeStatus.CREATING,),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR},
)
OPERATION = GroupOperation("create", STATUSES, members=MEMBERS, notifies_members=True)

CREATE = driver_methods.GroupMethod("create_group", "create_consistencygroup")


class BeginCreateGroup(BeginGroupOperation):
    """Check that the group is here and is being created, and write this host into a cluster's.

    Idempotent: it writes the same again.
    """

    def accepted(self, ctx: GroupContext, of: GroupKind, record: Record) -> None:
        """Write this host into the row of a cluster's group."""
        if columns := creation_place.columns(ctx.backend, record):
            of.rows(ctx).update(record.id, **columns)


class CallCreateGroup(Step, task="ask"):
    """Have the driver make the group.

    Idempotent: a second try first deletes the remains of the interrupted one.
    """

    default_provides = "verdict"

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str
    ) -> driver_answers.MemberUpdates:
        of = KINDS[kind]
        group = of.rows(ctx).get(resource_id)
        if ctx.resumed:
            delete_on_backend(ctx, of, group, [])
        answered = driver_methods.call(ctx, of, group, CREATE, lambda view: [view.group(group)])
        if answered is None:
            return driver_answers.NOTHING
        name, answer = answered
        return driver_answers.of_group(answer, group, name)

    def revert(
        self, ctx: GroupContext, kind: str, resource_id: str, flow_failures: dict[str, Failure]
    ) -> None:
        if not driver_contract.never_reached_driver(flow_failures) and not members_are_written(
            flow_failures
        ):
            of = KINDS[kind]
            delete_on_backend(ctx, of, of.rows(ctx).get(resource_id), [])


class FinishCreateGroup(Step, task="finish"):
    """Make the group available. Idempotent: one that is available stays so."""

    bookkeeping = True

    def execute(self, ctx: GroupContext, kind: str, resource_id: str) -> None:
        of = KINDS[kind]
        now = timeutils.utcnow()
        if set_group(ctx, of, of.rows(ctx).get(resource_id), OPERATION, created_at=now):
            notify(ctx, of, of.rows(ctx).get(resource_id), OPERATION, "end")


@registered
def flow() -> linear_flow.Flow:
    """Create a group. Needs ``kind`` and ``resource_id``."""
    return linear_flow.Flow("create_group").add(
        BeginCreateGroup(OPERATION), CallCreateGroup(), StoreGroup(), FinishCreateGroup()
    )
