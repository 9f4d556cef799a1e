# SPDX-License-Identifier: Apache-2.0
"""Statistics that take longer than their period are named in the log, in few lines."""

from __future__ import annotations

import logging

import pytest

from worker.backends.reports.slow_statistics import StatisticsTimer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timer(clock: Clock) -> StatisticsTimer:
    return StatisticsTimer("b1", 60, clock)


def fetch(timer: StatisticsTimer, clock: Clock, seconds: int) -> None:
    """Fetch statistics, which take a while, and look at them each second meanwhile."""
    with timer.running():
        for _ in range(seconds):
            clock.now += 1
            timer.check()


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records]


def test_in_time_they_are_no_subject(timer, clock, caplog):
    caplog.set_level(logging.DEBUG)
    for _ in range(3):
        fetch(timer, clock, 60)
        timer.check()

    assert caplog.messages == []


def test_a_late_one_is_named_while_it_lasts_and_when_it_ends(timer, clock, caplog):
    with timer.running():
        clock.now += 61
        timer.check()
        timer.check()
        assert "b1 have not come for 60 s" in caplog.text
        clock.now += 34

    assert levels(caplog) == ["WARNING", "WARNING"]
    assert "took 95 s, longer than their period of 60 s" in caplog.messages[1]


def test_those_that_stay_late_are_named_once(timer, clock, caplog):
    for _ in range(3):
        fetch(timer, clock, 70)

    assert levels(caplog) == ["WARNING", "WARNING"]


def test_one_in_time_after_them_is_named_and_the_next_late_one_again(timer, clock, caplog):
    caplog.set_level(logging.INFO)
    for seconds in (70, 5, 5, 70):
        fetch(timer, clock, seconds)

    assert levels(caplog) == ["WARNING", "WARNING", "INFO", "WARNING", "WARNING"]
    assert "in time again: 5 s" in caplog.text


def test_a_failure_counts_as_an_end(timer, clock):
    with pytest.raises(RuntimeError), timer.running():
        raise RuntimeError
    clock.now += 1000

    timer.check()


def test_a_failure_that_comes_late_is_late(timer, clock, caplog):
    with pytest.raises(RuntimeError), timer.running():
        clock.now += 61
        raise RuntimeError

    assert levels(caplog) == ["WARNING"]
