# SPDX-License-Identifier: Apache-2.0
"""Start and stop the replication of a group, and fail it over to another target.

======  ============================================  ===========================
task    does                                          undone by
======  ============================================  ===========================
begin   checks that it is here and that its           group ``error``, replication
        replication is ``enabling``, ``disabling``    ``error``; each volume of
        or ``failing-over``                           without a reported one: both
                                                      as well, or the latter alone
                                                      where it was refused
check   the same of each volume; a failover refuses   (nothing was changed)
        volumes in use, unless they are allowed
ask     driver.enable_replication,                    (the driver answers for it)
        disable_replication, failover_replication
store   the driver's columns of group and volumes;    (statuses stay)
        a replication in ``error`` among it fails
        the operation
finish  replication of all: ``enabled``,              (point of no return)
        ``disabled``, ``failed-over``; ``enabled``
        where a failover came back to ``default``
======  ============================================  ===========================

Source: spec/volume-rpc, enable_replication, disable_replication, failover_replication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import VolumeDriverException
from flows.claims import Claim
from flows.context import GroupContext
from flows.driver_calls import driver_contract
from flows.errors import Invalid, InvalidGroup, InvalidInput, InvalidVolume, NotFound, StatusChanged
from flows.factories import registered
from flows.group import driver_answers
from flows.group.group_kinds import KINDS
from flows.group.lifecycle import LOG, GroupOperation, StoreGroup, began_elsewhere, notify
from flows.lifecycle import Statuses, Step, cause_of
from flows.replication_statuses import BACK
from flows.statuses import GroupStatus, ReplicationStatus, VolumeStatus

GROUP = KINDS["group"]

_REPLICATION = "replication_status"


@dataclass(frozen=True)
class ReplicationChange:
    """One of the three operations.

    :param call: the driver's method, which is the name in notifications as well.
    :param replication: replication statuses of the group and of its volumes.
    """

    call: str
    replication: Statuses

    @property
    def during(self) -> str:
        """The replication status on arrival."""
        return self.replication.during[0]

    @property
    def operation(self) -> GroupOperation:
        """The event of the notification."""
        return GroupOperation(self.call, Statuses(()), notifies_members=True)


_FAILURE: Mapping[type[BaseException], str] = {Exception: ReplicationStatus.ERROR}
ENABLE = ReplicationChange(
    "enable_replication",
    Statuses((ReplicationStatus.ENABLING,), ReplicationStatus.ENABLED, _FAILURE),
)
DISABLE = ReplicationChange(
    "disable_replication",
    Statuses((ReplicationStatus.DISABLING,), ReplicationStatus.DISABLED, _FAILURE),
)
FAILOVER = ReplicationChange(
    "failover_replication",
    Statuses((ReplicationStatus.FAILING_OVER,), ReplicationStatus.FAILED_OVER, _FAILURE),
)
STATUSES = Statuses(during=(), failure={Exception: GroupStatus.ERROR})
"""Of the group itself: a success leaves its status as it is."""

MEMBERS = Statuses(during=(), failure={Exception: VolumeStatus.ERROR})
"""Of its volumes, unless the operation was refused."""


class _ReplicationStep(Step):
    """A step of one of the three."""

    def __init__(self, change: ReplicationChange) -> None:
        super().__init__()
        self._change = change


class BeginReplicateGroup(_ReplicationStep, task="begin"):
    """Check the group; a failure of a later step ends here.

    Idempotent: it only reads. When it refuses, nothing is written.
    """

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the group while its replication changes."""
        return Claim(
            "group", str(args["resource_id"]), self._change.replication.during, _REPLICATION
        )

    def execute(self, ctx: GroupContext, resource_id: str) -> None:
        group, during = GROUP.rows(ctx).get(resource_id), self._change.during
        driver_contract.require_on_this_backend(ctx, group, group)
        if group.replication_status != during:
            text = f"its replication is {group.replication_status}, not {during}"
            raise InvalidGroup(f"group {resource_id}: {text}")
        notify(ctx, GROUP, group, self._change.operation, "start")

    def reopen(self, ctx: GroupContext, args: Mapping[str, Any]) -> None:
        """Refuse: the former statuses of group and volumes are not known any more."""
        raise InvalidInput(f"group {args['resource_id']}: ask for its replication again")

    def revert(
        self, ctx: GroupContext, resource_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if began_elsewhere(ctx, GROUP, resource_id, result):
            return
        failure = cause_of(flow_failures)
        refused = failure.check(Invalid)
        try:
            GROUP.rows(ctx).set_replication(
                resource_id,
                self._change.replication.after(failure),
                when=self._change.during,
                status=STATUSES.after(failure),
                members_status=None if refused else MEMBERS.after(failure),
            )
        except (StatusChanged, NotFound) as error:
            LOG.warning("group %s is left as it is: %s", resource_id, error)


class CheckReplication(_ReplicationStep, task="check"):
    """Refuse a group that must not be changed now. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: GroupContext, resource_id: str, allow_attached: bool) -> None:
        during = self._change.during
        for volume in GROUP.rows(ctx).members(resource_id):
            text = f"group {resource_id}: volume {volume.id}"
            if volume.status == VolumeStatus.IN_USE and not allow_attached:
                raise InvalidVolume(f"{text} is in use: detach it, or allow attached volumes")
            if volume.replication_status != during:
                found = volume.replication_status
                raise InvalidVolume(f"{text}: its replication is {found}, not {during}")


class CallReplicateGroup(_ReplicationStep, task="ask"):
    """Have the driver do it. Idempotent: a driver's calls can be repeated."""

    default_provides = "verdict"

    def execute(
        self, ctx: GroupContext, resource_id: str, targets: list[str | None]
    ) -> driver_answers.MemberUpdates:
        rows, call = GROUP.rows(ctx), self._change.call
        group, members = rows.get(resource_id), rows.members(resource_id)
        try:
            answer = getattr(ctx.driver, call)(ctx.request, group, members, *targets)
        except NotImplementedError as error:
            text = f"group {resource_id}: the driver has no {call}"
            raise VolumeDriverException(text) from error
        return driver_answers.of_replication(answer, group, members, call)


class FinishReplicateGroup(_ReplicationStep, task="finish"):
    """Write the statuses of all of them. Idempotent: it is written again."""

    bookkeeping = True

    def execute(self, ctx: GroupContext, resource_id: str, targets: list[str | None]) -> None:
        rows, change = GROUP.rows(ctx), self._change
        to = (ENABLE if targets == [BACK] else change).replication.done
        try:
            rows.set_replication(resource_id, to, when=change.during)
            notify(ctx, GROUP, rows.get(resource_id), change.operation, "end")
        except (StatusChanged, NotFound) as error:
            LOG.warning("group %s is left as it is: %s", resource_id, error)


@registered
def enable() -> linear_flow.Flow:
    """Replicate a group. Needs the arguments of :func:`failover`, without a target."""
    return _flow(ENABLE)


@registered
def disable() -> linear_flow.Flow:
    """Stop replicating a group. Needs the arguments of :func:`failover`, without a target."""
    return _flow(DISABLE)


@registered
def failover() -> linear_flow.Flow:
    """Fail a group over to another target.

    Needs ``kind`` and ``resource_id`` of the group, whether volumes in use are allowed
    (``allow_attached``), and ``targets``: a list of the target, which may be None.
    """
    return _flow(FAILOVER)


def _flow(change: ReplicationChange) -> linear_flow.Flow:
    return linear_flow.Flow(change.call).add(
        BeginReplicateGroup(change),
        CheckReplication(change),
        CallReplicateGroup(change),
        StoreGroup(),
        FinishReplicateGroup(change),
    )
