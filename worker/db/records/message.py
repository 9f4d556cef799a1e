# SPDX-License-Identifier: Apache-2.0
"""User messages (spec/volume-rpc §6).

Implements :class:`flows.protocols.records.MessageRecords`.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from drivers.interface.records import Record
from flows.protocols.request import Request
from worker.db import models
from worker.db.column_values import checked, now
from worker.db.database import Database

LOG = logging.getLogger(__name__)

_INSERT = sa.insert(models.messages)
_NEWEST = sa.select(models.messages).order_by(
    models.messages.c.created_at.desc(), models.messages.c.id
)


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
        level: str = "ERROR",
    ) -> None:
        """Insert a message; without a project no user could read it, so none is written."""
        project_id = request.project_id or resource.project_id
        if not project_id:
            LOG.warning(
                "no user message about %s %s: its project is unknown", resource.kind, resource.id
            )
            return
        at = now()
        values: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "project_id": project_id,
            "request_id": request.request_id,
            "resource_type": resource_type,
            "resource_uuid": resource.id,
            "action_id": action,
            "detail_id": detail,
            "event_id": f"VOLUME_{resource_type}_{action}_{detail}",
            "message_level": level,
            "expires_at": at + datetime.timedelta(seconds=self._ttl),
            "created_at": at,
            "deleted": False,
        }
        try:
            self._db.change(_INSERT, checked(models.messages, values))
        except db_exception.DBDuplicateEntry:
            pass  # the id is new: the message that has it is this one, whose answer was lost
        except (ValueError, db_exception.DBError) as error:
            # An operation that fails must not be kept from its status by its message.
            LOG.error("no user message about %s %s: %s", resource.kind, resource.id, error)

    def list(self) -> Sequence[Record]:
        """Return all messages, the newest first."""
        return [Record("message", row._asdict()) for row in self._db.rows(_NEWEST)]
