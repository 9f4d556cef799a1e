# SPDX-License-Identifier: Apache-2.0
"""A server that drops its clients, goes away and comes back."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

import pymysql
import pytest
import sqlalchemy as sa

from flows.errors import Unavailable
from tests.servers import until
from worker.db.database import Database
from worker.db.records import Records

OTHERS = {
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"
    " AND id <> CONNECTION_ID()",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()",
}
END = {"mysql": "KILL {}", "postgresql": "SELECT pg_terminate_backend({})"}
OWN = {"mysql": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}


@pytest.fixture
def administrator(kind, database) -> Callable[[str], list]:
    """A function that runs a statement on a connection of its own."""
    engine = sa.create_engine(database.engine.url, poolclass=sa.pool.NullPool)

    def run(statement: str) -> list:
        with engine.connect() as connection:
            answer = connection.execute(sa.text(statement))
            return list(answer.scalars()) if answer.returns_rows else []

    return run


@pytest.fixture
def drop_clients(kind, administrator) -> Callable[[], int]:
    """A function that ends all connections on the server's side and says how many."""

    def drop() -> int:
        clients = administrator(OTHERS[kind])
        for client in clients:
            administrator(END[kind].format(client))
        until(lambda: not administrator(OTHERS[kind]), 60, "the end of the connections")
        return len(clients)

    return drop


@pytest.fixture
def log(caplog):
    """Lines of our log as (level, text)."""
    caplog.set_level(logging.INFO, logger="worker.db")
    ours = lambda: [r for r in caplog.records if r.name.startswith("worker.")]  # noqa: E731
    return lambda: [(r.levelname, r.getMessage()) for r in ours()]


CALLS = {
    "get": lambda r: r.volumes.get("v1"),
    "update": lambda r: r.volumes.update("v1", provider_id="x"),
    "transition": lambda r: r.volumes.transition("v1", "available", when=("creating",), done=True),
    "destroy": lambda r: r.volumes.destroy("v1"),
    "lists": lambda r: list(r.volumes.on_host("h@b")),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_connection_that_the_server_dropped_is_replaced(call, records, drop_clients, log):
    records.volumes.create(id="v1", host="h@b")
    for warm_up in CALLS.values():
        warm_up(records) if warm_up is not CALLS["destroy"] else None
    records.volumes.update("v1", status="creating")

    assert drop_clients() >= 1
    call(records)
    assert log() == []


def test_a_transaction_that_is_cut_is_run_again_as_a_whole(
    kind, database, records, administrator, log
):
    records.volumes.create(id="v1", size=1)
    tries = []

    def work(connection):
        tries.append(1)
        connection.execute(sa.text("UPDATE volumes SET size = size + 1"))
        if len(tries) == 1:
            own = connection.execute(sa.text(OWN[kind])).scalar()
            administrator(END[kind].format(own))
        connection.execute(sa.text("UPDATE volumes SET size = size + 10"))

    database.write(work)
    assert records.volumes.get("v1").size == 12
    assert len(tries) == 2


def test_an_outage_is_waited_for_and_told_once(kind, database, records, servers, log):
    records.volumes.create(id="v1")
    server = servers.mariadb if kind == "mysql" else servers.postgresql
    server.stop()  # in order: our private servers do not wait for the disk
    threads = [
        threading.Thread(target=records.volumes.update, args=("v1",), kwargs={name: "x"})
        for name in ("provider_id", "provider_auth", "provider_location")
    ]
    try:
        for thread in threads:
            thread.start()
        until(log, 60, "a warning")
    finally:
        server.start()
    for thread in threads:
        thread.join(60)

    volume = records.volumes.get("v1")
    assert (volume.provider_id, volume.provider_auth, volume.provider_location) == ("x",) * 3
    [(first, said), (last, ended)] = log()
    assert (first, last) == ("WARNING", "INFO")
    assert said.startswith(f"database away: {database.shown}: ")
    assert "back after" in ended


@pytest.mark.parametrize("kind", ["mysql"], indirect=True)
def test_a_wrong_password_is_said_at_once_and_never_shown(kind, database, caplog):
    url = database.engine.url.set(username="nobody", password="geheim")
    refused = Database(url.render_as_string(hide_password=False), db_retry_interval=3600)

    with pytest.raises(Unavailable, match="Access denied") as caught:
        Records(refused).volumes.get("v1")
    assert "geheim" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("kind", ["mysql"], indirect=True)
@pytest.mark.parametrize(
    ("call", "trips"),
    [("get", 1), ("update", 1), ("transition", 3), ("destroy", 4)],
)
def test_trips_to_the_server(kind, records, monkeypatch, call, trips):
    """Pings and rollbacks for nothing would double them."""
    records.volumes.create(id="v1")
    records.volumes.get("v1")
    commands = []
    plain = pymysql.connections.Connection._execute_command

    def counted(connection, command, sql):
        commands.append(sql)
        return plain(connection, command, sql)

    monkeypatch.setattr(pymysql.connections.Connection, "_execute_command", counted)
    CALLS[call](records)

    assert len(commands) == trips, commands


def test_a_forked_child_leaves_the_parents_connections_alone(database, records):
    records.volumes.create(id="v1")
    records.volumes.get("v1")
    opened = []
    with database.reader() as connection:
        for engine in {database.engine, connection.engine}:
            sa.event.listen(engine, "connect", lambda *_: opened.append(1))
    child = os.fork()
    if child == 0:
        database.dispose()
        os._exit(0)
    os.waitpid(child, 0)
    records.volumes.update("v1", size=1)

    assert records.volumes.get("v1").size == 1
    assert opened == []


IDLE = {
    "mysql": ("SELECT @@idle_write_transaction_timeout", 15),
    "postgresql": ("SHOW idle_in_transaction_session_timeout", "15s"),
}


def test_the_locks_of_a_host_that_lost_its_power_end(kind, database):
    statement, wanted = IDLE[kind]
    with database.writer() as connection:
        assert connection.execute(sa.text(statement)).scalar_one() == wanted
