# SPDX-License-Identifier: Apache-2.0
"""The clock of each server, which is ours in tests."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest
from oslo_utils import timeutils

from worker.db import clock
from worker.db.database import Database

KINDS = ("mysql", "postgresql")


@pytest.mark.parametrize("kind", KINDS)
def test_the_difference(new_database: Callable[[str], str], kind: str) -> None:
    database = Database(new_database(kind))

    assert abs(clock.skew(database)) < 5
    database.dispose()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ours", [-180, 180, 3600])
def test_a_clock_that_is_wrong(new_database: Callable[[str], str], kind: str, ours: int) -> None:
    database = Database(new_database(kind))
    timeutils.set_time_override(timeutils.utcnow() + datetime.timedelta(seconds=ours))
    try:
        found = clock.skew(database)
    finally:
        timeutils.clear_time_override()

    assert found == pytest.approx(-ours, abs=60)
    database.dispose()
