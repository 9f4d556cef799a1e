# SPDX-License-Identifier: Apache-2.0
"""Attach and detach in the manner before attachments had an API of their own.

=========  ========================================  ===============================
task       does                                      undone by
=========  ========================================  ===============================
reserve    checks, makes the attachment              ``error_attaching``, a message
           ``attaching``, notes the mode
tell       driver.attach_volume                      (the driver was only told)
attached   attachment ``attached``, volume           (point of no return)
           ``in-use``
=========  ========================================  ===============================

=========  ========================================  ===============================
task       does                                      undone by
=========  ========================================  ===============================
find       which attachment ends                     ``error_detaching``
untell     driver.detach_volume,                     (what is gone stays gone)
           driver.remove_export
detached   the attachment goes, the volume's status  (point of no return)
           follows from those that are left
=========  ========================================  ===============================

Source: seeds, VolumeDriverCore.attach_volume, detach_volume; spec/volume-rpc,
attach_volume, detach_volume. A volume row keeps its status when this fails.
"""

from __future__ import annotations

import datetime
import re
import uuid
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import RemoveExportException, VolumeBackendAPIException
from drivers.interface.records import Record
from flows import messages
from flows.context import Context
from flows.errors import (
    DriverNotInitialized,
    FlowError,
    InvalidUUID,
    InvalidVolume,
    InvalidVolumeAttachMode,
    Unavailable,
    VolumeAttachmentNotFound,
)
from flows.lifecycle import Step, cause_of, failed_itself

_UNUSABLE = re.compile(r"[^\w.-]")
_MODE = "attached_mode"


