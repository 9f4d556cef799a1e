# SPDX-License-Identifier: Apache-2.0
"""Changes of clusters by an operator, while no service of them runs.

Implements ``holdfast cluster rename`` and ``holdfast cluster leave``. The names in the rows of
resources change with those of the services, and the pools stay.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from worker.db import models
from worker.db.column_values import now
from worker.db.criteria import host_parameters, on_host, same
from worker.db.database import Database
from worker.db.records.services import cluster as clusters
from worker.db.records.services.cluster import RESOURCES

_S, _C = models.services, models.clusters

_BINARY = "cinder-volume"


class Membership:
    """The clusters of volume services, as an operator changes them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def rename(self, name: str, to: str) -> int:
        """Give a cluster another name; return how many resources it has.

        A cluster of the new name takes the services and resources over.

        :param name: ``cluster@backend``; not empty.
        """

        def work(connection: sa.Connection) -> int:
            changed = 0
            for table in RESOURCES:
                pool = sa.func.substr(table.c.cluster_name, len(name) + 1, type_=sa.String())
                change = sa.update(table).where(on_host(table.c.cluster_name))
                change = change.values(cluster_name=sa.literal(to) + pool)
                changed += connection.execute(change, host_parameters(name)).rowcount
            connection.execute(
                sa.update(_S)
                .where(same(_S.c.cluster_name, "name_"), _S.c.deleted == sa.false())
                .values(cluster_name=to),
                {"name_": name},
            )
            self._rename_row(connection, name, to)
            return changed

        return self._db.write(work)

    def leave(self, host: str) -> int:
        """Take a service out of its cluster; return how many resources it has taken along.

        :param host: ``host@backend``.
        """

        def work(connection: sa.Connection) -> int:
            changed = 0
            for table in RESOURCES:
                change = sa.update(table).where(
                    on_host(table.c.host), table.c.cluster_name.is_not(None)
                )
                changed += connection.execute(
                    change.values(cluster_name=None), host_parameters(host)
                ).rowcount
            connection.execute(
                sa.update(_S)
                .where(same(_S.c.host, "at"), same(_S.c.binary, "of"), _S.c.deleted == sa.false())
                .values(cluster_name=None),
                {"at": host, "of": _BINARY},
            )
            return changed

        return self._db.write(work)

    def remove(self, name: str) -> bool:
        """Mark the row of a cluster as deleted; return whether there was one.

        :param name: ``cluster@backend``.
        """

        def work(connection: sa.Connection) -> bool:
            found = clusters.find(connection, name, _BINARY)
            if found is not None:
                change = sa.update(_C).where(_C.c.id == found["id"])
                connection.execute(change.values(**_removed(found["id"])))
            return found is not None

        return self._db.write(work)

    @staticmethod
    def _rename_row(connection: sa.Connection, name: str, to: str) -> None:
        """Rename the row of a cluster; where there is one of the new name, remove it."""
        found = clusters.find(connection, name, _BINARY)
        if found is None:
            return
        columns: dict[str, Any] = {"name": to, "updated_at": now()}
        if clusters.find(connection, to, _BINARY) is not None:
            columns = _removed(found["id"])
        connection.execute(sa.update(_C).where(_C.c.id == found["id"]).values(columns))


def _removed(cluster_id: int) -> dict[str, Any]:
    """Return the columns of a removed cluster, whose name another one may have.

    The number makes the name free, as it is part of the key of Cinder's table.
    """
    return {"deleted": True, "deleted_at": now(), "race_preventer": cluster_id}
