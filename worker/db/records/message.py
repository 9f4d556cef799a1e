# SPDX-License-Identifier: Apache-2.0
"""User messages: implements :class:`flows.context.Messages` (spec/volume-rpc §6)."""

from __future__ import annotations

import datetime
import logging
import uuid
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.context import Request
from worker.db import models
from worker.db.engine import Database

LOG = logging.getLogger(__name__)


class Messages:
    """Rows of ``messages``.

    :param ttl: seconds that a message is kept.
    """

    def __init__(self, database: Database, *, ttl: int) -> None:
        self._db = database
        self._ttl = ttl

    def create(
        self,
        request: Request,
        resource: Record,
        *,
        action: str,
        detail: str,
        resource_type: str = "VOLUME",
    ) -> None:
        """Insert a message; without a project nobody could read it, so none is written."""
        project_id = request.project_id or resource.project_id
        if not project_id:
            LOG.warning("no message about %s %s: no project", resource.kind, resource.id)
            return
        now = timeutils.utcnow()
        values: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "project_id": project_id,
            "request_id": request.request_id,
            "resource_type": resource_type,
            "resource_uuid": resource.id,
            "action_id": action,
            "detail_id": detail,
            "event_id": f"VOLUME_{resource_type}_{action}_{detail}",
            "message_level": "ERROR",
            "expires_at": now + datetime.timedelta(seconds=self._ttl),
            "created_at": now,
            "deleted": False,
        }
        self._db.write(lambda c: c.execute(sa.insert(models.messages), values))

    def list(self) -> list[Record]:
        """Return all messages, the newest first."""
        wanted = sa.select(models.messages).order_by(models.messages.c.created_at.desc())
        rows = self._db.read(lambda c: c.execute(wanted).mappings().all())
        return [Record("message", row) for row in rows]
