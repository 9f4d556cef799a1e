# SPDX-License-Identifier: Apache-2.0
"""Create tables in a way that can be repeated: MySQL commits after each statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

PRECISE = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
"""A time to the microsecond, on every database."""

Index = Mapping[str, Sequence[str]]


def create(name: str, *items: sa.schema.SchemaItem, indexes: Index | None = None) -> None:
    """Create a table and its indexes, or those that an interrupted try left out."""
    connection = op.get_bind()
    if not sa.inspect(connection).has_table(name):
        op.create_table(name, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4")
    found = {index["name"] for index in sa.inspect(connection).get_indexes(name)}
    for index, columns in (indexes or {}).items():
        if index not in found:
            op.create_index(index, name, list(columns))


def soft(updated_at: sa.types.TypeEngine[Any] | None = None) -> tuple[sa.Column[Any], ...]:
    """Return the four columns of a table whose rows are deleted softly."""
    return (
        sa.Column("created_at", sa.DateTime()),
        sa.Column("updated_at", updated_at or sa.DateTime()),
        sa.Column("deleted_at", sa.DateTime()),
        sa.Column("deleted", sa.Boolean()),
    )
