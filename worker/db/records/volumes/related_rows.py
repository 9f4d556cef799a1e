# SPDX-License-Identifier: Apache-2.0
"""Rows that belong to a volume or a snapshot (spec/schema §3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from flows.statuses import AttachStatus
from worker.db import models
from worker.db.column_values import now
from worker.db.row_statements.prepared_statement import PreparedStatement

_VOLUMES = models.volumes
_TYPES = models.volume_types


class Belongings:
    """Tables whose rows are soft-deleted with their owner's.

    One query finds out which of them have any: most owners have none.

    :param owner: the owner's table.
    :param reference: the column that names the owner.
    :param type_id: a query for the volume type under which the quota is kept.
    :param removed: tables whose rows go for good.
    """

    def __init__(
        self,
        owner: sa.Table,
        reference: str,
        tables: Sequence[sa.Table],
        type_id: sa.ColumnElement[Any],
        removed: Sequence[sa.Table] = (),
    ) -> None:
        self._tables = (*tables, *removed)
        type_name = sa.select(_TYPES.c.name).where(_TYPES.c.id == type_id).scalar_subquery()
        self._find = PreparedStatement(
            sa.select(
                owner.c.project_id,
                type_name.label("type_name"),
                *(_any(table, reference).label(table.name) for table in self._tables),
            ).where(owner.c.id == sa.bindparam("which"))
        )
        self._delete = {
            table.name: sa.update(table).where(
                table.c[reference] == sa.bindparam("which"), table.c.deleted == sa.false()
            )
            for table in tables
        }
        self._remove = {
            table.name: sa.delete(table).where(table.c[reference] == sa.bindparam("which"))
            for table in removed
        }

    def clear(self, connection: sa.Connection, owner_id: str) -> tuple[str | None, str | None]:
        """Soft-delete all; return the owner's project and the name of its type."""
        [(project_id, type_name, *found)] = self._find.rows(connection, {"which": owner_id})
        at = now()
        for table, has_rows in zip(self._tables, found, strict=True):
            if has_rows and table.name in self._remove:
                connection.execute(self._remove[table.name], {"which": owner_id})
            elif has_rows:
                values: dict[str, Any] = {"which": owner_id, "deleted": True, "deleted_at": at}
                if table is models.volume_attachment:
                    values |= {"attach_status": AttachStatus.DETACHED, "detach_time": at}
                connection.execute(self._delete[table.name], values)
        return project_id, type_name


def _any(table: sa.Table, reference: str) -> sa.Exists:
    found = sa.exists().where(table.c[reference] == sa.bindparam("which"))
    return found.where(table.c.deleted == sa.false()) if "deleted" in table.c else found


VOLUME = Belongings(
    _VOLUMES,
    "volume_id",
    (
        models.volume_metadata,
        models.volume_admin_metadata,
        models.volume_glance_metadata,
        models.volume_attachment,
        models.transfers,
        models.snapshots,
    ),
    _VOLUMES.c.volume_type_id,
    removed=(models.image_volume_cache_entries,),
)
SNAPSHOT = Belongings(
    models.snapshots,
    "snapshot_id",
    (models.snapshot_metadata, models.volume_glance_metadata),
    # The volume may have been given another type since.
    sa.select(_VOLUMES.c.volume_type_id)
    .where(_VOLUMES.c.id == models.snapshots.c.volume_id)
    .correlate(models.snapshots)
    .scalar_subquery(),
)
