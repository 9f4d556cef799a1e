# SPDX-License-Identifier: Apache-2.0
"""Detach in the manner before attachments had an API of their own.

=========  ========================================  ===============================
task       does                                      undone by
=========  ========================================  ===============================
find       which attachment ends                     ``error_detaching``
untell     driver.detach_volume; without other       (a detached one stays detached)
           attachments driver.remove_export
detached   the attachment goes, the volume's status  (point of no return)
           follows from those that are left
=========  ========================================  ===============================

An export that could not be removed writes nothing: the attachment stays as it was.

Source: seeds, VolumeDriverCore.detach_volume; spec/volume-rpc, detach_volume.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import RemoveExportException
from drivers.interface.records import Record
from flows.context import ConnectionContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidVolume, VolumeAttachmentNotFound
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, failed_itself
from flows.statuses import AttachStatus, VolumeStatus
from flows.volume.connections import connection
from flows.volume.connections.attach import MODE
from flows.volume.connections.attachment import attachment_of

LOG = logging.getLogger(__name__)

ATTACHMENT = Statuses(
    during=(AttachStatus.ATTACHED, AttachStatus.DETACHING),
    success=AttachStatus.DETACHED,
    failure={Exception: AttachStatus.ERROR_DETACHING},
)
"""An export that could not be removed leaves the status as it is."""


class FindAttachment(Step, task="find"):
    """Find the attachment that ends. Idempotent: it only reads.

    None: there is nothing to detach, or the one that was named is gone already. A resumed call
    that names none may have ended before: the only attachment is another one then, unless
    the volume is still being detached.
    """

    bookkeeping = True

    default_provides = "found_id"

    def execute(
        self, ctx: ConnectionContext, volume_id: str, attachment_id: str | None
    ) -> str | None:
        volume = connection.of_ours(ctx, volume_id)
        if ctx.resumed and not attachment_id and volume.status != VolumeStatus.DETACHING:
            LOG.warning("volume %s is %s, its attachments stay", volume_id, volume.status)
            return None
        found = _to_detach(ctx, volume_id, attachment_id)
        if found is not None:
            ctx.notifier.volume(ctx.request, "detach.start", volume)
        return found

    def revert(
        self, ctx: ConnectionContext, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if not result or failed_itself(result):
            return
        failure = cause_of(flow_failures)
        if not failure.check(RemoveExportException):
            with contextlib.suppress(VolumeAttachmentNotFound):  # it had come as far as that
                ctx.attachments.update(result, attach_status=ATTACHMENT.after(failure))


class NotifyDetached(Step, task="untell"):
    """Notify the driver and remove the export. Idempotent: absence is a success."""

    def execute(self, ctx: ConnectionContext, volume_id: str, found_id: str | None) -> None:
        if found_id is None:
            return
        volume, driver = ctx.volumes.get(volume_id), ctx.driver
        try:
            driver.detach_volume(ctx.request, volume, ctx.attachments.get(found_id))
        except Exception as error:
            raise driver_contract.backend_error("detach_volume", volume_id, error) from error
        _unexport(ctx, volume, found_id)


class FinishDetach(Step, task="detached"):
    """Write that the attachment is gone. Idempotent: it stays gone.

    A service that starts exports volumes with an attachment, so the export that
    was taken away before a kill is taken away once more.
    """

    def execute(self, ctx: ConnectionContext, volume_id: str, found_id: str | None) -> None:
        if found_id is not None:
            if ctx.resumed and _is_live(ctx, found_id):
                _unexport(ctx, ctx.volumes.get(volume_id), found_id)
            ctx.attachments.destroy(found_id)
            ctx.volumes.pop_admin_metadata(volume_id, MODE)
        status = ctx.attachments.settle_volume(volume_id)
        if found_id is not None:
            shown = ctx.volumes.get(volume_id).replace(status=status)
            ctx.notifier.volume(ctx.request, "detach.end", shown)


@registered
def detach() -> linear_flow.Flow:
    """Detach a volume. Needs ``volume_id`` and ``attachment_id`` (None for the only one)."""
    return linear_flow.Flow("detach_volume").add(FindAttachment(), NotifyDetached(), FinishDetach())


def _is_live(ctx: ConnectionContext, attachment_id: str) -> bool:
    """Return whether an attachment is still there; if not, the export may be another's."""
    try:
        ctx.attachments.get(attachment_id)
    except VolumeAttachmentNotFound:
        return False
    return True


def _unexport(ctx: ConnectionContext, volume: Record, attachment_id: str) -> None:
    """Remove the export that an attachment used, unless another one uses it."""
    _ = ctx.driver
    try:
        connection.unexport(ctx, volume, besides=attachment_id)
    except Exception as error:
        text = f"the export of volume {volume.id} is still there: {driver_contract.masked(error)}"
        raise RemoveExportException(text) from error


def _to_detach(ctx: ConnectionContext, volume_id: str, attachment_id: str | None) -> str | None:
    if attachment_id:
        try:
            return str(attachment_of(ctx, volume_id, attachment_id).id)
        except VolumeAttachmentNotFound:
            return None
    attachments = ctx.attachments.of_volume(volume_id)
    if len(attachments) > 1:
        text = f"volume {volume_id} has {len(attachments)} attachments: say which one ends"
        raise InvalidVolume(text)
    return str(attachments[0].id) if attachments else None
