# SPDX-License-Identifier: Apache-2.0
"""Attach in the manner before attachments had an API of their own.

=========  ========================================  ===============================
task       does                                      undone by
=========  ========================================  ===============================
reserve    checks, makes the attachment              ``error_attaching``, a message
           ``attaching``, notes the mode
tell       driver.attach_volume                      (the driver was only notified)
attached   attachment ``attached``, volume           (point of no return)
           ``in-use``
=========  ========================================  ===============================

The volume's row keeps its status when this fails.

Source: seeds, VolumeDriverCore.attach_volume; spec/volume-rpc, attach_volume.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from oslo_utils import timeutils
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import messages
from flows.claims import Claim
from flows.context import ConnectionContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidUUID, InvalidVolume, InvalidVolumeAttachMode
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, failed_itself
from flows.statuses import AttachStatus, VolumeStatus
from flows.volume.connections import connection

ATTACHMENT = Statuses(
    during=(AttachStatus.ATTACHING,),
    success=AttachStatus.ATTACHED,
    failure={Exception: AttachStatus.ERROR_ATTACHING},
)

CLAIMED = (VolumeStatus.ATTACHING,)
"""Statuses of a volume that is being attached."""

MODE = "attached_mode"
"""Key of the admin metadata that notes how the volume is attached."""

_UNUSABLE = re.compile(r"[^\w.-]")


class ReserveAttachment(Step, task="reserve"):
    """Check the volume and make the attachment.

    Idempotent: an attachment of the same instance or host is taken as it is.
    """

    bookkeeping = True

    default_provides = "attachment_id"

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the volume while it is being attached."""
        return Claim("volume", str(args["volume_id"]), CLAIMED, unmarked=True)

    def execute(
        self,
        ctx: ConnectionContext,
        volume_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mode: str,
    ) -> str:
        volume = connection.of_ours(ctx, volume_id)
        _check_mode(volume, mode)
        instance, host = _instance(instance_uuid), sanitized(host_name)
        found = _existing(ctx, volume_id, instance, host)
        if found is not None and found.attach_status == ATTACHMENT.success:
            return str(found.id)
        if (
            volume.status == VolumeStatus.IN_USE
            and not volume.multiattach
            and not volume.migration_status
        ):
            raise InvalidVolume(f"volume {volume_id} is in use and takes one attachment only")
        ctx.notifier.volume(ctx.request, "attach.start", volume)
        if found is None:
            found = ctx.attachments.create(
                volume_id=volume_id,
                instance_uuid=instance,
                attached_host=host,
                attach_status=ATTACHMENT.during[0],
            )
        ctx.volumes.set_admin_metadata(volume_id, **{MODE: mode})
        return str(found.id)

    def revert(
        self, ctx: ConnectionContext, volume_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if failed_itself(result):
            return
        if ctx.attachments.get(result).attach_status == ATTACHMENT.success:
            return
        failure, action = cause_of(flow_failures), messages.ATTACH_VOLUME
        ctx.attachments.update(result, attach_status=ATTACHMENT.after(failure))
        if failure.check(InvalidUUID):
            return
        detail = messages.detail_of(action, failure, messages.ATTACH_FAILED)
        ctx.messages.create(ctx.request, ctx.volumes.get(volume_id), action=action, detail=detail)


class NotifyAttached(Step, task="tell"):
    """Check rules that need the attachment, and notify the driver. Idempotent: it may repeat."""

    def execute(
        self,
        ctx: ConnectionContext,
        volume_id: str,
        attachment_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> None:
        if ctx.attachments.get(attachment_id).attach_status == ATTACHMENT.success:
            return
        if instance_uuid and _instance(instance_uuid) is None:
            raise InvalidUUID(f"{str(instance_uuid)[:40]!r} is no UUID")
        volume = ctx.volumes.get(volume_id)
        if volume.admin_metadata.get("readonly") == "True" and mode != "ro":
            raise InvalidVolumeAttachMode(f"volume {volume_id} is read-only, not to attach {mode}")
        driver, host = ctx.driver, sanitized(host_name)
        try:
            driver.attach_volume(ctx.request, volume, instance_uuid, host, mountpoint)
        except Exception as error:
            raise driver_contract.backend_error("attach_volume", volume_id, error) from error


class FinishAttach(Step, task="attached"):
    """Write that the volume is attached. Idempotent: the same values again."""

    bookkeeping = True

    default_provides = "result"

    def execute(
        self,
        ctx: ConnectionContext,
        volume_id: str,
        attachment_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> Record:
        before = ctx.attachments.get(attachment_id)
        if before.attach_status != ATTACHMENT.success:
            ctx.attachments.update(
                attachment_id,
                mountpoint=mountpoint,
                attached_host=sanitized(host_name),
                instance_uuid=instance_uuid,
                attach_time=timeutils.utcnow(),
                attach_mode=mode,
                attach_status=ATTACHMENT.done,
            )
        status = ctx.attachments.settle_volume(volume_id)
        if before.attach_status != ATTACHMENT.success or ctx.resumed:
            volume = ctx.volumes.get(volume_id)
            shown = volume.replace(status=status, attach_status=ATTACHMENT.done)
            ctx.notifier.volume(ctx.request, "attach.end", shown)
        return ctx.attachments.get(attachment_id)


@registered
def attach() -> linear_flow.Flow:
    """Attach a volume.

    Needs ``volume_id``, ``instance_uuid`` or ``host_name``, ``mountpoint`` and ``mode``.
    """
    return linear_flow.Flow("attach_volume").add(
        ReserveAttachment(), NotifyAttached(), FinishAttach()
    )


def sanitized(host: str | None) -> str | None:
    """Return a host's name as it is stored."""
    if not host:
        return None
    return _UNUSABLE.sub("", re.sub(r"[ _]", "-", str(host))).lower().strip(".-")


def _check_mode(volume: Record, mode: str) -> None:
    if volume.status != VolumeStatus.ATTACHING:
        return
    noted = volume.admin_metadata.get(MODE)
    if noted and noted != mode:
        raise InvalidVolume(f"volume {volume.id} is being attached {noted}, not {mode}")


def _existing(
    ctx: ConnectionContext, volume_id: str, instance: str | None, host: str | None
) -> Record | None:
    for attachment in ctx.attachments.of_volume(volume_id):
        same_instance = instance and attachment.instance_uuid == instance
        same_host = not instance and host and attachment.attached_host == host
        if same_instance or same_host:
            return attachment
    return None


def _instance(text: str | None) -> str | None:
    """Return the instance's id; None where there is none, or no UUID."""
    try:
        uuid.UUID(str(text))
    except ValueError:
        return None
    return str(text)
