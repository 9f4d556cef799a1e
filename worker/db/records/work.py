# SPDX-License-Identifier: Apache-2.0
"""Rows of ``workers``: implements :class:`flows.records.WorkRows` (spec/volume-rpc §8).

With a journal of our own they matter to others only: a Cinder service that
restarts sets a resource to ``error`` whose row nobody has claimed.
"""

from __future__ import annotations

import sqlalchemy as sa
from oslo_db import exception as db_exception

from worker.db import models
from worker.db.engine import Database
from worker.db.records.base import precise_now
from worker.db.values import checked

_T = models.workers
_OF = (_T.c.resource_type == sa.bindparam("kind"), _T.c.resource_id == sa.bindparam("which"))
_NEXT = {
    "service_id": sa.bindparam("owner"),
    "status": sa.bindparam("now_status"),
    "race_preventer": _T.c.race_preventer + 1,
    "updated_at": sa.bindparam("now"),
}
_OTHERWISE = sa.or_(
    _T.c.service_id.is_(None),
    _T.c.service_id != sa.bindparam("owner"),
    _T.c.status != sa.bindparam("now_status"),
)
_CLAIM = sa.update(_T).where(*_OF, _OTHERWISE).values(_NEXT)
_RELEASE = sa.update(_T).where(*_OF).values(_NEXT)
_INSERT = sa.insert(_T)


class WorkRows:
    """Rows of ``workers``, claimed for one service.

    ``service_id`` is set when the service has its row.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.service_id: int | None = None

    def claim(self, resource_type: str, resource_id: str, status: str) -> None:
        """Take over the row if there is one and it is not ours already."""
        values = self._values(resource_type, resource_id, status, self.service_id)
        self._db.change(_CLAIM, values)

    def offer(self, resource_type: str, resource_id: str, status: str) -> None:
        """Leave an unclaimed row, making it where there is none."""
        values = self._values(resource_type, resource_id, status, None)

        def work(connection: sa.Connection) -> None:
            if connection.execute(_RELEASE, values).rowcount == 0:
                _insert(connection, resource_type, resource_id, status)

        self._db.write(work)

    @staticmethod
    def _values(
        resource_type: str, resource_id: str, status: str, service_id: int | None
    ) -> dict[str, object]:
        return {
            "kind": resource_type,
            "which": resource_id,
            "owner": service_id,
            "now_status": status,
            "now": precise_now(),
        }


def _insert(connection: sa.Connection, resource_type: str, resource_id: str, status: str) -> None:
    row = {"resource_type": resource_type, "resource_id": resource_id, "status": status}
    times = {"created_at": precise_now(), "updated_at": precise_now()}
    values = checked(_T, {**row, **times, "service_id": None, "race_preventer": 0})
    try:
        connection.execute(_INSERT, {**values, "deleted": False})
    except db_exception.DBDuplicateEntry as error:
        raise db_exception.DBDeadlock(error) from error
