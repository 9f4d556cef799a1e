# SPDX-License-Identifier: Apache-2.0
"""A fresh SQLite database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.db import template
from tests.unit.db.world import Tables
from worker.db.database import Database
from worker.db.records import Records


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'test.sqlite'}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with our tables."""
    template.copy_to(Path(database_url.removeprefix("sqlite:///")))
    database = Database(database_url, sqlite_synchronous=False)
    yield database
    database.dispose()


@pytest.fixture
def records(database: Database) -> Records:
    """All records, with limits for quota."""
    return Records(database, limits={"volumes": 10, "gigabytes": 100, "snapshots": 10})


@pytest.fixture
def tables(database: Database) -> Tables:
    """Rows as other programs see and write them."""
    return Tables(database)
