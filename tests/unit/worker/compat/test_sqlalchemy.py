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

from worker.compat.sqlalchemy import bind_processors

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
