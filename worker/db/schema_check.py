# SPDX-License-Identifier: Apache-2.0
"""Return whether a database that others made, such as Cinder's, fits us."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worker.db import models
from worker.db.database import Database

CINDER_VERSION_TABLE = "alembic_version"
CINDER_VERSION = "9c74c1c6971f"
"""The migration of Cinder 29.0.0, for which the tables are described."""

JOINED = frozenset(
    {"attachment_specs", "default_volume_types", "group_type_projects", "volume_type_projects"}
)
"""Tables that only drivers of Cinder read, as Cinder's objects join them."""

READ_ONLY = JOINED | frozenset(
    {
        "encryption",
        "group_type_specs",
        "group_types",
        "quality_of_service_specs",
        "quota_classes",
        "quotas",
        "volume_type_extra_specs",
        "volume_types",
    }
)
"""Tables into which we never insert, where unknown columns cannot be in the way."""

_FAMILIES: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (sa.DateTime, "a time"),
    (sa.Boolean, "yes or no"),
    (sa.Integer, "a whole number"),
    (sa.String, "text"),
)


@dataclass(frozen=True)
class SchemaFinding:
    """A difference in one table.

    :param table: its name.
    :param text: its description.
    :param fatal: whether operations would fail; otherwise it is only strange.
    """

    table: str
    text: str
    fatal: bool = True


def check(database: Database) -> list[SchemaFinding]:
    """Return the differences, table by table; nothing when all fits.

    It reads only. :raises Unavailable: the database did not answer.
    """
    return database.read(_findings)


def _findings(connection: sa.Connection) -> list[SchemaFinding]:
    inspector = sa.inspect(connection)
    tables = set(inspector.get_table_names())
    findings = []
    for table in models.metadata.sorted_tables:
        if table.name not in tables:
            fatal = table.name not in JOINED
            findings.append(SchemaFinding(table.name, "is missing", fatal))
        else:
            findings += _table(inspector, table)
    if CINDER_VERSION_TABLE in tables and models.volumes.name in tables:
        findings += _version(connection)
    return findings


def _table(inspector: sa.Inspector, table: sa.Table) -> Iterator[SchemaFinding]:
    found: dict[str, Mapping[str, Any]] = {
        column["name"]: column for column in inspector.get_columns(table.name)
    }
    for column in table.columns:
        if column.name not in found:
            yield SchemaFinding(table.name, f"column {column.name} is missing")
        else:
            yield from _column(column, found[column.name])
    for name in found.keys() - table.columns.keys():
        yield from _unknown(table, found[name])
    yield from _keys(inspector, table)


def _column(ours: sa.Column[Any], theirs: Mapping[str, Any]) -> Iterator[SchemaFinding]:
    table, name, kind = ours.table.name, ours.name, theirs["type"]
    if not _holds(kind, ours.type):
        text = f"column {name} is {_family(kind)}, not {_family(ours.type)}"
        yield SchemaFinding(table, text)
    length, have = getattr(ours.type, "length", None), getattr(kind, "length", None)
    if length and have and have < length:
        yield SchemaFinding(table, f"column {name} takes {have} characters, not {length}")
    if _must_be_given(theirs) and ours.nullable and table not in READ_ONLY:
        yield SchemaFinding(table, f"column {name} must have a value, and we may leave it empty")
    if theirs["nullable"] and not ours.nullable:
        yield SchemaFinding(
            table, f"column {name} may be empty, which we do not expect", fatal=False
        )


def _unknown(table: sa.Table, theirs: Mapping[str, Any]) -> Iterator[SchemaFinding]:
    if _must_be_given(theirs) and table.name not in READ_ONLY:
        text = f"column {theirs['name']} must have a value, and we do not know it"
        yield SchemaFinding(table.name, text)


def _keys(inspector: sa.Inspector, table: sa.Table) -> Iterator[SchemaFinding]:
    """Two processes that insert the same row rely on these."""
    found: list[set[Any]] = [
        set(key["column_names"]) for key in inspector.get_unique_constraints(table.name)
    ]
    found += [set(i["column_names"]) for i in inspector.get_indexes(table.name) if i["unique"]]
    for key in table.constraints:
        names = [str(column.name) for column in key.columns] if _is_unique(key) else []  # type: ignore[attr-defined]
        if names and set(names) not in found:
            yield SchemaFinding(
                table.name, f"{', '.join(names)} should be unique together", fatal=False
            )


def _version(connection: sa.Connection) -> Iterator[SchemaFinding]:
    version = sa.table(CINDER_VERSION_TABLE, sa.column("version_num", sa.String))
    for found in connection.scalars(sa.select(version.c.version_num)):
        if found != CINDER_VERSION:
            text = f"is at {found}; the tables are known as of {CINDER_VERSION} (Cinder 29.0.0)"
            yield SchemaFinding(CINDER_VERSION_TABLE, text, fatal=False)


def _is_unique(constraint: sa.Constraint) -> bool:
    return isinstance(constraint, sa.UniqueConstraint)


def _must_be_given(column: Mapping[str, Any]) -> bool:
    made = column["default"] is not None or column.get("autoincrement") is True
    return not column["nullable"] and not made and not column.get("computed")


def _holds(kind: sa.types.TypeEngine[Any], ours: sa.types.TypeEngine[Any]) -> bool:
    if isinstance(ours, sa.Text) and isinstance(kind, sa.String):
        return not getattr(kind, "length", None) or isinstance(kind, sa.Text)
    if isinstance(ours, sa.Boolean) and isinstance(kind, sa.Integer):
        return True  # MySQL and SQLite have no boolean of their own
    return _family(kind) == _family(ours)


def _family(kind: sa.types.TypeEngine[Any]) -> str:
    for family, name in _FAMILIES:
        if isinstance(kind, family):
            return name
    return str(kind).lower()
