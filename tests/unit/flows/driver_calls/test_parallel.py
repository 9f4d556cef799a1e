# SPDX-License-Identifier: Apache-2.0
"""Members of a group beside one another, as far as the driver says that it may."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from oslo_context import context as oslo_context

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows.driver_calls import parallel
from flows.errors import Unavailable
from tests.unit.flows.world.world import World

MEMBERS = [Record("volume", {"id": f"v{number}"}) for number in range(4)]


class Count:
    """How many work at the same time; the first ones wait for as many as are wanted."""

    def __init__(self, wanted: int) -> None:
        self.now = self.most = 0
        self._wanted = wanted
        self._lock = threading.Lock()
        self._met = threading.Event()

    def work(self, member: Record) -> str:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == self._wanted:
                self._met.set()
        self._met.wait(10)
        time.sleep(0.02)  # one too many would come now
        with self._lock:
            self.now -= 1
        return f"done {member.id}"


def each(world: World, work: Callable[[Record], Any]) -> list[parallel.MemberOutcome]:
    return parallel.each(world.context(), MEMBERS, "the test", work)


@pytest.mark.parametrize("at_once", [1, 2, 4, 9])
def test_as_many_at_once_as_the_driver_takes(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    count = Count(min(at_once, len(MEMBERS)))
    monkeypatch.setattr(type(world.driver), "members_at_once", at_once)
    outcomes = each(world, count.work)

    assert count.most == min(at_once, len(MEMBERS))
    assert [answer for _, answer, _ in outcomes] == [f"done v{number}" for number in range(4)]


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("error", [VolumeBackendAPIException("no"), SystemExit(1), KeyError("x")])
def test_one_that_fails_does_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int, error: BaseException
) -> None:
    def work(member: Record) -> str:
        if member.id == "v1":
            raise error
        return "done"

    monkeypatch.setattr(type(world.driver), "members_at_once", at_once)
    outcomes = each(world, work)

    assert [answer for _, answer, _ in outcomes] == ["done", None, "done", "done"]
    assert [found for _, _, found in outcomes] == [None, error, None, None]


def test_a_database_that_is_away_is_no_failure_of_a_member(world: World) -> None:
    def work(member: Record) -> None:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        each(world, work)


def test_what_surrounds_the_caller_surrounds_the_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    around: contextvars.ContextVar[str] = contextvars.ContextVar("around", default="nothing")
    around.set("the operation")
    monkeypatch.setattr(type(world.driver), "members_at_once", 4)

    assert {answer for _, answer, _ in each(world, lambda _: around.get())} == {"the operation"}


@pytest.mark.parametrize("at_once", [1, 4])
def test_the_threads_log_with_the_request_of_the_caller(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(type(world.driver), "members_at_once", at_once)
    request = oslo_context.RequestContext(request_id="req-1")

    found = {answer for _, answer, _ in each(world, lambda _: oslo_context.get_current())}
    assert found == {request}


def test_no_member_at_all(world: World) -> None:
    assert parallel.each(world.context(), [], "the test", Count(1).work) == []
