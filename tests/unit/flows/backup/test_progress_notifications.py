# SPDX-License-Identifier: Apache-2.0
"""Notifications of the progress of a backup, from 0 to 100 %."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.backup.continue_ import ProgressNotifications
from tests.unit.flows.world.doubles import Noted


class Context:
    """The fields of a context that are used."""

    def __init__(self, period: float) -> None:
        self.progress_every, self.request, self.notifier = period, None, Noted()

    def percents(self) -> list[int]:
        return [named["backup_percent"] for _, _, named in self.notifier.calls]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(timeutils, "now", lambda: now[0])
    return now


def notifications(context: Any) -> ProgressNotifications:
    return ProgressNotifications(context, Record("backup", {"id": "b1"}))


def test_the_begin_each_period_and_the_end(clock: list[float]) -> None:
    context = Context(120)
    listeners, stored = notifications(context), list[str]()
    listeners.show(lambda: {"list": list(stored), "id": 1 + len(stored)})
    for fraction in (0.2, 0.4, 0.6):
        clock[0] += 70
        stored.append("object")
        listeners.report(fraction)
    listeners.end()

    assert context.percents() == [0, 40, 100]
    assert [named["list"] for _, _, named in context.notifier.calls][0] == []
    assert {args[1] for _, args, _ in context.notifier.calls} == {"createprogress"}


def test_without_a_timer_there_is_only_the_end() -> None:
    context = Context(0)
    listeners = notifications(context)
    listeners.show(lambda: {"list": []})
    listeners.report(0.5)
    listeners.end()

    assert context.percents() == [100]


def test_a_second_try_does_not_begin_at_0() -> None:
    context = Context(120)
    listeners = notifications(context)
    listeners.show(lambda: {"list": ["object"]})
    listeners.end()

    assert context.percents() == [100]