class Reserve(Step):
    """Check the volume and make the attachment.

    Idempotent: an attachment of the same instance or host is taken as it is.
    """

    default_provides = "attachment_id"

    def execute(
        self,
        ctx: Context,
        volume_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mode: str,
    ) -> str:
        volume = ctx.volumes.get(volume_id)
        _check_mode(volume, mode)
        host = _sanitized(host_name)
        found = _existing(ctx, volume_id, instance_uuid, host)
        if found is not None and found.attach_status == "attached":
            return str(found.id)
        if volume.status == "in-use" and not volume.multiattach and not volume.migration_status:
            raise InvalidVolume(f"volume {volume_id} is in use and takes one attachment only")
        ctx.notifier.volume(ctx.request, "attach.start", volume)
        if found is None:
            found = ctx.attachments.create(volume_id=volume_id, attach_status="attaching")
        ctx.volumes.set_admin_metadata(volume_id, **{_MODE: mode})
        return str(found.id)

    def revert(
        self, ctx: Context, volume_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if failed_itself(result):
            return
        failure = cause_of(flow_failures)
        ctx.attachments.update(result, attach_status="error_attaching")
        if not failure.check(InvalidUUID):
            ctx.messages.create(
                ctx.request,
                ctx.volumes.get(volume_id),
                action=messages.ATTACH_VOLUME,
                detail=messages.detail_of(failure, messages.ATTACH_FAILED),
            )


class Tell(Step):
    """Check what only shows with an attachment, and tell the driver. Idempotent: it is told."""

    def execute(
        self,
        ctx: Context,
        volume_id: str,
        attachment_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> None:
        if ctx.attachments.get(attachment_id).attach_status == "attached":
            return
        if instance_uuid and not _is_uuid(instance_uuid):
            raise InvalidUUID(f"{instance_uuid!r} is no UUID")
        volume = ctx.volumes.get(volume_id)
        if volume.admin_metadata.get("readonly") == "True" and mode != "ro":
            raise InvalidVolumeAttachMode(f"volume {volume_id} is read-only, not to attach {mode}")
        driver, host = ctx.driver, _sanitized(host_name)
        try:
            driver.attach_volume(ctx.request, volume, instance_uuid, host, mountpoint)
        except Exception as error:
            raise _backend_error("attach_volume", volume_id, error) from error


class Attached(Step):
    """Write that the volume is attached. Idempotent: the same values again."""

    default_provides = "result"

    def execute(
        self,
        ctx: Context,
        volume_id: str,
        attachment_id: str,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
        mode: str,
    ) -> Record:
        if ctx.attachments.get(attachment_id).attach_status != "attached":
            ctx.attachments.update(
                attachment_id,
                mountpoint=mountpoint,
                attached_host=_sanitized(host_name),
                instance_uuid=instance_uuid,
                attach_time=datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
                attach_mode=mode,
                attach_status="attached",
            )
        ctx.attachments.settle_volume(volume_id)
        ctx.notifier.volume(ctx.request, "attach.end", ctx.volumes.get(volume_id))
        return ctx.attachments.get(attachment_id)


class Find(Step):
    """Find the attachment that ends. Idempotent: it only reads.

    None: there is nothing to detach, or the one that was named is gone already.
    """

    default_provides = "found_id"

    def execute(self, ctx: Context, volume_id: str, attachment_id: str | None) -> str | None:
        volume = ctx.volumes.get(volume_id)
        found = _to_detach(ctx, volume_id, attachment_id)
        if found is not None:
            ctx.notifier.volume(ctx.request, "detach.start", volume)
        return found

    def revert(self, ctx: Context, result: Any, flow_failures: dict[str, Failure]) -> None:
        # A failed removal of the export writes nothing: the attachment still is what it was.
        if result and not failed_itself(result) and _not_up(flow_failures):
            ctx.attachments.update(result, attach_status="error_detaching")


class Untell(Step):
    """Tell the driver and take the export away. Idempotent: what is gone is a success."""

    def execute(self, ctx: Context, volume_id: str, found_id: str | None) -> None:
        if found_id is None:
            return
        volume, driver = ctx.volumes.get(volume_id), ctx.driver
        try:
            driver.detach_volume(ctx.request, volume, ctx.attachments.get(found_id))
        except Exception as error:
            raise _backend_error("detach_volume", volume_id, error) from error
        try:
            driver.remove_export(ctx.request.elevated(), volume)
        except Exception as error:
            text = f"remove_export of volume {volume_id} failed: {error}"
            raise RemoveExportException(text) from error


class Detached(Step):
    """Write that the attachment is gone. Idempotent: it stays gone."""

    def execute(self, ctx: Context, volume_id: str, found_id: str | None) -> None:
        if found_id is not None:
            ctx.attachments.destroy(found_id)
            ctx.volumes.pop_admin_metadata(volume_id, _MODE)
        ctx.attachments.settle_volume(volume_id)
        if found_id is not None:
            ctx.notifier.volume(ctx.request, "detach.end", ctx.volumes.get(volume_id))


def attach() -> linear_flow.Flow:
    """Attach a volume.

    Needs ``volume_id``, ``instance_uuid`` or ``host_name``, ``mountpoint`` and ``mode``.
    """
    return linear_flow.Flow("attach_volume").add(Reserve(), Tell(), Attached())


def detach() -> linear_flow.Flow:
    """Detach a volume. Needs ``volume_id`` and ``attachment_id`` (None for the only one)."""
    return linear_flow.Flow("detach_volume").add(Find(), Untell(), Detached())


def _check_mode(volume: Record, mode: str) -> None:
    if volume.status != "attaching":
        return
    noted = volume.admin_metadata.get(_MODE)
    if noted and noted != mode:
        raise InvalidVolume(f"volume {volume.id} is being attached {noted}, not {mode}")


def _existing(
    ctx: Context, volume_id: str, instance_uuid: str | None, host: str | None
) -> Record | None:
    for attachment in ctx.attachments.of_volume(volume_id):
        same_instance = instance_uuid and attachment.instance_uuid == instance_uuid
        same_host = not instance_uuid and host and attachment.attached_host == host
        if same_instance or same_host:
            return attachment
    return None


def _to_detach(ctx: Context, volume_id: str, attachment_id: str | None) -> str | None:
    if attachment_id:
        try:
            return str(ctx.attachments.get(attachment_id).id)
        except VolumeAttachmentNotFound:
            return None
    attachments = ctx.attachments.of_volume(volume_id)
    if len(attachments) > 1:
        text = f"volume {volume_id} has {len(attachments)} attachments: say which one ends"
        raise InvalidVolume(text)
    return str(attachments[0].id) if attachments else None


def _not_up(flow_failures: dict[str, Failure]) -> bool:
    failure = cause_of(flow_failures)
    return failure.check(DriverNotInitialized, VolumeBackendAPIException) is not None


def _sanitized(host: str | None) -> str | None:
    if not host:
        return None
    return _UNUSABLE.sub("", re.sub(r"[ _]", "-", host)).lower().strip(".-")


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


def _backend_error(call: str, volume_id: str, error: Exception) -> Exception:
    if isinstance(error, FlowError | Unavailable):
        return error
    text = f"{call} of volume {volume_id} failed: {type(error).__name__}: {error}"
    return VolumeBackendAPIException(text)
