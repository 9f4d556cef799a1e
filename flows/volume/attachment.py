# SPDX-License-Identifier: Apache-2.0
"""Connect and disconnect an attachment.

=========  ========================================  =========================
task       does                                      undone by
=========  ========================================  =========================
export     validate_connector, create_export         driver.remove_export
connect    driver.initialize_connection, saves       driver.terminate_connection
           the initiator's data
reserve    attachment and volume ``attaching``       (point of no return)
=========  ========================================  =========================

Ending one writes no row: the API destroys the attachment.

Source: spec/volume-rpc, attachment_update, attachment_delete.
"""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import edge
from flows.context import Context
from flows.errors import InvalidInput
from flows.lifecycle import Step
from flows.volume import connection

LOG = logging.getLogger(__name__)


class Export(connection.Export):
    """Make the volume reachable, once the attachment is known to exist. Idempotent."""

    def execute(self, ctx: Context, volume_id: str, connector: Any, attachment_id: str) -> None:  # type: ignore[override]
        attachment, volume = ctx.attachments.get(attachment_id), ctx.volumes.get(volume_id)
        if attachment.volume_id != volume_id:
            text = f"attachment {attachment_id} is of volume {attachment.volume_id}"
            raise InvalidInput(f"{text}, not of {volume_id}")
        ctx.notifier.volume(ctx.request, "attach.start", volume)
        super().execute(ctx=ctx, volume_id=volume_id, connector=connector)


class Connect(Step):
    """Ask the driver how to connect. Idempotent: the seed allows to ask again."""

    default_provides = "info"

    def execute(
        self, ctx: Context, volume_id: str, connector: Any, attachment_id: str
    ) -> dict[str, Any]:
        volume, wanted = ctx.volumes.get(volume_id), dict(connector)
        mode = ctx.attachments.get(attachment_id).attach_mode
        if mode and mode != "null":  # the API writes the word where nobody chose
            wanted["mode"] = mode
        return connection.connect(ctx, volume, wanted)

    def revert(
        self, ctx: Context, volume_id: str, connector: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if not edge.never_reached_driver(flow_failures):
            connection.terminate(ctx, ctx.volumes.get(volume_id), connector, force=False)


class Reserve(Step):
    """Write who is attaching. Idempotent: the same values again."""

    default_provides = "result"

    def execute(
        self,
        ctx: Context,
        volume_id: str,
        connector: dict[str, Any],
        attachment_id: str,
        info: dict[str, Any],
    ) -> dict[str, Any]:
        attachment = ctx.attachments.get(attachment_id)
        ctx.attachments.update(
            attachment_id,
            attach_status="attaching",
            connector=json.dumps(connector),
            attached_host=connector.get("host") or "",
            mountpoint=connector.get("mountpoint") or "na",
            attach_time=datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
            attach_mode=_mode(attachment, connector, info),
        )
        ctx.volumes.update(volume_id, **_attaching(ctx, volume_id))
        data = info.get("data", {})
        return {
            **data,
            "driver_volume_type": info["driver_volume_type"],
            "attachment_id": attachment_id,
            "enforce_multipath": bool(connector.get("enforce_multipath", False)),
        }


class Disconnect(Step):
    """End the attachment's access, and its export where no other shares it. Idempotent."""

    def execute(self, ctx: Context, volume_id: str, attachment_id: str) -> None:
        attachment, volume = ctx.attachments.get(attachment_id), ctx.volumes.get(volume_id)
        driver = ctx.driver
        ctx.notifier.volume(ctx.request, "detach.start", volume)
        if not attachment.connector:
            return
        connector = json.loads(attachment.connector)
        shared = connection.terminate(ctx, volume, connector, force=False)
        if shared is True:
            return
        try:
            driver.remove_export(ctx.request.elevated(), volume)
        except Exception as error:
            # Access has ended; an export that nobody uses does not keep the attachment.
            LOG.warning("the export of volume %s is left behind: %s", volume_id, error)


def update() -> linear_flow.Flow:
    """Connect an attachment. Needs ``volume_id``, ``connector`` and ``attachment_id``."""
    return linear_flow.Flow("attachment_update").add(Export(), Connect(), Reserve())


def delete() -> linear_flow.Flow:
    """Disconnect an attachment. Needs ``volume_id`` and ``attachment_id``."""
    return linear_flow.Flow("attachment_delete").add(Disconnect())


def _mode(attachment: Record, connector: dict[str, Any], info: dict[str, Any]) -> str:
    if attachment.attach_mode and attachment.attach_mode != "null":
        return str(attachment.attach_mode)
    return str(connector.get("mode") or info.get("data", {}).get("access_mode") or "rw")


def _attaching(ctx: Context, volume_id: str) -> dict[str, Any]:
    """A volume that others have attached stays in use (spec/volume-rpc §3)."""
    others = {a.attach_status for a in ctx.attachments.of_volume(volume_id)}
    if "attached" in others:
        return {"status": "in-use", "attach_status": "attached"}
    return {"status": "attaching", "attach_status": "attaching"}
