# SPDX-License-Identifier: Apache-2.0
"""The meaning of each error, the time of waiting, and the log lines."""

from __future__ import annotations

import logging
import re
import sqlite3

import pymysql
import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exception

from flows.errors import Unavailable
from worker import outage_log
from worker.db import outage
from worker.db.database import Database
from worker.db.error_kinds import ErrorKind, kind_of, reason

GONE = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
REFUSED = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on '127.0.0.1'")


def wrapped(cause, kind=sa.exc.OperationalError):
    """An error of a driver as SQLAlchemy hands it on."""
    return kind("UPDATE volumes SET provider_auth = %s", ("secret",), cause, hide_parameters=True)


def away(cause=GONE):
    """A lost connection as oslo.db hands it on."""
    return db_exception.DBConnectionError(wrapped(cause))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (away(), ErrorKind.AWAY),
        (away(REFUSED), ErrorKind.AWAY),
        (sa.exc.TimeoutError("QueuePool limit"), ErrorKind.AWAY),
        (db_exception.DBNonExistentDatabase("x"), ErrorKind.REFUSED),
        (db_exception.DBDeadlock(), ErrorKind.CONFLICT),
        (wrapped(sqlite3.OperationalError("database is locked")), ErrorKind.CONFLICT),
        (wrapped(sqlite3.OperationalError("database or disk is full")), ErrorKind.AWAY),
        (sqlite3.OperationalError("unable to open database file"), ErrorKind.REFUSED),
        (wrapped(sqlite3.OperationalError("no such column: x")), None),
        (db_exception.DBDuplicateEntry(["id"]), None),
    ],
)
def test_what_an_error_means(error, meaning):
    assert kind_of(error) is meaning


def test_a_reason_is_short_and_has_no_secret():
    text = reason(away(pymysql.err.OperationalError(2003, "password=geheim \n" + "x" * 999)))

    assert "geheim" not in text
    assert len(text) <= 200 + len("***")
    assert "\n" not in text


class Failing:
    """Work that fails a few times first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, _connection) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def log(caplog):
    """Lines of the log as (level, text)."""
    caplog.set_level(logging.INFO, logger="worker.db")
    return lambda: [(r.levelname, r.getMessage()) for r in caplog.records]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Repeat at once."""
    monkeypatch.setattr(outage, "CONFLICT_PAUSE", 0)
    monkeypatch.setattr(outage, "CONFLICT_PAUSE_MAX", 0)


@pytest.fixture
def database(tmp_path):
    """A database that is waited for without pauses, five times."""
    url = f"sqlite:///{tmp_path / 'x.sqlite'}"
    made = Database(url, db_max_retries=5, db_retry_interval=0, db_max_retry_interval=0)
    yield made
    made.dispose()


@pytest.mark.parametrize("call", ["read", "write"])
class TestWaiting:
    def test_a_connection_that_died_unnoticed_is_replaced_quietly(self, database, call, log):
        work = Failing(away())

        assert getattr(database, call)(work) == "done"
        assert work.calls == 2
        assert log() == []

    def test_an_outage_is_one_warning_and_one_line_at_its_end(self, database, call, log):
        assert getattr(database, call)(Failing(*[away(REFUSED)] * 5)) == "done"

        [(first, said), (last, ended)] = log()
        assert (first, last) == ("WARNING", "INFO")
        assert said.startswith(f"database away: {database.shown}: Can't connect to MySQL")
        assert re.match(r"database back after \d+\.\d s: sqlite://", ended)

    def test_it_ends_and_says_that_nothing_is_decided(self, database, call, log):
        work = Failing(*[away(REFUSED)] * 99)

        assert not database.is_away
        with pytest.raises(Unavailable, match="Can't connect") as caught:
            getattr(database, call)(work)
        assert database.is_away
        assert work.calls == 1 + 1 + 5
        assert [level for level, _ in log()] == ["WARNING"]
        assert "secret" not in str(caught.value.__cause__)

    def test_an_error_that_comes_late_is_of_the_same_outage(self, database, call, log):
        for _ in range(2):
            getattr(database, call)(Failing(away(), away()))

        assert [level for level, _ in log()] == ["WARNING", "INFO"]

    def test_the_next_outage_is_told_again(self, database, call, log, monkeypatch):
        monkeypatch.setattr(outage_log, "SAME", 0.0)
        for _ in range(2):
            getattr(database, call)(Failing(away(), away()))

        assert [level for level, _ in log()] == ["WARNING", "INFO"] * 2

    def test_a_conflict_is_no_outage(self, database, call, log):
        work = Failing(*[db_exception.DBDeadlock()] * 5)

        assert getattr(database, call)(work) == "done"
        assert work.calls == 6
        assert log() == []

    def test_a_refusal_is_one_warning(self, database, call, log):
        for _ in range(2):
            with pytest.raises(Unavailable):
                getattr(database, call)(Failing(db_exception.DBNonExistentDatabase("x")))

        [(level, said)] = log()
        assert (level, said.partition(": ")[0]) == ("WARNING", "database away")

    def test_a_refusal_is_not_repeated(self, database, call):
        work = Failing(*[wrapped(pymysql.err.OperationalError(1045, "Access denied"))] * 9)

        with pytest.raises(Unavailable, match="Access denied"):
            getattr(database, call)(work)
        assert work.calls == 1

    @pytest.mark.parametrize(
        "error", [wrapped(sqlite3.OperationalError("no such column: x")), ValueError("ours")]
    )
    def test_a_fault_of_ours_is_raised_as_it_is(self, database, call, error):
        work = Failing(error)

        with pytest.raises(type(error)) as caught:
            getattr(database, call)(work)
        assert caught.value is error
        assert work.calls == 1

    def test_a_fault_after_an_outage_is_raised_as_it_is(self, database, call):
        with pytest.raises(ValueError, match="ours"):
            getattr(database, call)(Failing(away(), away(), ValueError("ours")))


class TestGivingUp:
    def test_who_waits_is_told(self, database):
        database.give_up()
        work = Failing(*[away()] * 99)

        with pytest.raises(Unavailable):
            database.write(work)
        assert work.calls == 2

    def test_the_impatient_do_not_wait_but_repeat_a_conflict(self, database):
        with pytest.raises(Unavailable):
            database.write(Failing(away(), away()), retry_outages=False)
        conflicts = Failing(*[db_exception.DBDeadlock()] * 3)
        assert database.write(conflicts, retry_outages=False) == "done"

    def test_without_a_limit_it_waits_on(self, tmp_path):
        database = Database(f"sqlite:///{tmp_path / 'x'}", db_max_retries=-1, db_retry_interval=0)

        assert database.write(Failing(*[away()] * 200)) == "done"
