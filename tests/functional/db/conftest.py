# SPDX-License-Identifier: Apache-2.0
"""One database with our tables on each server, emptied before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from tests.conftest import require
from tests.servers import MariaDB, PostgreSQL, Servers
from tests.unit.db.conftest import records, tables
from worker.db import models
from worker.db.database import Database
from worker.db.sync import sync

__all__ = ["records", "tables"]

KINDS = {"mysql": MariaDB, "postgresql": PostgreSQL}


@pytest.fixture(scope="session")
def synced(servers: Servers) -> Iterator[Callable[[str], Database]]:
    """A function from the kind of server to its database."""
    made: dict[str, Database] = {}

    def get(kind: str) -> Database:
        if kind not in made:
            require(KINDS[kind])
            server = servers.mariadb if kind == "mysql" else servers.postgresql
            made[kind] = Database(server.database(), db_retry_interval=0.2)
        return made[kind]

    yield get
    for database in made.values():
        database.dispose()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of server."""
    return str(request.param)


@pytest.fixture
def database(kind: str, synced: Callable[[str], Database]) -> Database:
    """A database with our tables and no rows but the first ones."""
    made = synced(kind)
    made.write(_clear)
    sync(made)
    return made


def _clear(connection: sa.Connection) -> None:
    found = set(sa.inspect(connection).get_table_names())
    for table in reversed(models.metadata.sorted_tables):
        if table.name not in found:
            continue
        for column in table.columns:
            # A row may refer to another of its own table, which then must not go first.
            if any(key.column.table is table for key in column.foreign_keys):
                connection.execute(sa.update(table).values({column.name: None}))
        connection.execute(sa.delete(table))
