# SPDX-License-Identifier: Apache-2.0
"""Driver data by initiator.

Implements :class:`flows.protocols.service_records.InitiatorRecords`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from worker.db import models
from worker.db.column_values import checked, now
from worker.db.database import Database

_T = models.driver_initiator_data
_OWN = sa.and_(
    _T.c.initiator == sa.bindparam("of"), _T.c.namespace == sa.bindparam("named", type_=sa.String())
)
_KEY = _T.c.key == sa.bindparam("which_key")
_SELECT = sa.select(_T.c.key, _T.c.value).where(_OWN)
_UPDATE = sa.update(_T).where(_OWN, _KEY)
_DELETE = sa.delete(_T).where(_OWN, _KEY)
_INSERT = sa.insert(_T)


class Initiators:
    """Rows of ``driver_initiator_data``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, initiator: str, namespace: str) -> dict[str, str]:
        """Return the stored pairs."""
        rows = self._db.rows(_SELECT, {"of": initiator, "named": namespace})
        return {key: value for key, value in rows}

    def save(
        self,
        initiator: str,
        namespace: str,
        set_values: Mapping[str, Any],
        remove_values: Iterable[str],
    ) -> None:
        """Upsert pairs, then delete keys for good.

        :raises ValueError: a key or a value does not fit.
        """
        owner = {"of": initiator, "named": namespace}
        rows = [
            checked(_T, {"initiator": initiator, "namespace": namespace, "key": k, "value": v})
            for k, v in sorted(set_values.items())
        ]
        removed = sorted(remove_values)

        def work(connection: sa.Connection) -> None:
            for row in rows:
                _put(connection, owner, row)
            for key in removed:
                connection.execute(_DELETE, {**owner, "which_key": key})

        self._db.write(work)


def _put(connection: sa.Connection, owner: dict[str, str], row: dict[str, Any]) -> None:
    changed = {"value": row["value"], "updated_at": now(), "which_key": row["key"]}
    if connection.execute(_UPDATE, {**owner, **changed}).rowcount:
        return
    try:
        connection.execute(_INSERT, {**row, "created_at": now()})
    except db_exception.DBDuplicateEntry as error:
        # Another transaction came first: this one begins anew and updates that row.
        raise db_exception.DBDeadlock(error) from error
