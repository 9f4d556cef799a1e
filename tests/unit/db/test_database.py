# SPDX-License-Identifier: Apache-2.0
"""Connections: their statements, their settings, their recovery."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import options as db_options

from worker.db import tuning
from worker.db.database import Database


@pytest.fixture
def statements(database):
    """Every statement that reaches the driver, transactions included."""
    seen: list[str] = []
    engines = {database.engine}
    with database.reader() as connection:
        engines.add(connection.engine)

    def note(_conn, _cursor, statement, *_):
        seen.append(statement.split()[0])

    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
        sa.event.listen(engine, "rollback", lambda _c: seen.append("ROLLBACK"))
        sa.event.listen(engine, "commit", lambda _c: seen.append("COMMIT"))
    return seen


class TestStatements:
    """The fewer, the faster: no needless statement."""

    @pytest.mark.parametrize(
        ("method", "arguments", "expected"),
        [
            ("get", {}, ["SELECT"]),
            ("update", {"provider_id": "x"}, ["BEGIN", "UPDATE", "COMMIT"]),
            (
                "transition",
                {"to": "available", "when": ("creating",), "done": True},
                ["BEGIN", "UPDATE", "DELETE", "COMMIT"],
            ),
            (
                "destroy",
                {"release": {"volumes": 1, "gigabytes": 1}},
                ["BEGIN", "UPDATE", "DELETE", "SELECT", "UPDATE", "UPDATE", "COMMIT"],
            ),
        ],
    )
    def test_of_a_volume(self, records, statements, method, arguments, expected):
        records.volumes.create(id="v1")
        statements.clear()
        getattr(records.volumes, method)("v1", **arguments)

        assert statements == expected

    def test_a_connection_is_used_again(self, database, records):
        opened = []
        sa.event.listen(database.engine, "connect", lambda *_: opened.append(1))
        for _ in range(5):
            records.volumes.create()

        assert len(opened) <= 1


class TestSqlite:
    def setting(self, database, name):
        with database.writer() as connection:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    @pytest.mark.parametrize(
        ("name", "value"),
        [("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 30000)],
    )
    def test_settings(self, database_url, name, value):
        database = Database(database_url)

        assert self.setting(database, name) == value
        database.dispose()

    def test_a_transaction_holds_the_lock_from_its_beginning(self, database, database_url):
        """A read that turns into a write behind another write could not go on."""
        path = database_url.removeprefix("sqlite:///")

        with database.writer(), closing(sqlite3.connect(path, timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            assert other.execute("SELECT count(*) FROM volumes").fetchone() == (0,)

    def test_a_reader_holds_none(self, database, database_url):
        path = database_url.removeprefix("sqlite:///")

        with database.reader() as connection, closing(sqlite3.connect(path, timeout=0)) as other:
            connection.execute(sa.text("SELECT 1 FROM volumes"))
            other.execute("BEGIN IMMEDIATE")

    def test_in_memory_both_ways_see_the_same(self):
        database = Database("sqlite://")
        with database.writer() as connection:
            connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))

        assert database.rows(sa.text("SELECT count(*) FROM t"))[0][0] == 0  # type: ignore[arg-type]


class TestTransactions:
    def test_all_or_nothing(self, database, records):
        def work(connection):
            connection.execute(sa.text("DELETE FROM volume_types"))
            raise RuntimeError

        with pytest.raises(RuntimeError):
            database.write(work)
        assert records.volume_types.list() != []

    def test_values_do_not_reach_the_text_of_an_error(self, database):
        with pytest.raises(sa.exc.OperationalError) as caught, database.writer() as connection:
            connection.execute(sa.text("SELECT nothing, :auth"), {"auth": "secret"})

        assert "secret" not in str(caught.value)


class TestFork:
    def test_a_child_forgets_the_connections_and_the_parent_keeps_them(self, database, records):
        records.volumes.create(id="v1")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            database.dispose()
            records.volumes.update("v1", size=7)
            os.write(writing, b"done")
            os._exit(0)
        os.waitpid(child, 0)

        assert os.read(reading, 4) == b"done"
        assert records.volumes.get("v1").size == 7
        os.close(reading), os.close(writing)

    def test_it_can_be_used_again_after_dispose(self, database, records):
        database.dispose()

        assert records.volumes.create().status == "creating"


class TestOptions:
    def test_an_unknown_one_is_an_error(self):
        with pytest.raises(TypeError, match="no option colour"):
            Database("sqlite://", colour="red")

    def test_are_read_from_their_section(self):
        conf = cfg.ConfigOpts()
        conf.register_opts(db_options.database_opts, "database")
        conf([])
        conf.set_override("connection", "mysql+pymysql://nowhere/d", "database")
        conf.set_override("max_pool_size", 3, "database")
        database = Database.from_conf(conf)

        assert database.engine.pool.size() == 3

    def test_no_password_and_no_parameter_is_shown(self):
        database = Database("mysql+pymysql://u:geheim@h:1/d?ssl_key=k&passwd=p")

        assert database.shown == "mysql+pymysql://u:***@h:1/d"

    @pytest.mark.parametrize(
        ("url", "given", "expected"),
        [
            ("mysql+pymysql://h/d", "read_timeout", 90),
            ("mysql+pymysql://h/d?read_timeout=5", "read_timeout", None),
            ("mysql+pymysql://h/d", "connect_timeout", 10),
            ("postgresql+psycopg2://h/d", "connect_timeout", 10),
            ("postgresql+psycopg2://h/d", "read_timeout", None),
            ("sqlite:////f", "timeout", 30),
        ],
    )
    def test_timeouts_unless_the_address_has_its_own(self, url, given, expected):
        arguments: dict = {}
        tuning.Writing(sa.engine.make_url(url), arguments)

        assert arguments["connect_args"].get(given) == expected
