# SPDX-License-Identifier: Apache-2.0
"""Source of a backup: a volume or a snapshot, ``backing-up`` meanwhile.

Both services end a backup that failed: the first to notice it releases the source and
writes the backup's ``error`` (spec/backup-rpc §2, A).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypedDict

from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import messages
from flows.context import OperationContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, StatusChanged
from flows.lifecycle import Statuses, reason
from flows.statuses import SnapshotStatus, VolumeStatus
from flows.volume.lifecycle import IDLE

LOG = logging.getLogger(__name__)

MESSAGE_TYPE = "VOLUME_BACKUP"
REASON_MOST = 255
"""Characters of ``fail_reason``."""

VOLUME = Statuses(during=(VolumeStatus.BACKING_UP,))
"""Success and failure give back the status that the volume had before."""

SNAPSHOT = Statuses(
    during=(SnapshotStatus.BACKING_UP,),
    success=SnapshotStatus.AVAILABLE,
    failure={Exception: SnapshotStatus.AVAILABLE},
)

FAILED, DONE = VolumeStatus.ERROR_BACKING_UP, VolumeStatus.BACKING_UP
"""``previous_status`` of the volume after a failure, and after a success."""


class BackupDevice(TypedDict):
    """The source that the volume service chose, as messages and the journal name it.

    ``secure``: whether its files belong to the service's user.
    """

    kind: Literal["volume", "snapshot"]
    id: str
    secure: bool


def require_on_this_host(ctx: OperationContext, backup: Record) -> None:
    """Refuse a backup that another host was asked for, as the API writes the host into the row.

    :raises Invalid: names both hosts.
    """
    if backup.host is not None:
        driver_contract.require_on_this_backend(ctx, backup, backup)


def began_elsewhere(ctx: OperationContext, backup: Record, result: Any) -> bool:
    """Return whether the first step has not accepted a backup, see ``belongs_elsewhere``."""
    return driver_contract.belongs_elsewhere(ctx, result, backup)


def release(ctx: OperationContext, backup: Record, previous: str) -> None:
    """Give the snapshot, or else the volume, the status that it had.

    :param previous: :data:`FAILED` or :data:`DONE`.
    """
    if backup.snapshot_id:
        set_status(
            ctx.snapshots.transition, backup.snapshot_id, SNAPSHOT.done, when=SNAPSHOT.during
        )
        return
    try:
        volume = ctx.volumes.get(backup.volume_id)
    except NotFound:
        return
    if volume.status not in VOLUME.during:
        return
    if others := [one for one in ctx.backups.being_made_of(volume.id) if one != backup.id]:
        LOG.info("volume %s is being read for backup %s by now", volume.id, others[0])
        return
    status = volume.previous_status
    if status not in IDLE.values():
        status = IDLE[bool(volume.volume_attachment)]
    columns = {"previous_status": previous}
    set_status(ctx.volumes.transition, volume.id, status, when=VOLUME.during, **columns)


def fail(
    ctx: OperationContext,
    backup: Record,
    failure: Failure,
    detail: str,
    statuses: Statuses,
    when: Collection[str] | None = None,
) -> None:
    """End a backup that failed: the source is as before, the backup has an ``error``.

    The backup comes last: killed before, all of it is done again.

    :param detail: of the message for the user, unless the error says more.
    :param when: statuses over which the failure is written, unless those of the operation.
    """
    if backup.status in (statuses.during if when is None else when):
        write_message(ctx, backup, messages.CREATE_BACKUP, failure, detail)
    release(ctx, backup, FAILED)
    set_failed(ctx, backup, failure, statuses, when)


def set_failed(
    ctx: OperationContext,
    backup: Record,
    failure: Failure,
    statuses: Statuses,
    when: Collection[str] | None = None,
    tasks: Collection[str] = (),
) -> None:
    """Write a backup's failure status, with the reason.

    :param when: statuses over which it is written, unless those of the operation.
    :param tasks: names of the tasks that failed.
    """
    set_status(
        ctx.backups.transition,
        backup.id,
        statuses.after(failure, tasks),
        when=statuses.during if when is None else when,
        fail_reason=reason(failure)[:REASON_MOST],
    )


def write_message(
    ctx: OperationContext, resource: Record, action: str, failure: Failure, detail: str
) -> None:
    """Write the message for the user."""
    ctx.messages.create(
        ctx.request,
        resource,
        action=action,
        detail=messages.detail_of(action, failure, detail),
        resource_type=MESSAGE_TYPE,
    )


def write_warning(ctx: OperationContext, resource: Record, action: str, detail: str) -> None:
    """Write a message about a failure for the user."""
    ctx.messages.create(
        ctx.request,
        resource,
        action=action,
        detail=detail,
        resource_type=MESSAGE_TYPE,
        level=messages.WARNING,
    )


def detail_by_step(failures: Mapping[str, Failure], details: Mapping[str, str]) -> str:
    """Return the detail of the step that failed."""
    for step in failures:
        if step in details:
            return details[step]
    return messages.UNKNOWN_ERROR


def set_status(
    write: Callable[..., None],
    row_id: str,
    status: str,
    *,
    when: Collection[str],
    **columns: Any,
) -> bool:
    """Write a status; a row that has moved on meanwhile is left alone."""
    try:
        write(row_id, status, when=tuple(when), **columns)
    except (StatusChanged, NotFound) as error:
        LOG.info("%s: left as it is", error)
        return False
    return True
