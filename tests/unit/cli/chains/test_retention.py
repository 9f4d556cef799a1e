# SPDX-License-Identifier: Apache-2.0
"""Backups that a policy keeps."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.interface.records import Record
from worker.cli.chains.retention import Retention

NOON = datetime.datetime(2026, 3, 31, 12)


def backup(days: float, **columns: Any) -> Record:
    """Return a backup of so many days ago."""
    moment = NOON - datetime.timedelta(days=days)
    given = {"id": f"{days}", "status": "available", "parent_id": None}
    times = {"created_at": moment, "data_timestamp": moment}
    return Record("backup", {**given, **times, **columns})


def kept(retention: Retention, *days: float) -> list[float]:
    backups = [backup(one) for one in days]
    surplus = {one.id for one in retention.surplus(backups)}
    return [one for one in days if f"{one}" not in surplus]


@pytest.mark.parametrize(
    ("retention", "days", "wanted"),
    [
        (Retention(), [0, 1, 2], [0, 1, 2]),
        (Retention(last=2), [2, 0, 1], [0, 1]),
        (Retention(daily=2), [0, 0.1, 1, 1.1, 2], [0, 1]),
        (Retention(daily=2), [5, 9, 20], [5, 9]),
        (Retention(weekly=2), [0, 1, 2, 8, 9], [0, 2]),
        (Retention(monthly=3), [0, 1, 31, 45, 90], [0, 31, 90]),
        (Retention(last=1, daily=3, monthly=2), [0, 0.1, 1, 2, 3, 40, 41], [0, 1, 2, 40]),
        (Retention(monthly=1), [3], [3]),
    ],
)
def test_each_rule_keeps_its_own(
    retention: Retention, days: list[float], wanted: list[float]
) -> None:
    assert sorted(kept(retention, *days)) == wanted


@pytest.mark.parametrize("status", ["creating", "error", "restoring", "deleting"])
def test_other_statuses_are_left_alone(status: str) -> None:
    backups = [backup(0, status=status), backup(1), backup(2, status=status), backup(3)]
    assert [one.id for one in Retention(last=1).surplus(backups)] == ["3"]


@pytest.mark.parametrize(
    ("damaged", "wanted"),
    [
        ({"0"}, ["2"]),  # the newest one replaces nothing; 1 is the newest whole one
        ({"1"}, ["1", "2"]),  # 0 is whole
        ({"0", "1"}, []),  # 2 is the newest whole one
        ({"0", "1", "2"}, []),
    ],
)
def test_damaged_backups_keep_no_rule(damaged: set[str], wanted: list[str]) -> None:
    backups = [backup(one) for one in (0, 1, 2)]
    assert [one.id for one in Retention(last=1).surplus(backups, damaged)] == wanted


def test_all_that_a_kept_damaged_one_builds_on_stays() -> None:
    """Its data cannot be handed on: the deletion would fail each time."""
    backups = [backup(0, parent_id="2"), backup(1), backup(2, parent_id="3"), backup(3), backup(4)]
    assert [one.id for one in Retention(last=1).surplus(backups, {"0", "2"})] == ["4"]


@given(
    days=st.lists(st.integers(0, 400), unique=True, min_size=1),
    counts=st.tuples(*[st.integers(0, 9)] * 4),
)
def test_the_newest_is_always_kept_and_the_rest_comes_newest_first(
    days: list[int], counts: tuple[int, int, int, int]
) -> None:
    retention = Retention(*counts)
    left = kept(retention, *days)
    assert min(days) in left
    assert len(left) <= max(1, sum(counts)) or not retention.is_set
    surplus = [float(one.id) for one in retention.surplus([backup(one) for one in days])]
    assert surplus == sorted(surplus)
