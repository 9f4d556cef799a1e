# SPDX-License-Identifier: Apache-2.0
"""Prepared statements end as SQLAlchemy's executions do, on each driver: answers and errors."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exception

from tests.conftest import empty_database
from tests.servers import Servers
from worker.db.database import Database
from worker.db.error_kinds import ErrorKind, kind_of
from worker.db.row_statements.prepared_statement import PreparedStatement

DRIVERS = {
    "sqlite": "sqlite",
    "pymysql": "mysql",
    "psycopg2": "postgresql",
    "psycopg": "postgresql",
}

TABLE = sa.Table(
    "example",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(36), unique=True),
    sa.Column("flag", sa.Boolean),
    sa.Column("at", sa.DateTime),
)
AT = datetime.datetime(2026, 1, 2, 3, 4, 5)
ROWS = [
    {"id": 1, "name": "a%s", "flag": True, "at": AT},
    {"id": 2, "name": "b", "flag": False, "at": None},
]

DEADLOCK = {
    "mysql": "CREATE FUNCTION deadlock() RETURNS INT BEGIN SIGNAL SQLSTATE '40001' SET"
    " MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found when trying to get lock'; RETURN 1; END",
    "postgresql": "CREATE FUNCTION deadlock() RETURNS int AS $$ BEGIN RAISE EXCEPTION"
    " 'deadlock detected' USING ERRCODE = '40P01'; END $$ LANGUAGE plpgsql",
}
KILL = {
    "pymysql": "KILL {}",
    "psycopg2": "SELECT pg_terminate_backend({}, 30000)",
    "psycopg": "SELECT pg_terminate_backend({}, 30000)",
}
OWN = {"mysql": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}

Run = Callable[[sa.Connection, Any, Mapping[str, Any]], Any]


def by_sqlalchemy(connection: sa.Connection, statement: Any, values: Mapping[str, Any]) -> Any:
    """Execute a statement by SQLAlchemy."""
    result = connection.execute(statement, values)
    return [list(row) for row in result] if result.returns_rows else result.rowcount


def prepared(connection: sa.Connection, statement: Any, values: Mapping[str, Any]) -> Any:
    """Execute a statement on the driver's cursor."""
    if isinstance(statement, sa.Select):
        return [list(row) for row in PreparedStatement(statement).rows(connection, values)]
    return PreparedStatement(statement).count(connection, values)


@pytest.fixture(params=DRIVERS, scope="module")
def driver(request: pytest.FixtureRequest) -> str:
    """The driver of the database."""
    if request.param == "psycopg":
        pytest.importorskip("psycopg", reason="psycopg 3: pip install 'psycopg[binary]'")
    return str(request.param)


