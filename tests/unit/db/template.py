# SPDX-License-Identifier: Apache-2.0
"""A database file with our tables: made once in a process, and copied for each test."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from worker.db.database import Database
from worker.db.sync import sync


def copy_to(place: Path) -> str:
    """Put a database with our tables there, and return its URL."""
    shutil.copyfile(_synced(), place)
    return f"sqlite:///{place}"


@functools.cache
def _synced() -> Path:
    path = Path(tempfile.mkdtemp(prefix="holdfast-tables-"), "empty.sqlite")
    atexit.register(shutil.rmtree, path.parent)
    database = Database(f"sqlite:///{path}")
    sync(database)
    database.dispose()
    return path
