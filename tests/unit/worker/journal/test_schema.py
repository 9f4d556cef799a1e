# SPDX-License-Identifier: Apache-2.0
"""Tables that several processes make at the same time."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.util import CommandError
from taskflow.persistence.backends.sqlalchemy import migration

from worker.journal import schema
from worker.journal.errors import JournalConflict


def test_a_migration_through_another_node_of_galera_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again; the lock of a server excludes only processes on the same node."""

    def overtaken(_connection: Any) -> None:
        raise CommandError("Online migration expected to match one row; 0 found")

    monkeypatch.setattr(migration, "db_sync", overtaken)
    engine: Any = SimpleNamespace(
        dialect=SimpleNamespace(name="mysql"), connect=contextlib.nullcontext
    )

    with pytest.raises(JournalConflict, match="expected to match one row"):
        schema.upgrade(engine, sa.MetaData())