@pytest.fixture(scope="module")
def database(
    driver: str, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with one table, which the tests leave as it is."""
    url = empty_database(DRIVERS[driver], servers, tmp_path_factory.mktemp("prepared"))
    made = Database(url.replace("+psycopg2", f"+{driver}"))
    with made.writer() as connection:
        TABLE.create(connection)
        connection.execute(sa.insert(TABLE), ROWS)
    yield made
    made.dispose()


WHICH = TABLE.c.id == sa.bindparam("which")
IN = sa.bindparam("ids", expanding=True)


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (sa.select(TABLE).where(WHICH), {"which": 1}),
        (sa.select(TABLE).where(WHICH), {"which": 2}),
        (sa.select(TABLE).where(WHICH), {"which": 3}),
        (sa.select(TABLE.c.id + 1).order_by(TABLE.c.id), {}),
        (sa.select(TABLE.c.name).where(TABLE.c.id.in_(IN)), {"ids": [2]}),
        (sa.select(TABLE.c.name).where(TABLE.c.id.in_(IN)), {"ids": []}),
        (sa.update(TABLE).where(WHICH), {"which": 2, "flag": True, "at": AT}),
        (sa.update(TABLE).where(WHICH), {"which": 2, "name": "b"}),
        (sa.update(TABLE).where(WHICH), {"which": 3, "name": "c"}),
        (sa.update(TABLE).values(name=None).where(TABLE.c.id.in_(IN)), {"ids": [1, 2]}),
        (sa.delete(TABLE).where(WHICH), {"which": 1}),
    ],
)
def test_answers(database: Database, statement: Any, values: Mapping[str, Any]) -> None:
    found = []
    for run in (by_sqlalchemy, prepared):
        with database.engine.connect() as connection, connection.begin() as transaction:
            answer = run(connection, statement, values)
            left = connection.execute(sa.select(TABLE).order_by(TABLE.c.id)).all()
            transaction.rollback()
        found.append((answer, left))

    assert found[0] == found[1]


def test_one_statement_serves_lists_of_each_length(database: Database) -> None:
    statement = PreparedStatement(
        sa.select(TABLE.c.id).where(TABLE.c.id.in_(IN)).order_by(TABLE.c.id)
    )
    with database.reader() as connection:
        found = [statement.rows(connection, {"ids": ids}) for ids in ([1], [1, 2], [], [2])]

    assert [[row[0] for row in rows] for rows in found] == [[1], [1, 2], [], [2]]


def ended(database: Database, run: Run, statement: Any, values: Mapping[str, Any]) -> Any:
    """Return all that the callers of a failed statement see, and whether its connection is left."""
    with database.engine.connect() as connection, connection.begin():
        with pytest.raises(Exception) as caught:  # noqa: B017, PT011 - compared with another
            run(connection, statement, values)
        error = caught.value
        seen = (type(error), str(error), kind_of(error), connection.invalidated)
        connection.rollback() if connection.invalidated else None
    return seen


@pytest.mark.parametrize(
    ("statement", "values", "kind"),
    [
        (sa.select(sa.column("nothing")).select_from(TABLE), {}, None),
        (sa.update(TABLE).where(WHICH), {"which": 2, "name": "a%s"}, db_exception.DBDuplicateEntry),
        (sa.update(TABLE).where(WHICH), {"which": 2, "id": None}, db_exception.DBError),
    ],
)
def test_errors_of_a_statement(
    database: Database, statement: Any, values: Mapping[str, Any], kind: type | None
) -> None:
    expected = ended(database, by_sqlalchemy, statement, values)

    assert ended(database, prepared, statement, values) == expected
    assert issubclass(expected[0], kind or sa.exc.DBAPIError | db_exception.DBError)
    assert expected[2:] == (None, False)


@pytest.mark.parametrize("driver", KILL, indirect=True)
def test_a_deadlock(database: Database, driver: str) -> None:
    with database.writer() as connection:
        connection.exec_driver_sql(DEADLOCK[DRIVERS[driver]])
    statement = sa.select(sa.func.deadlock())
    expected = ended(database, by_sqlalchemy, statement, {})

    assert ended(database, prepared, statement, {}) == expected
    assert expected[0] is db_exception.DBDeadlock
    assert expected[2:] == (ErrorKind.CONFLICT, False)


@pytest.mark.parametrize("driver", ["sqlite"], indirect=True)
def test_a_lock_that_is_not_granted(database: Database) -> None:
    statement, values = sa.update(TABLE).where(WHICH), {"which": 1, "name": "x"}
    seen = []
    with database.writer():  # SQLite's lock is taken at the begin
        other = Database(str(database.engine.url).partition("?")[0])
        for run in (by_sqlalchemy, prepared):
            with other.reader() as connection:
                connection.connection.cursor().execute("PRAGMA busy_timeout=0")
                with pytest.raises(sa.exc.OperationalError) as caught:
                    run(connection, statement, values)
                seen.append((type(caught.value), str(caught.value), kind_of(caught.value)))
        other.dispose()

    assert seen[0] == seen[1]
    assert seen[0][2] is ErrorKind.CONFLICT


@pytest.mark.parametrize("driver", KILL, indirect=True)
def test_a_lost_connection_leaves_the_pool_and_its_transaction(
    database: Database, driver: str
) -> None:
    statement, values = sa.select(TABLE.c.id).where(WHICH), {"which": 1}
    for run in (by_sqlalchemy, prepared):
        with database.engine.connect() as connection, connection.begin() as transaction:
            own = connection.exec_driver_sql(OWN[DRIVERS[driver]]).scalar()
            with database.reader() as administrator:
                administrator.exec_driver_sql(KILL[driver].format(own)).close()
            with pytest.raises(db_exception.DBConnectionError) as caught:
                run(connection, statement, values)
            assert kind_of(caught.value) is ErrorKind.AWAY
            assert connection.invalidated
            with pytest.raises(sa.exc.PendingRollbackError):
                run(connection, statement, values)  # it would be a transaction of its own
            transaction.rollback()

    assert database.rows(PreparedStatement(statement), values)[0][0] == 1
