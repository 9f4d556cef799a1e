# SPDX-License-Identifier: Apache-2.0
"""Make the tables of a standalone database, and say whether another one fits."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from oslo_utils import timeutils

from worker.db import models
from worker.db.engine import Database

VERSION_TABLE = "holdfast_version"
CINDER_VERSION_TABLE = "alembic_version"
DEFAULT_TYPE = "__DEFAULT__"


class NotOurs(Exception):
    """The database belongs to Cinder, which alone migrates it."""


@dataclass(frozen=True)
class Finding:
    """What does not fit in one table.

    :param table: its name.
    :param text: what is wrong with it.
    """

    table: str
    text: str


def sync(database: Database) -> None:
    """Bring the tables to our version. :raises NotOurs: it is Cinder's database."""
    engine = database.engine
    with engine.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
    if CINDER_VERSION_TABLE in tables or ("volumes" in tables and VERSION_TABLE not in tables):
        raise NotOurs(
            "this database has tables that holdfast did not make, most likely Cinder's own:"
            " it is used as it is and never migrated; run: holdfast db check"
        )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    database.write(_rows)


def check(database: Database) -> list[Finding]:
    """Return what is missing or different, table by table; nothing when all fits."""
    with database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        tables = set(inspector.get_table_names())
        findings = []
        for table in models.metadata.sorted_tables:
            if table.name not in tables:
                findings.append(Finding(table.name, "is missing"))
                continue
            columns = {c["name"]: c for c in inspector.get_columns(table.name)}
            findings += [Finding(table.name, text) for text in _differences(table, columns)]
    return findings


def _differences(table: sa.Table, found: dict[str, object]) -> list[str]:
    texts = [f"column {c.name} is missing" for c in table.columns if c.name not in found]
    for column in table.columns:
        if column.name in found:
            texts += _column_differences(column, found[column.name])  # type: ignore[arg-type]
    known = set(table.columns.keys())
    for name, other in found.items():
        required = not other["nullable"] and other["default"] is None  # type: ignore[index]
        if name not in known and required:
            texts.append(f"column {name} is not ours to know, but must be filled")
    return texts


def _column_differences(ours: sa.Column[object], theirs: dict[str, object]) -> list[str]:
    wanted, found = _family(ours.type), _family(theirs["type"])  # type: ignore[arg-type]
    texts = []
    if wanted != found:
        texts.append(f"column {ours.name} is {found}, not {wanted}")
    if not theirs["nullable"] and ours.nullable and theirs["default"] is None:
        texts.append(f"column {ours.name} must not be NULL, we may leave it so")
    length, have = getattr(ours.type, "length", None), getattr(theirs["type"], "length", None)
    if length and have and have < length:
        texts.append(f"column {ours.name} takes {have} characters, not {length}")
    return texts


def _family(kind: sa.types.TypeEngine[object]) -> str:
    if isinstance(kind, sa.DateTime | sa.TIMESTAMP):
        return "a time"
    # MySQL and SQLite have no boolean of their own.
    if isinstance(kind, sa.Boolean | sa.Integer):
        return "a number"
    if isinstance(kind, sa.String | sa.Text):
        return "text"
    return type(kind).__name__.lower()


def _rows(connection: sa.Connection) -> None:
    """Insert what Cinder's own migrations insert."""
    now = timeutils.utcnow()
    types, work = models.volume_types, models.workers
    if (
        connection.execute(sa.select(types.c.id).where(types.c.name == DEFAULT_TYPE)).first()
        is None
    ):
        row = {"id": str(uuid.uuid4()), "name": DEFAULT_TYPE, "is_public": True}
        described = {"description": "Volumes without a type of their own", "deleted": False}
        connection.execute(sa.insert(types), {**row, **described, "created_at": now})
    sentinel = sa.select(work.c.id).where(work.c.resource_type == "SENTINEL")
    if connection.execute(sentinel).first() is None:
        row = {"resource_type": "SENTINEL", "resource_id": "SUB-SECOND", "status": "OK"}
        times = {"created_at": now, "updated_at": now}
        connection.execute(sa.insert(work), {**row, **times, "deleted": False})
