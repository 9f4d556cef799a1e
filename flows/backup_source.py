# SPDX-License-Identifier: Apache-2.0
"""What a backup is read from: a volume or a snapshot, ``backing-up`` meanwhile.

Both services end a backup that failed: whoever notices it gives the source back and
writes the backup's ``error`` (spec/backup-rpc §2, A).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import messages
from flows.context import Common
from flows.errors import NotFound, StatusChanged
from flows.lifecycle import reason

LOG = logging.getLogger(__name__)

MESSAGE_TYPE = "VOLUME_BACKUP"
REASON_MOST = 255
"""Characters of ``fail_reason``."""

_BUSY = ("backing-up",)
_USABLE = ("available", "in-use")

FAILED, DONE = "error_backing-up", "backing-up"
"""What a volume's ``previous_status`` becomes."""


def release(ctx: Common, backup: Record, previous: str) -> None:
    """Give the snapshot, or else the volume, the status that it had.

    :param previous: :data:`FAILED` or :data:`DONE`.
    """
    if backup.snapshot_id:
        change(ctx.snapshots.transition, backup.snapshot_id, "available")
        return
    try:
        volume = ctx.volumes.get(backup.volume_id)
    except NotFound:
        return
    if volume.status not in _BUSY:
        return
    if others := [one for one in ctx.backups.being_made_of(volume.id) if one != backup.id]:
        LOG.info("volume %s is being read for backup %s by now", volume.id, others[0])
        return
    status = volume.previous_status
    if status not in _USABLE:
        status = "in-use" if volume.volume_attachment else "available"
    change(ctx.volumes.transition, volume.id, status, previous_status=previous)


def give_up(
    ctx: Common,
    backup: Record,
    failure: Failure,
    detail: str,
    when: Collection[str],
) -> None:
    """End a backup that failed: the source is as before, the backup has an ``error``.

    The backup comes last: killed before, all of it is done again.

    :param detail: of the message for the user, unless the error says more.
    """
    if backup.status in when:
        tell(ctx, backup, messages.CREATE_BACKUP, failure, detail)
    release(ctx, backup, FAILED)
    set_failed(ctx, backup, failure, when)


def set_failed(
    ctx: Common, backup: Record, failure: Failure, when: Collection[str], status: str = "error"
) -> None:
    """Write a backup's failure status, with the reason."""
    change(
        ctx.backups.transition,
        backup.id,
        status,
        when=when,
        fail_reason=reason(failure)[:REASON_MOST],
    )


def tell(ctx: Common, resource: Record, action: str, failure: Failure, detail: str) -> None:
    """Write the message for the user."""
    ctx.messages.create(
        ctx.request,
        resource,
        action=action,
        detail=messages.detail_of(action, failure, detail),
        resource_type=MESSAGE_TYPE,
    )


def warn(ctx: Common, resource: Record, action: str, detail: str) -> None:
    """Write a message about what went otherwise than the user asked for."""
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


def change(
    write: Callable[..., None],
    row_id: str,
    status: str,
    *,
    when: Collection[str] = _BUSY,
    **columns: Any,
) -> bool:
    """Write a status; what has moved on meanwhile is somebody else's."""
    try:
        write(row_id, status, when=tuple(when), **columns)
    except (StatusChanged, NotFound) as error:
        LOG.info("%s: left as it is", error)
        return False
    return True
