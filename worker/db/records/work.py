# SPDX-License-Identifier: Apache-2.0
"""Rows of ``workers``: implements :class:`flows.context.WorkRows` (spec/volume-rpc §8).

With a journal of our own they matter to others only: a Cinder scheduler that
restarts sets a resource to ``error`` whose row nobody has claimed.
"""

from __future__ import annotations

import sqlalchemy as sa
from oslo_utils import timeutils

from worker.db import models
from worker.db.engine import Database

_T = models.workers
_OF = (_T.c.resource_type == sa.bindparam("kind"), _T.c.resource_id == sa.bindparam("which"))
_CLAIM = (
    sa.update(_T)
    .where(*_OF)
    .values(
        service_id=sa.bindparam("owner"),
        status=sa.bindparam("now_status"),
        race_preventer=_T.c.race_preventer + 1,
        updated_at=sa.bindparam("now"),
    )
)


class WorkRows:
    """Rows of ``workers``, claimed for one service.

    ``service_id`` is set when the service has its row.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.service_id: int | None = None

    def claim(self, resource_type: str, resource_id: str, status: str) -> None:
        """Take over the row if there is one."""
        self._db.write(lambda c: self._set(c, resource_type, resource_id, status, self.service_id))

    def offer(self, resource_type: str, resource_id: str, status: str) -> None:
        """Leave an unclaimed row, making it where there is none."""

        def work(connection: sa.Connection) -> None:
            if self._set(connection, resource_type, resource_id, status, None):
                return
            now = timeutils.utcnow()
            row = {"resource_type": resource_type, "resource_id": resource_id, "status": status}
            times = {"created_at": now, "updated_at": now}
            connection.execute(sa.insert(_T), {**row, **times, "deleted": False})

        self._db.write(work)

    @staticmethod
    def _set(
        connection: sa.Connection,
        resource_type: str,
        resource_id: str,
        status: str,
        service_id: int | None,
    ) -> bool:
        values = {
            "kind": resource_type,
            "which": resource_id,
            "owner": service_id,
            "now_status": status,
            "now": timeutils.utcnow(),
        }
        return connection.execute(_CLAIM, values).rowcount > 0
