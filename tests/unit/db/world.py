# SPDX-License-Identifier: Apache-2.0
"""Rows as other programs see and write them: without our records."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import sqlalchemy as sa

from worker.db import models
from worker.db.database import Database

LONG_AGO = datetime.datetime(2020, 1, 1)
PROJECT = "a" * 32


class Tables:
    """Reads and writes any table of a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def rows(self, table: str, **equal: Any) -> list[dict[str, Any]]:
        """Return all rows, deleted ones too."""
        which = models.metadata.tables[table]
        wanted = sa.select(which).where(*(which.c[name] == equal[name] for name in equal))
        return [row._asdict() for row in self._db.rows(wanted)]

    def row(self, table: str, **equal: Any) -> dict[str, Any]:
        """Return the one row that matches."""
        [row] = self.rows(table, **equal)
        return row

    def set(self, table: str, row_id: Any, **columns: Any) -> None:
        """Write columns of a row."""
        which = models.metadata.tables[table]
        update = sa.update(which).where(which.c.id == row_id).values(columns)
        self._db.write(lambda connection: connection.execute(update))

    def add(self, table: str, **columns: Any) -> Any:
        """Insert a row and return its id."""
        which = models.metadata.tables[table]
        values: dict[str, Any] = {"created_at": LONG_AGO, "deleted": False}
        if "id" in which.c and isinstance(which.c.id.type, sa.String):
            values["id"] = str(uuid.uuid4())
        insert = sa.insert(which).values({**values, **columns})
        return self._db.write(lambda c: c.execute(insert).inserted_primary_key[0])

    def pairs(self, table: str, **equal: Any) -> dict[str, Any]:
        """Return the live keys and values."""
        return {r["key"]: r["value"] for r in self.rows(table, **equal) if not r["deleted"]}

    def used(self, project: str = PROJECT) -> dict[str, tuple[int, int]]:
        """Return a project's usage and reservations, by resource."""
        rows = self.rows("quota_usages", project_id=project)
        return {row["resource"]: (row["in_use"], row["reserved"]) for row in rows}

    def use(self, project: str = PROJECT, **in_use: int) -> None:
        """Write a project's usage."""
        for resource, amount in in_use.items():
            row = {"resource": resource, "in_use": amount, "reserved": 0, "race_preventer": True}
            self.add("quota_usages", project_id=project, **row)

    def volume_type(self, name: str, **columns: Any) -> str:
        """Insert a volume type and return its id."""
        return str(self.add("volume_types", name=name, is_public=True, **columns))
