# SPDX-License-Identifier: Apache-2.0
"""Places that agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.worker.audit.world import Place
from worker.db.database import Database
from worker.db.sync import sync
from worker.journal.journal import Journal


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files with the tables of the database and of the journal, to be copied."""
    folder = tmp_path_factory.mktemp("audit")
    database = Database(f"sqlite:///{folder / 'db.sqlite'}")
    sync(database)
    database.dispose()
    journal = Journal(f"sqlite:///{folder / 'journal.sqlite'}")
    journal.upgrade()
    journal.close()
    return folder / "db.sqlite", folder / "journal.sqlite"


@pytest.fixture
def place(tmp_path: Path, empty: tuple[Path, Path]) -> Iterator[Place]:
    """Places of which none has anything."""
    made = Place(tmp_path, *empty)
    yield made
    made.close()
