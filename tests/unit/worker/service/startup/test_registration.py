# SPDX-License-Identifier: Apache-2.0
"""Databases at a start: an outage is waited for, a missing table or a wrong password is not."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest
from oslo_db import exception as db_exception

from flows.errors import ProcessStopping, Unavailable
from worker.journal.errors import JournalUnavailable
from worker.service.inputs import Identity
from worker.service.startup import database_wait, open_journal, registration
from worker.service.startup.start_refused import StartRefused

IDENTITY = Identity(
    binary="cinder-volume", rpc_version="3.20", host="h1@b1", zone="nova", number=0, processes=1
)
ROW = object()


class Database:
    """A database that answers with these errors first."""

    shown = "sqlite:///x"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def register(self, *_args: Any, **_kwargs: Any) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return ROW


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_wait, "PAUSE", 0.001)


def register(
    database: Database, monkeypatch: pytest.MonkeyPatch, stopping: threading.Event | None = None
) -> Any:
    monkeypatch.setattr(registration, "RegisteredService", database.register)
    records: Any = SimpleNamespace()
    return registration.register(records, database, IDENTITY, stopping or threading.Event())  # type: ignore[arg-type]


def test_an_outage_is_waited_for_and_logged_by_the_database_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    database = Database(Unavailable("refused"), Unavailable("refused"))

    assert register(database, monkeypatch) is ROW
    assert caplog.messages == []


def test_a_stop_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    stopping.set()

    with pytest.raises(ProcessStopping):
        register(Database(Unavailable("refused")), monkeypatch, stopping)


def test_a_database_without_tables_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(db_exception.DBError("no such table: services"))

    with pytest.raises(StartRefused) as refused:
        register(database, monkeypatch)
    wanted = "sqlite:///x cannot be used: no such table: services; run: holdfast db sync"
    assert str(refused.value) == wanted


class Journal:
    """A journal on a server that answers with these errors first."""

    def __init__(self, *errors: tuple[int, str]) -> None:
        self.errors = list(errors)

    def upgrade(self) -> None:
        if self.errors:
            raise JournalUnavailable("journal") from pymysql.err.OperationalError(
                *self.errors.pop(0)
            )


def opened(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(open_journal, "Journal", lambda _url, _keep_failed: journal)
    return open_journal.open_journal("mysql+pymysql://u@server/journal", threading.Event())


def test_an_outage_of_the_journals_server_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    journal = Journal((2003, "Can't connect"), (1053, "Server shutdown in progress"))

    assert opened(journal, monkeypatch) is journal
    begin, end = caplog.messages
    assert begin == "the start waits for the journal's database: journal"
    assert end == "the journal's database answers after 0 s, the start continues"


def test_a_wrong_password_of_the_journals_server_ends_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StartRefused, match=r"^\[journal\] connection cannot be used: "):
        opened(Journal((1045, "Access denied for user 'u'")), monkeypatch)
