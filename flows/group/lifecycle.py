# SPDX-License-Identifier: Apache-2.0
"""First and last step of an operation on a group, or on a snapshot of one.

The first step's revert runs last: it gives the group its failure status, and
``error`` to each member that the operation has left in the status from which it
started, so that none hangs. Statuses of members that a driver has returned stay.

Source: seeds, VolumeConsistencyGroupDriver; spec/interfaces §5.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import GroupContext
from flows.driver_calls import driver_contract
from flows.errors import (
    DriverReturnedRubbish,
    InvalidInput,
    NotFound,
    PartlyFailed,
    StatusChanged,
)
from flows.group.driver_answers import MemberUpdates
from flows.group.group_kinds import KINDS, GroupKind
from flows.lifecycle import Statuses, Step, cause_of, was_refused

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupOperation:
    """The properties of an operation.

    :param event: notified as ``<kind>.<event>.start`` and ``.end``.
    :param members: statuses of members while it runs, and after its failure; none
        where it is not about the members.
    :param notifies_members: whether each of them is notified of as well.
    """

    event: str
    statuses: Statuses
    members: Statuses = field(default_factory=lambda: Statuses(()))
    notifies_members: bool = False


class BeginGroupOperation(Step):
    """Check the status of the row, and whether it is on this backend.

    Idempotent: it only reads. When it refuses, the operation does not own the row,
    and writes nothing.
    """

    bookkeeping = True

    def __init__(self, operation: GroupOperation) -> None:
        super().__init__("begin")
        self._operation = operation

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the row in a status of the operation."""
        return Claim(
            str(args["kind"]),
            str(args["resource_id"]),
            self._operation.statuses.during,
            unmarked=self._operation.statuses.unmarked,
        )

    def execute(self, ctx: GroupContext, kind: str, resource_id: str) -> None:
        of, during = KINDS[kind], self._operation.statuses.during
        record = of.rows(ctx).get(resource_id)
        driver_contract.require_on_this_backend(ctx, record, of.group_of(record))
        if record.status not in during:
            raise StatusChanged(f"{kind} {resource_id}", record.status, during)
        self.accepted(ctx, of, record)
        notify(ctx, of, record, self._operation, "start")

    def accepted(self, ctx: GroupContext, of: GroupKind, record: Record) -> None:
        """Write columns of a row that is found to be this backend's; none by default."""

    def reopen(self, ctx: GroupContext, args: Mapping[str, Any]) -> None:
        """Set the statuses of the row and of its members back."""
        of, operation = KINDS[args["kind"]], self._operation
        if not operation.members.during:
            text = f"{of.name} {args['resource_id']}: the former statuses of its members are lost"
            raise InvalidInput(f"{text}; ask for it again")
        record = of.rows(ctx).get(args["resource_id"])
        driver_contract.require_on_this_backend(ctx, record, of.group_of(record))
        if record.status not in operation.statuses.during:
            statuses = operation.statuses
            of.rows(ctx).transition(record.id, statuses.during[0], when=statuses.failures)
        for member in of.rows(ctx).members(record.id):
            if member.status in operation.members.failures:
                set_member(
                    ctx, of, member, (member.status,), operation.members.during[0], done=False
                )

    def revert(
        self,
        ctx: GroupContext,
        kind: str,
        resource_id: str,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        of, operation = KINDS[kind], self._operation
        if began_elsewhere(ctx, of, resource_id, result):
            return
        failure = cause_of(flow_failures)
        rows = of.rows(ctx)
        for member in rows.members(resource_id) if operation.members.during else ():
            status = operation.members.after(failure)
            set_member(ctx, of, member, operation.members.during, status)
        status = operation.statuses.after(failure)
        try:
            rows.transition(resource_id, status, when=operation.statuses.during)
        except (StatusChanged, NotFound) as error:
            LOG.warning("%s %s is left as it is: %s", kind, resource_id, error)


def began_elsewhere(ctx: GroupContext, of: GroupKind, resource_id: str, result: Any) -> bool:
    """Return whether the first step has not accepted a row, see ``belongs_elsewhere``."""
    try:
        group = of.group_of(of.rows(ctx).get(resource_id))
    except NotFound:
        return was_refused(result)
    return driver_contract.belongs_elsewhere(ctx, result, group)


class StoreGroup(Step):
    """Write the driver's columns of the group and its members.

    Idempotent: the same columns are written again. Statuses of members are
    written all together or not at all.

    :param fails: whether this step fails where the driver reported errors.
    """

    def __init__(self, *, fails: bool = True) -> None:
        super().__init__("store")
        self._fails = fails

    def execute(
        self, ctx: GroupContext, kind: str, resource_id: str, verdict: MemberUpdates
    ) -> None:
        rows, entries = KINDS[kind].rows(ctx), verdict["entries"]
        try:
            if entries:
                rows.update_members(resource_id, entries)
            if not verdict["failed"]:
                rows.update(resource_id, **verdict["columns"])
        except ValueError as error:
            text = f"the driver's update of {kind} {resource_id}: {error}"
            raise DriverReturnedRubbish(text) from error
        if verdict["failed"] and self._fails:
            raise partly_failed(kind, resource_id, verdict)


def partly_failed(
    kind: str, resource_id: str, verdict: MemberUpdates, more: Iterable[str] = ()
) -> PartlyFailed:
    """Return the error that names the failed members."""
    failed = [f"{e['id']} {e['status']}" for e in verdict["entries"] if "status" in e]
    text = "; ".join([*failed, *more]) or "the driver says so"
    return PartlyFailed(f"{kind} {resource_id} failed: {text}")


def usable(members: Iterable[Record], verdict: MemberUpdates) -> list[Record]:
    """Return the members that become available."""
    return [one for one in members if not verdict["failed"] or one.id in verdict["usable"]]


def set_member(
    ctx: GroupContext,
    of: GroupKind,
    member: Record,
    when: Iterable[str],
    status: str,
    *,
    done: bool = True,
    **columns: Any,
) -> bool:
    """Write a member's status and say whether it took; one that moved on is left."""
    try:
        of.member_rows(ctx).transition(member.id, status, when=tuple(when), done=done, **columns)
    except (StatusChanged, NotFound) as error:
        LOG.info("%s %s is left as it is: %s", member.kind, member.id, error)
        return False
    return True


def set_group(
    ctx: GroupContext, of: GroupKind, record: Record, operation: GroupOperation, **columns: Any
) -> bool:
    """Write the final status of a success and say whether it took."""
    statuses = operation.statuses
    try:
        of.rows(ctx).transition(record.id, statuses.done, when=statuses.during, **columns)
    except (StatusChanged, NotFound) as error:
        LOG.warning("%s %s is left as it is: %s", of.name, record.id, error)
        return False
    return True


def notify(
    ctx: GroupContext, of: GroupKind, record: Record, operation: GroupOperation, phase: str
) -> None:
    """Notify of the group, and of its members where the operation does.

    :param phase: ``start`` or ``end``.
    """
    event = f"{operation.event}.{phase}"
    ctx.notifier.group(ctx.request, event, record)
    if operation.notifies_members:
        for member in of.rows(ctx).members(record.id):
            notify_member(ctx, event, member)


def notify_member(ctx: GroupContext, event: str, member: Record) -> None:
    """Notify of a volume or a snapshot."""
    if member.use_quota:
        send = ctx.notifier.snapshot if member.kind == "snapshot" else ctx.notifier.volume
        send(ctx.request, event, member)


def members_are_written(flow_failures: Mapping[str, Failure]) -> bool:
    """Return whether the members' statuses are written already."""
    return any(failure.check(PartlyFailed) for failure in flow_failures.values())
