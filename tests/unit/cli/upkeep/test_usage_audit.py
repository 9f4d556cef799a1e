# SPDX-License-Identifier: Apache-2.0
"""holdfast usage audit: events of a period, with Cinder's names and periods."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.cli.conftest import Shell
from worker.cli.upkeep import usage_audit, usage_events
from worker.db.database import Database
from worker.db.records.stored_rows import KINDS

BEGIN, END = "2001-03-01 00:00:00", "2001-04-01 00:00:00"
WINDOW = ("--start", BEGIN, "--end", END)


class Bus:
    """Takes notifications in place of the notifier."""

    enabled, dropped = True, 0
    sent: list[tuple[str, str, dict[str, Any]]]

    def __init__(self, _conf: Any, **_more: Any) -> None:
        pass

    def volume(self, _request: Any, event: str, record: Any, **extra: Any) -> None:
        self.sent.append((event, record.id, extra))

    snapshot = backup = volume

    def flush(self, _timeout: float) -> bool:
        return True

    def close(self) -> None:
        pass


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bus]]:
    """The notifications that were sent."""
    Bus.sent, Bus.enabled, Bus.dropped = [], True, 0
    monkeypatch.setattr(usage_events, "Notifier", Bus)
    yield Bus


def made(holdfast: Shell, created: str, deleted: str | None = None, **columns: Any) -> str:
    """Make a volume of some times."""
    row = holdfast.records.volumes.create(id=str(uuid.uuid4()), project_id="p", size=1, **columns)
    table = KINDS["volume"]
    values: dict[str, Any] = {"created_at": datetime.datetime.fromisoformat(created)}
    if deleted:
        values |= {"deleted": True, "deleted_at": datetime.datetime.fromisoformat(deleted)}
    with Database.from_conf(holdfast.conf).writer() as connection:
        connection.execute(sa.update(table).where(table.c.id == row.id).values(values))
    return str(row.id)


def test_what_existed_in_the_period_is_sent(holdfast: Shell, bus: type[Bus]) -> None:
    wanted = {
        made(holdfast, "2001-01-01"),
        made(holdfast, "2001-03-05"),
        made(holdfast, "2001-01-01", "2001-03-05"),
    }
    made(holdfast, "2001-04-02")
    made(holdfast, "2001-01-01", "2001-02-01")
    made(holdfast, "2001-01-01", use_quota=False)
    counted = holdfast("usage", "audit", *WINDOW, "--dry-run", "-f", "json")
    before = list(bus.sent)
    ran = holdfast("usage", "audit", *WINDOW, "-f", "json")

    assert ran.status == 0, ran.errors
    assert before == []
    assert {one[1] for one in bus.sent} == wanted
    assert {one[0] for one in bus.sent} == {"exists"}
    assert bus.sent[0][2] == {"audit_period_beginning": BEGIN, "audit_period_ending": END}
    assert ran.rows[0]["events"] == counted.rows[0]["events"] == 3


def test_actions_have_their_own_times(holdfast: Shell, bus: type[Bus]) -> None:
    volume_id = made(holdfast, "2001-03-02", "2001-03-03")
    holdfast("usage", "audit", *WINDOW, "--send-actions")
    sent = [(one[0], one[2]["audit_period_beginning"]) for one in bus.sent if one[1] == volume_id]

    assert sent == [
        ("exists", BEGIN),
        ("create.start", "2001-03-02 00:00:00"),
        ("create.end", "2001-03-02 00:00:00"),
        ("delete.start", "2001-03-03 00:00:00"),
        ("delete.end", "2001-03-03 00:00:00"),
    ]


@pytest.mark.parametrize(("name", "value"), [("enabled", False), ("dropped", 1)])
def test_events_that_are_not_sent_are_an_error(
    holdfast: Shell, bus: type[Bus], name: str, value: int
) -> None:
    setattr(bus, name, value)

    assert holdfast("usage", "audit", *WINDOW).status == 1


def test_the_period_is_that_of_the_configuration(
    holdfast: Shell, bus: type[Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    complete = usage_audit.last
    monkeypatch.setattr(
        usage_audit, "last", lambda period, at: seen.append(period) or complete(period, at)
    )
    holdfast.conf.set_override("volume_usage_audit_period", "year@4")
    for words in ((), ("--period", "day@6")):
        holdfast("usage", "audit", "--dry-run", *words)
    with pytest.raises(SystemExit):
        holdfast("usage", "audit", "--dry-run", "--period", "day@24")
    holdfast.conf.clear_override("volume_usage_audit_period")

    assert seen == ["year@4", "day@6"]


def test_a_wrong_period_of_the_configuration_is_an_error(holdfast: Shell, bus: type[Bus]) -> None:
    """A charm writes ``daily``, with which services start all the same."""
    holdfast.conf.set_override("volume_usage_audit_period", "daily")
    ran = holdfast("usage", "audit")
    holdfast.conf.clear_override("volume_usage_audit_period")

    assert ran.status == 1
    assert "volume_usage_audit_period: 'daily' is no period as" in str(ran.errors)


def test_a_period_ends_after_its_start(holdfast: Shell, bus: type[Bus]) -> None:
    ran = holdfast("usage", "audit", "--start", END, "--end", BEGIN)

    assert (ran.status, bus.sent) == (1, [])


@pytest.mark.parametrize(
    ("period", "begin", "end"),
    [
        ("hour", "2026-03-01 11:00:00", "2026-03-01 12:00:00"),
        ("day", "2026-02-28 00:00:00", "2026-03-01 00:00:00"),
        ("month", "2026-02-01 00:00:00", "2026-03-01 00:00:00"),
        ("year", "2025-01-01 00:00:00", "2026-01-01 00:00:00"),
        ("day@13", "2026-02-27 13:00:00", "2026-02-28 13:00:00"),
        ("day@12", "2026-02-28 12:00:00", "2026-03-01 12:00:00"),
        ("month@15", "2026-01-15 00:00:00", "2026-02-15 00:00:00"),
        ("year@4", "2024-04-01 00:00:00", "2025-04-01 00:00:00"),
    ],
)
def test_the_last_complete_period(period: str, begin: str, end: str) -> None:
    found = usage_audit.last(period, datetime.datetime(2026, 3, 1, 12, 30, 5))

    assert [str(one) for one in found] == [begin, end]
