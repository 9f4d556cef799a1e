# SPDX-License-Identifier: Apache-2.0
"""Data that drivers keep per initiator: implements :class:`flows.context.Initiators`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from worker.db import models
from worker.db.engine import Database

_T = models.driver_initiator_data


class Initiators:
    """Rows of ``driver_initiator_data``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, initiator: str, namespace: str) -> dict[str, str]:
        """Return the stored pairs."""
        return self._db.read(lambda c: _pairs(c, initiator, namespace))

    def save(
        self,
        initiator: str,
        namespace: str,
        set_values: Mapping[str, Any],
        remove_values: Iterable[str],
    ) -> None:
        """Upsert pairs, then delete keys for good."""
        removed = list(remove_values)
        owner = (_T.c.initiator == initiator, _T.c.namespace == namespace)

        def work(connection: sa.Connection) -> None:
            found = _pairs(connection, initiator, namespace)
            now = timeutils.utcnow()
            for key, value in set_values.items():
                text = None if value is None else str(value)
                if key in found:
                    update = sa.update(_T).where(*owner, _T.c.key == key)
                    connection.execute(update.values(value=text, updated_at=now))
                else:
                    row = {"initiator": initiator, "namespace": namespace, "key": key}
                    connection.execute(sa.insert(_T), {**row, "value": text, "created_at": now})
            if removed:
                connection.execute(sa.delete(_T).where(*owner, _T.c.key.in_(removed)))

        self._db.write(work)


def _pairs(connection: sa.Connection, initiator: str, namespace: str) -> dict[str, str]:
    wanted = sa.select(_T.c.key, _T.c.value).where(
        _T.c.initiator == initiator, _T.c.namespace == namespace
    )
    return {row.key: row.value for row in connection.execute(wanted)}
