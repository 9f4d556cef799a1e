# SPDX-License-Identifier: Apache-2.0
"""The dialect of PostgreSQL is not loaded for another database, and all of it for its own."""

from __future__ import annotations

import pytest

from tests.unit.worker.compat import fresh_process

START = """
import sys
from worker.compat import deferred, native_threads
import sqlalchemy as sa
from taskflow.persistence.backends.sqlalchemy import tables

NAME = "sqlalchemy.dialects.postgresql"
loaded = lambda: f"{NAME}.base" in sys.modules
"""


def run(script: str) -> None:
    fresh_process.run(START, script)


def test_another_database_does_not_load_it() -> None:
    run("""
        engine = sa.create_engine("sqlite://")
        described = tables.fetch(metadata := sa.MetaData())
        metadata.create_all(engine)
        with engine.connect() as connection:
            assert connection.execute(sa.select(described.logbooks)).all() == []
        assert not loaded()
        """)


@pytest.mark.parametrize(
    "expression",
    [
        'sa.create_engine("postgresql+psycopg2://h/d").dialect.name == "postgresql"',
        'sa.create_engine("postgresql+psycopg2://h/d").dialect.driver == "psycopg2"',
        'sa.dialects.postgresql.dialect().name == "postgresql"',
        "sa.dialects.postgresql.INET and sa.dialects.postgresql.base.PGDialect",
    ],
)
def test_its_own_database_loads_it(expression: str) -> None:
    run(f"assert {expression}; assert loaded()")


@pytest.mark.parametrize("module", ["psycopg2", "base", "asyncpg", "array", "hstore"])
def test_an_import_of_one_of_its_modules_loads_all_of_it(module: str) -> None:
    run(f"""
        import importlib
        found = importlib.import_module(NAME + ".{module}")
        package = sys.modules[NAME]
        assert package.dialect.name == "postgresql"
        assert found is sys.modules[NAME + ".{module}"] and found.__spec__.origin == found.__file__
        assert package.psycopg2.dialect is package.psycopg2.PGDialect_psycopg2
        assert issubclass(package.dialect, package.base.PGDialect)
        assert isinstance(package.array, type) and callable(package.hstore)
        """)


def test_its_type_of_json_is_the_one_of_the_whole_dialect() -> None:
    run("""
        from sqlalchemy.dialects.postgresql import JSON, dialect
        from sqlalchemy.schema import CreateTable

        assert tables.JSON is JSON is dialect.ischema_names["json"]
        table = tables.fetch(sa.MetaData()).flowdetails
        assert "meta JSON" in str(CreateTable(table).compile(dialect=dialect()))
        """)


def test_the_loaded_dialect_is_the_one_of_a_plain_import() -> None:
    run("""
        names = lambda: {name for name in vars(sys.modules[NAME]) if name[0] != "_"}

        sa.dialects.postgresql.INET
        after_deferral = names()
        for name in [name for name in sys.modules if name.startswith(NAME)]:
            del sys.modules[name]
        import sqlalchemy.dialects.postgresql
        assert names() == after_deferral
        """)
