# SPDX-License-Identifier: Apache-2.0
"""Connect and disconnect an attachment.

=========  ========================================  =========================
task       does                                      undone by
=========  ========================================  =========================
check      the attachment is of this volume;         (nothing was changed)
           driver.validate_connector
export     driver.create_export                      driver.remove_export, unless
                                                     an attachment uses it
tell       driver.attach_volume                      driver.detach_volume, unless it
                                                     was connected before
connect    driver.initialize_connection, saves       driver.terminate_connection,
           the initiator's data; attachment and      the attachment as it was
           volume ``attaching``
=========  ========================================  =========================

The journal keeps the result of a step until the next one ends. The result of ``connect``
has secrets of the connection in it, so it is the last step, and the driver is notified
before. No message follows when an instance has attached the volume: the API completes an
attachment without the service.

Ending one writes no row: the API destroys the attachment.

Source: spec/volume-rpc, attachment_update, attachment_delete.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from oslo_utils import timeutils
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import ConnectionContext
from flows.driver_calls import connectors, driver_contract
from flows.errors import InvalidInput, RunInterrupted, Unavailable
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_interrupted
from flows.statuses import AttachStatus
from flows.volume.connections import connection

LOG = logging.getLogger(__name__)

ATTACHMENT = Statuses(during=(AttachStatus.RESERVED,), success=AttachStatus.ATTACHING)
"""A failure of the driver leaves the status as it is; the API completes the attachment."""

CLAIMED = (*ATTACHMENT.during, ATTACHMENT.done)
"""Statuses of an attachment that no instance uses yet."""

_NO_MOUNTPOINT = "na"
"""Mountpoint of an attachment whose connector has none, as Cinder writes it."""

_WRITTEN = ("attach_status", "connector", "attached_host", "mountpoint", "attach_mode")
"""Columns of an attachment that a connection writes, besides the time."""


class CheckAttachment(connection.CheckConnector, task="check"):
    """Check attachment, volume and connector. Idempotent: it only reads."""

    bookkeeping = True

    default_provides = ("wanted", "former")

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the attachment until it is in use."""
        attachment_id = str(args["attachment_id"])
        return Claim(
            "attachment", attachment_id, CLAIMED, "attach_status", unmarked=True, status_stays=True
        )

    def execute(  # type: ignore[override]
        self, ctx: ConnectionContext, volume_id: str, connector: Any, attachment_id: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        attachment = attachment_of(ctx, volume_id, attachment_id)
        super().execute(ctx=ctx, volume_id=volume_id, connector=connector)
        ctx.notifier.volume(ctx.request, "attach.start", ctx.volumes.get(volume_id))
        former = {column: getattr(attachment, column) for column in _WRITTEN}
        return _with_mode(connector, attachment), former


class NotifyAttaching(Step, task="tell"):
    """Notify the driver of the attachment. Idempotent: it may be notified again."""

    def execute(
        self, ctx: ConnectionContext, volume_id: str, wanted: dict[str, Any], attachment_id: str
    ) -> None:
        volume, driver = ctx.volumes.get(volume_id), ctx.driver
        instance = ctx.attachments.get(attachment_id).instance_uuid
        host, mountpoint = wanted.get("host"), wanted.get("mountpoint") or _NO_MOUNTPOINT
        try:
            driver.attach_volume(ctx.request, volume, instance, host, mountpoint)
        except Exception as error:
            raise driver_contract.backend_error("attach_volume", volume_id, error) from error

    def revert(
        self,
        ctx: ConnectionContext,
        volume_id: str,
        former: dict[str, Any],
        attachment_id: str,
        flow_failures: dict[str, Failure],
    ) -> None:
        if former.get("connector") or driver_contract.never_reached_driver(flow_failures):
            return
        volume, attachment = ctx.volumes.get(volume_id), ctx.attachments.get(attachment_id)
        ctx.driver.detach_volume(ctx.request, volume, attachment)


class ConnectAttachment(Step, task="connect"):
    """Ask the driver how to connect, and write who is attaching.

    Idempotent: the seed allows to ask again, and the same values are written.
    """

    default_provides = "result"

    def execute(
        self, ctx: ConnectionContext, volume_id: str, wanted: dict[str, Any], attachment_id: str
    ) -> dict[str, Any]:
        info = connection.connect(ctx, ctx.volumes.get(volume_id), wanted)
        data = info["data"]
        ctx.attachments.update(
            attachment_id,
            attach_status=ATTACHMENT.done,
            connector=json.dumps(wanted),
            attached_host=wanted.get("host") or "",
            mountpoint=wanted.get("mountpoint") or _NO_MOUNTPOINT,
            attach_time=timeutils.utcnow(),
            attach_mode=wanted.get("mode", "rw"),
        )
        ctx.attachments.settle_volume(volume_id)
        return {
            **data,
            "driver_volume_type": info["driver_volume_type"],
            "attachment_id": attachment_id,
            "enforce_multipath": connectors.enforce_multipath(wanted),
        }

    def revert(
        self,
        ctx: ConnectionContext,
        volume_id: str,
        wanted: dict[str, Any],
        former: dict[str, Any],
        attachment_id: str,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        cut = was_interrupted(cause_of(flow_failures))
        before = former.get("connector")
        if before and (cut or _ends_the_same(before, wanted)):
            LOG.warning("attachment %s was connected before and stays so", attachment_id)
        elif not driver_contract.never_reached_driver(flow_failures):
            connection.terminate(ctx, ctx.volumes.get(volume_id), wanted, force=False)
        if cut or ctx.attachments.get(attachment_id).connector != former.get("connector"):
            ctx.attachments.update(attachment_id, **former)
            ctx.attachments.settle_volume(volume_id)


class Disconnect(Step):
    """End the attachment's access, notify the driver, and remove an export that no other uses.

    Idempotent: each may be repeated.
    """

    def execute(self, ctx: ConnectionContext, volume_id: str, attachment_id: str) -> None:
        volume = connection.of_ours(ctx, volume_id)
        attachment = attachment_of(ctx, volume_id, attachment_id)
        driver = ctx.driver
        ctx.notifier.volume(ctx.request, "detach.start", volume)
        connector = _connector_of(attachment)
        if not connector:  # never None to the driver: that would end everybody's access
            return
        shared = connection.terminate(ctx, volume, connector, force=False)
        # Access has ended: neither a notification nor an unused export keeps the attachment.
        _attempt(
            "its driver was not notified",
            volume,
            lambda: driver.detach_volume(ctx.request, volume, attachment),
        )
        if shared is not True:
            _attempt(
                "its export is left behind",
                volume,
                lambda: connection.unexport(ctx, volume, besides=attachment_id),
            )


@registered
def update() -> linear_flow.Flow:
    """Connect an attachment. Needs ``volume_id``, ``connector`` and ``attachment_id``."""
    return linear_flow.Flow("attachment_update").add(
        CheckAttachment(), connection.ExportVolume(), NotifyAttaching(), ConnectAttachment()
    )


@registered
def delete() -> linear_flow.Flow:
    """Disconnect an attachment. Needs ``volume_id`` and ``attachment_id``."""
    return linear_flow.Flow("attachment_delete").add(Disconnect())


def attachment_of(ctx: ConnectionContext, volume_id: str, attachment_id: str) -> Record:
    """Return an attachment of this volume. :raises InvalidInput: it is another one's."""
    attachment = ctx.attachments.get(attachment_id)
    if attachment.volume_id != volume_id:
        text = f"attachment {attachment_id} is of volume {attachment.volume_id}"
        raise InvalidInput(f"{text}, not of {volume_id}")
    return attachment


def _attempt(failure: str, volume: Record, call: Callable[[], None]) -> None:
    """Make a call of the driver whose error is only logged."""
    try:
        call()
    except (Unavailable, RunInterrupted):
        raise
    except BaseException as error:  # noqa: BLE001 - a driver may raise anything at all
        text = driver_contract.masked(error)
        LOG.warning("volume %s is detached, but %s: %s", volume.id, failure, text)


def _with_mode(connector: Mapping[str, Any], attachment: Record) -> dict[str, Any]:
    """The mode that was chosen with the attachment goes before the connector's."""
    mode = attachment.attach_mode
    if mode and mode != "null":  # the API writes the word where the user chose none
        return {**connector, "mode": mode}
    return dict(connector)


def _connector_of(attachment: Record) -> dict[str, Any] | None:
    if not attachment.connector:
        return None
    try:
        connector = json.loads(attachment.connector)
    except ValueError as error:
        text = f"the connector of attachment {attachment.id} cannot be read"
        raise InvalidInput(text) from error
    return connector if isinstance(connector, dict) else None


def _ends_the_same(former: str, connector: Mapping[str, Any]) -> bool:
    """Return whether the end of a connector's access would end that of a former one, too."""
    try:
        before = json.loads(former)
    except ValueError:
        return True  # unknown: access that is left is harmless, access that is missing is not
    return not isinstance(before, dict) or {**before, "mode": None} == {**connector, "mode": None}
