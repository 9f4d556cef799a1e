# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL through psycopg 3: rows, the journal, and connections that end."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from taskflow import states

from flows.errors import StatusChanged
from flows.volume import create
from tests.conftest import require
from tests.servers import PostgreSQL
from worker.db.database import Database
from worker.db.records import Records
from worker.db.sync import sync
from worker.journal.journal import Journal
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

pytest.importorskip("psycopg", reason="psycopg 3: pip install 'psycopg[binary]'")


@pytest.fixture
def url(new_database: Callable[[str], str]) -> str:
    """The URL of an empty database."""
    require(PostgreSQL)
    return new_database("postgresql").replace("+psycopg2", "+psycopg")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A database with our tables."""
    made = Database(url, db_retry_interval=0.2)
    sync(made)
    yield made
    made.dispose()


@pytest.fixture
def end_connections(url: str) -> Iterator[Callable[[], None]]:
    """A function that ends all connections of others on the server's side."""
    engine = sa.create_engine(url.replace("+psycopg", "+psycopg2"), poolclass=sa.pool.NullPool)
    others = "datname = current_database() AND pid <> pg_backend_pid()"

    def end() -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE {others}"
            )

    yield end
    engine.dispose()


def test_rows_and_connections_that_the_server_ends(
    database: Database, end_connections: Callable[[], None]
) -> None:
    assert database.engine.dialect.driver == "psycopg"
    records = Records(database)
    records.volumes.create(id="v1", host="h@b", metadata={"a": "1"})
    end_connections()
    records.volumes.transition("v1", "available", when=("creating",), done=True)
    end_connections()

    assert records.volumes.get("v1").metadata == {"a": "1"}
    with pytest.raises(StatusChanged):
        records.volumes.transition("v1", "error", when=("creating",))
    end_connections()
    assert records.volumes.destroy("v1", release={"volumes": 1})


def test_a_server_that_only_reads_is_waited_for(database: Database) -> None:
    """As a standby does after a failover, until the address leads to the new primary."""
    records = Records(database)
    records.volumes.create(id="v1")
    attempts: list[int] = []

    def work(connection: sa.Connection) -> None:
        attempts.append(1)
        if len(attempts) <= 2:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("UPDATE volumes SET size = 7")

    database.write(work)
    assert (records.volumes.get("v1").size, len(attempts)) == (7, 3)


def test_the_journal(url: str, end_connections: Callable[[], None]) -> None:
    journal = Journal(url)
    journal.upgrade()
    request = RequestContext({"request_id": "req-1"})
    operation = Operation(
        create.flow,
        ("volume", "v1"),
        {"volume_id": "v1", "odd": "\0 \ud800 \U0001f600 ☃ '\"%s"},
        method="create_volume",
        request=request,
    )
    detail = journal.accept(uuid.uuid4().hex, "h1@b1/0", operation)
    assert detail is not None
    end_connections()

    assert journal.load(detail.uuid).meta["args"]["odd"] == "\0 \ud800 \U0001f600 ☃ '\"%s"
    end_connections()
    journal.finish(detail, journal.progress(detail), None)
    assert journal.load(detail.uuid).state == states.SUCCESS
    journal.close()
