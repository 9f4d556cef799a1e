# SPDX-License-Identifier: Apache-2.0
"""An existing database of Cinder 29.0.0: it fits, and stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.unit.db.world import Tables
from worker.db import models
from worker.db.database import Database
from worker.db.records import Records
from worker.db.schema_check import CINDER_VERSION_TABLE, SchemaFinding, check
from worker.db.sync import NotOurs, sync

SCHEMA = Path(__file__).parent / "cinder-29-schema.sql"

NOT_OURS = {"reservations": {"allocated_id"}, "quotas": {"allocated"}}
"""Columns that exist in Cinder's tables and are not used."""


@pytest.fixture
def cinder(new_database: Callable[[str], str]) -> Iterator[Database]:
    """A database as Cinder's migrations leave it."""
    database = Database(new_database("mysql"))
    run(database, *SCHEMA.read_text().rstrip().rstrip(";").split(";\n"))
    yield database
    database.dispose()


def run(database: Database, *statements: str) -> None:
    """Run statements as they are."""
    with database.writer() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def described(database: Database) -> dict[str, list[tuple[str, str, bool]]]:
    """Return the columns of all tables: name, type, whether they may be empty."""
    with database.reader() as connection:
        inspector = sa.inspect(connection)
        return {
            table: [
                (c["name"], c["type"].compile(connection.dialect).split(" CH")[0], c["nullable"])
                for c in inspector.get_columns(table)
            ]
            for table in inspector.get_table_names()
        }


def test_it_fits(cinder):
    assert check(cinder) == []


def test_it_is_never_migrated(cinder):
    before = described(cinder)

    with pytest.raises(NotOurs):
        sync(cinder)
    assert described(cinder) == before


def test_a_standalone_database_has_the_same_columns(cinder, new_database):
    ours = Database(new_database("mysql"))
    sync(ours)
    theirs, made = described(cinder), described(ours)
    ours.dispose()

    for table in models.metadata.tables:
        missing = NOT_OURS.get(table, set())
        expected = {c for c in theirs[table] if c[0] not in missing}
        assert {(n, k.split(" COLL")[0], e) for n, k, e in made[table]} == {
            (n, k.split(" COLL")[0], e) for n, k, e in expected
        }, table


def test_a_standalone_database_has_all_of_cinders_tables(cinder):
    assert described(cinder).keys() - {CINDER_VERSION_TABLE} == models.metadata.tables.keys()


def test_indexes_are_the_same(cinder, new_database):
    ours = Database(new_database("mysql"))
    sync(ours)

    def indexes(database):
        with database.reader() as connection:
            inspector = sa.inspect(connection)
            return {
                table: {
                    (tuple(i["column_names"]), i["unique"]) for i in inspector.get_indexes(table)
                }
                for table in models.metadata.tables
            }

    theirs, made = indexes(cinder), indexes(ours)
    ours.dispose()
    theirs["reservations"].discard((("allocated_id",), False))
    assert made == theirs


def test_keys_are_the_same(cinder, new_database):
    ours = Database(new_database("mysql"))
    sync(ours)

    def keys(database):
        with database.reader() as connection:
            inspector = sa.inspect(connection)
            return {
                table: (
                    inspector.get_pk_constraint(table)["constrained_columns"],
                    {
                        (tuple(k["constrained_columns"]), k["referred_table"])
                        for k in inspector.get_foreign_keys(table)
                    },
                )
                for table in models.metadata.tables
            }

    theirs, made = keys(cinder), keys(ours)
    ours.dispose()
    theirs["reservations"][1].discard((("allocated_id",), "quotas"))
    assert made == theirs


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("DROP TABLE transfers", SchemaFinding("transfers", "is missing")),
        (
            "DROP TABLE attachment_specs",
            SchemaFinding("attachment_specs", "is missing", fatal=False),
        ),
        (
            "ALTER TABLE volumes DROP COLUMN shared_targets",
            SchemaFinding("volumes", "column shared_targets is missing"),
        ),
        (
            "ALTER TABLE volumes MODIFY provider_auth varchar(255)",
            SchemaFinding("volumes", "column provider_auth takes 255 characters, not 256"),
        ),
        (
            "ALTER TABLE volumes MODIFY size varchar(255)",
            SchemaFinding("volumes", "column size is text, not a whole number"),
        ),
        (
            "ALTER TABLE volumes MODIFY launched_at bigint",
            SchemaFinding("volumes", "column launched_at is a whole number, not a time"),
        ),
        (
            "ALTER TABLE volumes MODIFY host varchar(255) NOT NULL",
            SchemaFinding("volumes", "column host must have a value, and we may leave it empty"),
        ),
        (
            "ALTER TABLE volumes ADD COLUMN colour int NOT NULL",
            SchemaFinding("volumes", "column colour must have a value, and we do not know it"),
        ),
        (
            "UPDATE alembic_version SET version_num = '0'",
            SchemaFinding(
                "alembic_version",
                "is at 0; the tables are known as of 9c74c1c6971f (Cinder 29.0.0)",
                fatal=False,
            ),
        ),
    ],
)
def test_what_does_not_fit_is_named(cinder, change, finding):
    run(cinder, change)

    assert check(cinder) == [finding]


def test_a_volume_lives_and_ends_in_it(cinder):
    tables, records = Tables(cinder), Records(cinder)
    tables.volume_type("__DEFAULT__")
    records.volumes.create(id="v1", host="h@b#p", size=1, metadata={"a": "b"})
    records.snapshots.create(id="s1", volume_id="v1")
    records.attachments.create(id="a1", volume_id="v1", attach_status="attached")
    records.attachments.settle_volume("v1")
    records.volumes.transition("v1", "deleting", when=("in-use",))

    assert records.volumes.destroy("v1") is True
    assert tables.row("volumes", id="v1")["status"] == "deleted"
    assert tables.row("snapshots", id="s1")["deleted"] is True
