# SPDX-License-Identifier: Apache-2.0
"""The private parts of SQLAlchemy are as ``worker.compat`` uses them."""

from __future__ import annotations

import datetime
import json

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import pymysql
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.dialects.sqlite import pysqlite

from worker.compat.sqlalchemy import bind_processors, run_on_cursor

TABLE = sa.Table(
    "example",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.DateTime),
    sa.Column("facts", sa.JSON),
)


@pytest.mark.parametrize("dialect", [module.dialect() for module in (pysqlite, pymysql, psycopg2)])
def test_values_are_converted_as_by_an_execution(dialect: sa.Dialect) -> None:
    statement = sa.update(TABLE).where(TABLE.c.id == sa.bindparam("which"))
    compiled = statement.compile(dialect=dialect, column_keys=["at", "facts"])
    processors = bind_processors(compiled)

    assert json.loads(processors["facts"]({"a": 1})) == {"a": 1}
    assert "which" not in processors
    if dialect.name == "sqlite":
        moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 6)
        assert processors["at"](moment) == "2026-01-02 03:04:05.000006"


def test_listeners_see_statements_and_errors_of_a_cursor() -> None:
    engine = sa.create_engine("sqlite://")
    seen: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _u, sql, *_: seen.append(sql))
    sa.event.listen(engine, "handle_error", lambda context: seen.append(context.statement))
    with engine.connect() as connection:
        assert run_on_cursor(connection, "SELECT ?", [7], lambda c: c.fetchall()) == [(7,)]
        for failing in ("SELECT nothing", "SELECT 1"):
            with pytest.raises(sa.exc.DBAPIError, match=failing):
                run_on_cursor(connection, failing, [], lambda c: c.execute("SELECT nothing"))

    assert seen == ["SELECT ?", "SELECT nothing", "SELECT nothing", "SELECT 1", "SELECT 1"]
