# SPDX-License-Identifier: Apache-2.0
"""Let volumes join a group and leave it.

======  ============================================  ===========================
task    does                                          undone by
======  ============================================  ===========================
begin   checks that it is here and ``updating``       group ``error``
check   every volume exists, fits, and is in the      (nothing was changed)
        right status
ask     driver.update_group, or                       all volumes of both lists
        update_consistencygroup, or nothing           ``error``
store   the driver's columns of group and volumes     (see ``ask``)
finish  membership, ``available``                     (point of no return)
======  ============================================  ===========================

A volume without a status from the driver keeps its own.

Source: seeds, VolumeConsistencyGroupDriver.update_consistencygroup;
spec/interfaces §5.5.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from taskflow.patterns import linear_flow

from drivers.interface.records import Record
from flows.context import GroupContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidVolume, NotFound
from flows.factories import registered
from flows.group import driver_answers, driver_methods
from flows.group.group_kinds import KINDS, GroupKind
from flows.group.lifecycle import BeginGroupOperation, GroupOperation, StoreGroup, notify, set_group
from flows.lifecycle import Statuses, Step
from flows.statuses import GroupStatus, VolumeStatus

STATUSES = Statuses(
    during=(GroupStatus.UPDATING,),
    success=GroupStatus.AVAILABLE,
    failure={Exception: GroupStatus.ERROR},
)
MEMBERS = Statuses(during=(), failure={Exception: VolumeStatus.ERROR})
"""Of the volumes of both lists; a success leaves their statuses as they are."""

OPERATION = GroupOperation("update", STATUSES, notifies_members=True)

UPDATE = driver_methods.GroupMethod("update_group", "update_consistencygroup")

_JOIN = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)
_LEAVE = (*_JOIN, VolumeStatus.ERROR, VolumeStatus.ERROR_DELETING)


class CheckUpdateGroup(Step, task="check"):
    """Refuse volumes that cannot join or leave. Idempotent: it only reads."""

    bookkeeping = True

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str, add: list[str], remove: list[str]
    ) -> None:
        of = KINDS[kind]
        inside = {volume.id for volume in of.rows(ctx).members(resource_id)}
        for volume in _volumes(ctx, add):
            _require_status(of, resource_id, volume, _JOIN)
            driver_contract.require_on_this_backend(ctx, volume, volume)
            other = volume["group_id" if of.generic else "consistencygroup_id"]
            if other not in (None, resource_id):
                raise InvalidVolume(f"volume {volume.id} is in {kind} {other} already")
        for volume in _volumes(ctx, remove):
            _require_status(of, resource_id, volume, _LEAVE)
            if volume.id not in inside:
                raise InvalidVolume(f"volume {volume.id} is not in {kind} {resource_id}")


class CallUpdateGroup(Step, task="ask"):
    """Have the driver change the group. Idempotent: a driver's calls can be repeated."""

    default_provides = "verdict"

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str, add: list[str], remove: list[str]
    ) -> driver_answers.MemberUpdates:
        of = KINDS[kind]
        group, joins, leaves = (
            of.rows(ctx).get(resource_id),
            _volumes(ctx, add),
            _volumes(ctx, remove),
        )
        answered = driver_methods.call(
            ctx,
            of,
            group,
            UPDATE,
            lambda view: [view.group(group), view.volumes(joins), view.volumes(leaves)],
        )
        if answered is None:
            return driver_answers.NOTHING
        name, answer = answered
        return driver_answers.of_update(answer, group, joins, leaves, name)

    def revert(self, ctx: GroupContext, add: list[str], remove: list[str]) -> None:
        for volume_id in (*add, *remove):
            with contextlib.suppress(NotFound):
                ctx.volumes.update(volume_id, status=MEMBERS.failed)


class FinishUpdateGroup(Step, task="finish"):
    """Write who is in the group. Idempotent: it is written again."""

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str, add: list[str], remove: list[str]
    ) -> None:
        of = KINDS[kind]
        of.rows(ctx).change_members(resource_id, add, remove)
        if set_group(ctx, of, of.rows(ctx).get(resource_id), OPERATION):
            notify(ctx, of, of.rows(ctx).get(resource_id), OPERATION, "end")


@registered
def flow() -> linear_flow.Flow:
    """Change a group. Needs ``kind``, ``resource_id``, and the ids ``add`` and ``remove``."""
    return linear_flow.Flow("update_group").add(
        BeginGroupOperation(OPERATION),
        CheckUpdateGroup(),
        CallUpdateGroup(),
        StoreGroup(),
        FinishUpdateGroup(),
    )


def _volumes(ctx: GroupContext, ids: Sequence[str]) -> list[Record]:
    return [ctx.volumes.get(volume_id) for volume_id in ids]


def _require_status(of: GroupKind, group_id: str, volume: Record, wanted: Sequence[str]) -> None:
    if volume.status not in wanted:
        text = f"volume {volume.id} is {volume.status}, not {' or '.join(wanted)}"
        raise InvalidVolume(f"{of.name} {group_id}: {text}")
