# SPDX-License-Identifier: Apache-2.0
"""An operation on a group that the driver does not have, member by member.

The result of each is reported as a driver would: by the members' statuses. One that
fails does not keep the others. Source: spec/interfaces §5.9, the last row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.interface.errors import ResourceBusy
from drivers.interface.records import Record
from flows.context import GroupContext
from flows.driver_calls import driver_contract, parallel
from flows.group.driver_answers import MemberUpdates, verdict
from flows.lifecycle import Statuses
from flows.statuses import VolumeStatus
from flows.volume.create import clone

CREATE = Statuses(
    during=(VolumeStatus.CREATING,),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR},
)
DELETE = Statuses(
    during=(VolumeStatus.DELETING,),
    success=VolumeStatus.DELETED,
    failure={ResourceBusy: VolumeStatus.AVAILABLE, BaseException: VolumeStatus.ERROR},
)
"""Both hold for members of either kind: snapshots have these statuses as well."""


def delete_volumes(ctx: GroupContext, volumes: Sequence[Record]) -> MemberUpdates:
    """Take volumes off the backend; one that is busy becomes ``available`` again."""
    admin = ctx.request.elevated()

    def delete(volume: Record) -> None:
        ctx.driver.remove_export(admin, volume)
        ctx.driver.delete_volume(volume)

    return _deleted(parallel.each(ctx, volumes, "delete_volume", delete))


def delete_snapshots(ctx: GroupContext, snapshots: Sequence[Record]) -> MemberUpdates:
    """Take snapshots off the backend; one that is busy becomes ``available`` again."""
    delete = ctx.driver.delete_snapshot
    return _deleted(parallel.each(ctx, snapshots, "delete_snapshot", delete))


def create_snapshots(ctx: GroupContext, snapshots: Sequence[Record]) -> MemberUpdates:
    """Make snapshots, each of its own moment."""

    def create(snapshot: Record) -> Mapping[str, Any]:
        with _cleared(ctx.driver.delete_snapshot, snapshot):
            answer = ctx.driver.create_snapshot(snapshot)
            return driver_contract.model_update(answer, snapshot, "create_snapshot")

    return _made(parallel.each(ctx, snapshots, "create_snapshot", create))


def create_volumes(
    ctx: GroupContext, volumes: Sequence[Record], sources: Mapping[str, Record]
) -> MemberUpdates:
    """Make volumes of snapshots or other volumes.

    :param sources: by the id of the volume that is made of it.
    """

    def create(volume: Record) -> Mapping[str, Any]:
        source = sources[volume.id]
        with _cleared(ctx.driver.delete_volume, volume):
            if source.kind == "snapshot":
                call = "create_volume_from_snapshot"
                answer: Any = ctx.driver.create_volume_from_snapshot(volume, source)
            else:
                call, answer = clone(ctx, volume, source)
            return driver_contract.model_update(answer, volume, call)

    return _made(parallel.each(ctx, volumes, "creation", create))


@contextlib.contextmanager
def _cleared(delete: Callable[[Record], Any], member: Record) -> Any:
    """Leave nothing of a member that could not be made."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            delete(member)
        raise


def _made(outcomes: Sequence[parallel.MemberOutcome]) -> MemberUpdates:
    entries = [
        {"id": member.id, "status": CREATE.done, **update}
        if error is None
        else {"id": member.id, "status": CREATE.failed}
        for member, update, error in outcomes
    ]
    return verdict({}, None, entries, deletes=False)


def _deleted(outcomes: Sequence[parallel.MemberOutcome]) -> MemberUpdates:
    entries = [{"id": member.id, "status": _status_after(error)} for member, _, error in outcomes]
    return verdict({}, None, entries, deletes=True)


def _status_after(error: BaseException | None) -> str:
    if error is None:
        return DELETE.done
    return next(status for kind, status in DELETE.failure.items() if isinstance(error, kind))
