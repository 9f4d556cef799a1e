# SPDX-License-Identifier: Apache-2.0
"""Migrations: they make the models' tables, may be repeated, and leave others alone."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from flows.errors import Unavailable
from worker.db import models
from worker.db.database import Database
from worker.db.schema_check import JOINED, SchemaFinding, check
from worker.db.sync import VERSION_TABLE, NotOurs, sync


@pytest.fixture
def empty(database_url):
    """A database without a table."""
    database = Database(database_url)
    yield database
    database.dispose()


def run(database, *statements):
    """Run statements in one transaction."""
    with database.writer() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def tables_of(database):
    """Return the names of all tables."""
    with database.reader() as connection:
        return set(sa.inspect(connection).get_table_names())


class TestSync:
    def test_makes_what_the_models_say(self, empty):
        sync(empty)
        with empty.reader() as connection:
            options = {"version_table": VERSION_TABLE, "compare_type": True}
            context = MigrationContext.configure(connection, opts=options)

            assert compare_metadata(context, models.metadata) == []
        assert check(empty) == []

    def test_may_be_repeated_and_fills_in_once(self, empty):
        for _ in range(2):
            sync(empty)

        types = empty.rows(sa.select(models.volume_types.c.name))
        work = empty.rows(sa.select(models.workers.c.id, models.workers.c.resource_id))
        assert [row.name for row in types] == ["__DEFAULT__"]
        assert [tuple(row) for row in work] == [(1, "SUB-SECOND")]

    def test_goes_on_where_a_kill_cut_it_short(self, empty):
        sync(empty)
        run(
            empty,
            f"DELETE FROM {VERSION_TABLE}",
            "DROP TABLE volume_metadata",
            "DROP INDEX volumes_deleted_host_idx",
        )
        sync(empty)

        assert check(empty) == []
        with empty.reader() as connection:
            names = {i["name"] for i in sa.inspect(connection).get_indexes("volumes")}
        assert "volumes_deleted_host_idx" in names

    def test_an_older_database_gets_the_tables_that_are_new(self, empty):
        sync(empty)
        run(
            empty,
            f"UPDATE {VERSION_TABLE} SET version_num = '0003'",
            *(f"DROP TABLE {table}" for table in sorted(JOINED)),
        )
        before = check(empty)
        sync(empty)

        assert {(finding.table, finding.fatal) for finding in before} == {
            (table, False) for table in JOINED
        }
        assert check(empty) == []

    @pytest.mark.parametrize(
        "theirs",
        [
            ["CREATE TABLE volumes (id VARCHAR(36))"],
            ["CREATE TABLE services (id INTEGER)"],
            ["CREATE TABLE alembic_version (version_num VARCHAR(32))"],
            [
                "CREATE TABLE alembic_version (version_num VARCHAR(32))",
                "INSERT INTO alembic_version VALUES ('9c74c1c6971f')",
                "CREATE TABLE volumes (id VARCHAR(36))",
            ],
        ],
    )
    def test_tables_of_others_are_left_alone(self, empty, theirs):
        run(empty, *theirs)
        before = tables_of(empty)

        with pytest.raises(NotOurs, match="holdfast db check"):
            sync(empty)
        assert tables_of(empty) == before

    def test_a_journal_in_the_same_database_is_no_obstacle(self, empty):
        run(
            empty,
            "CREATE TABLE alembic_version (version_num VARCHAR(32))",
            "CREATE TABLE logbooks (uuid VARCHAR(36))",
        )
        sync(empty)

        assert "volumes" in tables_of(empty)

    def test_a_database_that_cannot_be_opened_is_said_at_once(self, tmp_path):
        with pytest.raises(Unavailable, match="unable to open"):
            sync(Database(f"sqlite:///{tmp_path}/none/x", db_retry_interval=3600))

    def test_a_newer_version_is_left_alone(self, empty):
        sync(empty)
        run(empty, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")

        with pytest.raises(NotOurs, match="9999"):
            sync(empty)


class TestCheck:
    def findings(self, database, *changes):
        sync(database)
        run(database, *changes)
        return check(database)

    def test_an_empty_database_lacks_every_table(self, empty):
        found = check(empty)

        assert {finding.table for finding in found} == set(models.metadata.tables)
        assert {finding.text for finding in found} == {"is missing"}

    @pytest.mark.parametrize(
        ("change", "finding"),
        [
            ("DROP TABLE transfers", SchemaFinding("transfers", "is missing")),
            (
                "ALTER TABLE volumes DROP COLUMN shared_targets",
                SchemaFinding("volumes", "column shared_targets is missing"),
            ),
            (
                "ALTER TABLE volumes ADD COLUMN colour VARCHAR(9) NOT NULL DEFAULT 'red'",
                None,
            ),
            ("ALTER TABLE volumes ADD COLUMN colour VARCHAR(9)", None),
        ],
    )
    def test_a_changed_table(self, empty, change, finding):
        assert self.findings(empty, change) == ([finding] if finding else [])

    @pytest.mark.parametrize(
        ("columns", "text", "fatal"),
        [
            ("value TEXT", "column value is text", None),
            ("value INTEGER", "column value is a whole number, not text", True),
            ("value VARCHAR(20)", "column value takes 20 characters, not 255", True),
            (
                "value VARCHAR(255) NOT NULL",
                "column value must have a value, and we may leave it empty",
                True,
            ),
            ("value VARCHAR(255) NOT NULL DEFAULT ''", "", None),
            (
                "value VARCHAR(255), colour VARCHAR(9) NOT NULL",
                "column colour must have a value, and we do not know it",
                True,
            ),
        ],
    )
    def test_a_strange_column(self, empty, columns, text, fatal):
        found = self.findings(
            empty,
            "DROP TABLE volume_metadata",
            "CREATE TABLE volume_metadata (created_at DATETIME, updated_at DATETIME,"
            " deleted_at DATETIME, deleted BOOLEAN, id INTEGER NOT NULL PRIMARY KEY,"
            f" volume_id VARCHAR(36) NOT NULL, key VARCHAR(255), {columns})",
        )

        expected = [] if fatal is None else [SchemaFinding("volume_metadata", text, fatal)]
        assert found == expected

    def test_what_two_processes_rely_on(self, empty):
        found = self.findings(
            empty,
            "ALTER TABLE driver_initiator_data RENAME TO old",
            "CREATE TABLE driver_initiator_data (created_at DATETIME, updated_at DATETIME,"
            " id INTEGER NOT NULL PRIMARY KEY, initiator VARCHAR(255) NOT NULL,"
            " namespace VARCHAR(255) NOT NULL, key VARCHAR(255) NOT NULL, value VARCHAR(255))",
        )

        text = "initiator, namespace, key should be unique together"
        assert found == [SchemaFinding("driver_initiator_data", text, fatal=False)]

    @pytest.mark.parametrize(("version", "count"), [("9c74c1c6971f", 0), ("0123456789ab", 1)])
    def test_the_version_of_cinders_tables(self, empty, version, count):
        found = self.findings(
            empty,
            "CREATE TABLE alembic_version (version_num VARCHAR(32))",
            f"INSERT INTO alembic_version VALUES ('{version}')",
        )

        assert [(f.table, f.fatal) for f in found] == [("alembic_version", False)] * count
