# SPDX-License-Identifier: Apache-2.0
"""The difference between our clock and that of the database, in the log."""

from __future__ import annotations

import datetime
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_utils import timeutils

from flows.errors import Unavailable
from worker.db import clock


def database(ahead: float, dialect: str = "mysql") -> Any:
    def read(_work: Any) -> datetime.datetime:
        return timeutils.utcnow() + datetime.timedelta(seconds=ahead)

    engine = SimpleNamespace(dialect=SimpleNamespace(name=dialect))
    return SimpleNamespace(engine=engine, read=read, shown="mysql://db/cinder")


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (180, "180 s ahead of ours"),
        (-180, "180 s behind ours"),
        (3600, "3600 s ahead of ours"),
        (-3600, "3600 s behind ours"),
    ],
)
def test_a_large_difference_is_one_line(
    caplog: pytest.LogCaptureFixture, ahead: float, text: str
) -> None:
    with caplog.at_level(logging.WARNING):
        clock.warn_of_skew(database(ahead))

    [record] = caplog.records
    assert text in record.getMessage()
    assert "mysql://db/cinder" in record.getMessage()


@pytest.mark.parametrize("ahead", [-29, 0, 29])
def test_a_small_one_is_none(caplog: pytest.LogCaptureFixture, ahead: float) -> None:
    with caplog.at_level(logging.WARNING):
        clock.warn_of_skew(database(ahead))

    assert not caplog.records


def test_sqlite_has_our_clock() -> None:
    assert clock.skew(database(180, "sqlite")) == 0.0


def test_an_outage_does_not_end_the_start() -> None:
    away = database(0)

    def read(_work: Any) -> None:
        raise Unavailable("away")

    away.read = read
    clock.warn_of_skew(away)
