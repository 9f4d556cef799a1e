# SPDX-License-Identifier: Apache-2.0
"""Connections that only read: each server refuses changes, and answers queries."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from worker.db import models
from worker.db.database import Database
from worker.journal.errors import JournalError
from worker.journal.journal import Journal


def test_a_journal_that_only_reads_lists_entries(database_url: str) -> None:
    writer, reader = Journal(database_url), Journal(database_url)
    reader.only_read()
    try:
        writer.upgrade()
        writer.rejected.add(uuid.uuid4().hex, "create_shelf", "no such method")

        assert [one.method for one in reader.entries(rejected=True)] == ["create_shelf"]
        with pytest.raises(JournalError, match=r"(?i)read.?only"):
            reader.rejected.add(uuid.uuid4().hex, "create_shelf", "again")
    finally:
        writer.close()
        reader.close()


def test_a_database_that_only_reads_has_rows(database: Database) -> None:
    # A server that refuses changes is waited for, as after a failover: three minutes by default.
    url = database.engine.url.render_as_string(hide_password=False)
    reader = Database(url, db_max_retries=0)
    reader.only_read()
    count = sa.select(sa.func.count()).select_from(models.volumes)
    try:
        assert reader.rows(count)[0][0] == 0
        with pytest.raises(Exception, match=r"(?i)read.?only"):
            reader.write(lambda connection: connection.execute(sa.delete(models.volumes)))
    finally:
        reader.dispose()
