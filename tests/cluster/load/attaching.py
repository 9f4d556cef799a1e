# SPDX-License-Identifier: Apache-2.0
"""The calls of an API that attaches a volume and detaches it, whether it is answered or not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import oslo_messaging
import tenacity
from oslo_db.exception import DBError

from flows.errors import Unavailable
from tests.cluster.load.cloud import CONNECTOR, ClusterCloud
from tests.cluster.load.ledger import UNANSWERED
from worker.rpc import objects

TIMEOUT = 15.0
"""Seconds that the API waits for an answer."""

PATIENCE = 300.0
"""Seconds in which a user asks again: longer than the longest outage."""


def attach_and_detach(cloud: ClusterCloud, volume_id: str, request: str) -> str:
    """Attach a volume, detach it, and return ``answered``, ``unanswered`` or ``error``.

    A caller without an answer does not know whether the volume is connected. Its user deletes
    the attachment, again and again, until that is answered; then no connection may be left.
    """
    volumes, attachments = cloud.records.volumes, cloud.records.attachments
    _again(volumes.update, volume_id, status="reserved", attach_status="reserved")
    volume = _again(volumes.get, volume_id)
    attachment = _again(cloud.attachment, volume, "reserved", attach_mode="rw")
    status = "answered"
    args = {"vref": objects.volume(volume), "attachment_id": attachment.id}
    try:
        cloud.ask(request, "attachment_update", "3.9", TIMEOUT, connector=CONNECTOR, **args)
    except oslo_messaging.MessagingTimeout:
        status = UNANSWERED
    except oslo_messaging.RemoteError as error:
        status = f"error: {error.exc_type}: {error.value}"
    # The API knows the connector, whether it was written or not.
    _again(attachments.update, attachment.id, connector=json.dumps(CONNECTOR))
    args["vref"] = objects.volume(_again(volumes.get, volume_id))

    def delete() -> None:
        """Ask to delete the attachment, by a request of its own each time."""
        cloud.ask(f"req-{uuid.uuid4()}", "attachment_delete", "3.9", TIMEOUT, **args)

    _again(delete)
    _again(attachments.destroy, attachment.id)
    _again(volumes.update, volume_id, status="available", attach_status="detached")
    return status


def _again(work: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Do something again until it succeeds: the bus or the database may be away."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(
            (oslo_messaging.MessagingException, Unavailable, DBError)
        ),
        stop=tenacity.stop_after_delay(PATIENCE),
        wait=tenacity.wait_fixed(1),
        reraise=True,
    )
    return retrying(work, *args, **more)
