# SPDX-License-Identifier: Apache-2.0
"""The servers behind the functional tests: private, separate, gone at the end."""

from __future__ import annotations

from pathlib import Path

import kombu
import pytest
import sqlalchemy

from tests.conftest import require
from tests.servers import Broker, MariaDB, PostgreSQL, Server, Servers, alive, listens


def amqp(url: str) -> kombu.Connection:
    return kombu.Connection(url.replace("rabbit://", "amqp://"))


def test_virtual_hosts_share_nothing(broker):
    first, second = broker.vhost(), broker.vhost()
    with amqp(first) as here, amqp(second) as there:
        here.SimpleQueue("cinder-volume").put("cast")

        assert there.SimpleQueue("cinder-volume").qsize() == 0
        assert here.SimpleQueue("cinder-volume").qsize() == 1


def test_stopped_broker_refuses_and_keeps_durable_messages(broker):
    url = broker.vhost()
    with amqp(url) as connection:
        connection.SimpleQueue("durable").put({"method": "cast"})

    broker.stop()
    refused = not listens(broker.port)
    broker.start()

    assert refused
    with amqp(url) as connection:
        assert connection.SimpleQueue("durable").get(timeout=5).payload == {"method": "cast"}


def test_databases_are_empty(database_url):
    engine = sqlalchemy.create_engine(database_url)

    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_killed_database_comes_back_on_its_port(servers, kind):
    require(MariaDB if kind == "mariadb" else PostgreSQL)
    server: Server = getattr(servers, kind)
    url = server.database()

    server.kill()
    refused = not listens(server.port)
    server.start()

    assert refused
    engine = sqlalchemy.create_engine(url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


@pytest.mark.lasts(40)
def test_nothing_is_left_at_the_end():
    require(Broker, MariaDB, PostgreSQL)
    with Servers() as servers:
        running = [servers.broker, servers.mariadb, servers.postgresql]
        pids = [pid for server in running for pid in server.pids()]
        segment = servers.postgresql.segment()
        memory = [Path(f"/proc/{pid}/maps").read_text() for pid in servers.postgresql.pids()]

    assert segment is not None
    assert str(segment) not in Path("/proc/sysvipc/shm").read_text().split()
    assert "/dev/shm/PostgreSQL" not in "".join(memory)
    assert len(pids) > 8  # each has children, and the broker its name server
    assert alive(pids) == []
    assert not any(listens(server.port) for server in running)
    assert not servers.directory.exists()
