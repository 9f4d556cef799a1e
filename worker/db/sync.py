# SPDX-License-Identifier: Apache-2.0
"""Make and migrate the tables of a standalone database.

Our migrations are counted in a table of their own: Cinder's belongs to Cinder,
and a database without ours is left alone unless it is empty.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from worker.db import models
from worker.db.column_values import now
from worker.db.database import Database
from worker.db.schema_check import SchemaFinding, check

__all__ = ["SchemaFinding", "NotOurs", "check", "sync"]

VERSION_TABLE = "holdfast_version"
CINDER_VERSION_TABLE = "alembic_version"
DEFAULT_TYPE = "__DEFAULT__"

LOCK = "holdfast-sync"
LOCK_NUMBER = 0x686F6C64
LOCK_WAIT = 60
"""How long one migration waits for another one's end, in seconds."""

# The journal may share the database; its library counts in a table named like Cinder's.
_JOURNAL_TABLES = frozenset({"logbooks", "flowdetails", "atomdetails"})


class NotOurs(Exception):
    """The database belongs to Cinder, which alone migrates it, or to a newer Holdfast."""


def sync(database: Database) -> None:
    """Bring the tables to our version; may be repeated, also after a kill.

    :raises NotOurs: nothing was changed.
    :raises Unavailable: the database did not answer.
    """
    database.write(_migrate, retry_outages=False)


def _migrate(connection: sa.Connection) -> None:
    with _alone(connection):
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        _require_ours(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _fill(connection)


def _require_ours(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    tables = set(sa.inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        version = sa.table(VERSION_TABLE, sa.column("version_num", sa.String))
        known = {script.revision for script in scripts.walk_revisions()}
        if unknown := set(connection.scalars(sa.select(version.c.version_num))) - known:
            raise NotOurs(
                f"the tables are at version {', '.join(sorted(unknown))}, which this Holdfast"
                " does not know: a newer one has migrated them; install that one"
            )
        return
    theirs = tables & models.metadata.tables.keys()
    if CINDER_VERSION_TABLE in tables and not _JOURNAL_TABLES & tables:
        theirs.add(CINDER_VERSION_TABLE)
    if theirs:
        shown = ", ".join(sorted(theirs)[:3]) + (" …" if len(theirs) > 3 else "")
        raise NotOurs(
            f"this database has tables that Holdfast did not make ({shown}), most likely"
            " Cinder's own: it is used as it is and never migrated; run: holdfast db check"
        )


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Keep other migrations out; SQLite's transaction does so by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_NUMBER)))
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield
        return
    if not connection.scalar(sa.select(sa.func.get_lock(LOCK, LOCK_WAIT))):
        raise TimeoutError(f"another migration runs for more than {LOCK_WAIT} s")
    try:
        yield
    finally:
        connection.execute(sa.select(sa.func.release_lock(LOCK)))


def _fill(connection: sa.Connection) -> None:
    """Insert the rows that Cinder's own migrations insert."""
    types, work = models.volume_types, models.workers
    known = sa.select(types.c.id).where(types.c.name == DEFAULT_TYPE, types.c.deleted == sa.false())
    times = {"created_at": now(), "updated_at": now(), "deleted": False}
    if connection.execute(known).first() is None:
        row = {"id": str(uuid.uuid4()), "name": DEFAULT_TYPE, "is_public": True}
        described = {"description": "Volumes without a type of their own"}
        connection.execute(sa.insert(types), {**row, **described, **times})
    sentinel = sa.select(work.c.id).where(work.c.resource_type == "SENTINEL")
    if connection.execute(sentinel).first() is None:
        row = {"resource_type": "SENTINEL", "resource_id": "SUB-SECOND", "status": "OK"}
        connection.execute(sa.insert(work), {**row, **times, "race_preventer": 0})
