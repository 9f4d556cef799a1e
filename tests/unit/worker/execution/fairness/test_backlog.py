# SPDX-License-Identifier: Apache-2.0
"""Messages that wait: projects in turns, their own order, and messages that must go first."""

from __future__ import annotations

import json
import types
from typing import Any

import pytest

from worker.execution.fairness import backlog
from worker.execution.fairness.backlog import Backlog
from worker.rpc.received.waiting_body import WaitingBody
from worker.rpc.server import Cast, Undecoded, Unreadable

VOLUMES = [f"3f1c6a52-0d4b-4c6e-9a51-7e7a3b1c2d{number:02x}" for number in range(16)]


def cast(project: str, volume: str = "", name: str = "", returns: int = 0) -> Undecoded:
    inner = {"args": {"volume_id": volume, "name": name}, "_context_project_id": project}
    text = json.dumps({"oslo.message": json.dumps(inner)})
    body = WaitingBody(types.SimpleNamespace(body=text))
    return Undecoded(body, lambda _acknowledge: Cast({}, {}), returns=returns)


def all_of(waiting: Backlog) -> list[Any]:
    taken = []
    while (arrived := waiting.take()) is not None:
        taken.append(arrived.message)
    return taken


def test_projects_are_served_in_turns_and_each_in_its_order() -> None:
    waiting = Backlog()
    flood = [cast("a") for _ in range(5)]
    late = [cast("b"), Cast({}, {"project_id": "b"}), Unreadable(b"", ValueError("bad"))]
    for message in [*flood, *late]:
        waiting.put(message)
    assert len(waiting) == 8

    taken = all_of(waiting)
    assert [one for one in taken if one in flood] == flood
    assert {*taken[1:4]} >= {late[0], late[2]} and taken.index(late[1]) < 6
    assert len(waiting) == waiting.size == 0 and waiting.take() is None


def test_those_that_may_name_a_resource_go_first_with_all_before_them() -> None:
    waiting = Backlog()
    first, named, after = [cast("a", volume) for volume in VOLUMES[:3]]
    last = cast("b", VOLUMES[1])
    for message in [first, named, after, last]:
        waiting.put(message)
    begun = waiting.take()
    ahead = waiting.take()
    assert begun is not None and begun.message is first
    assert ahead is not None and ahead.message is last

    earlier = waiting.take_before(ahead.number, [f"{VOLUMES[1]}-delete_volume"])
    assert [one.message for one in earlier] == [named]
    assert waiting.take_before(ahead.number, [VOLUMES[3]]) == []
    assert all_of(waiting) == [after]


def test_a_message_that_follows_never_goes_first() -> None:
    waiting = Backlog()
    waiting.put(cast("a", VOLUMES[0]))
    found = waiting.take()
    waiting.put(cast("a", VOLUMES[0]))

    assert found is not None and waiting.take_before(found.number, [VOLUMES[0]]) == []


def test_a_decoded_cast_goes_first_since_its_resources_are_unknown() -> None:
    waiting = Backlog()
    early = Cast({}, {"project_id": "a"})
    for message in [cast("a"), early, cast("b", VOLUMES[0])]:
        waiting.put(message)
    _first, late = waiting.take(), waiting.take()

    assert late is not None and late.number == 2
    assert [one.message for one in waiting.take_before(late.number, [VOLUMES[0]])] == [early]


def test_the_bodies_of_many_are_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "UNPACKED", 2)
    waiting = Backlog()
    sizes = []
    for _ in range(4):
        waiting.put(cast("a", VOLUMES[0], "n" * 5000))
        sizes.append(waiting.size)

    assert sizes[1] > 10_000 and sizes[3] < sizes[1] + 1_000
    assert [len(one.body._text()) > 5000 for one in all_of(waiting)] == [True] * 4


@pytest.mark.parametrize(
    ("age", "returns", "urgent"), [(0.0, 0, False), (10.0, 0, True), (0.0, 2, True)]
)
def test_one_that_waited_long_or_came_back_often_is_urgent(
    monkeypatch: pytest.MonkeyPatch, age: float, returns: int, urgent: bool
) -> None:
    waiting, now = Backlog(), backlog.time.monotonic()
    assert not waiting.must_not_wait(0.0, 0)
    monkeypatch.setattr(backlog.time, "monotonic", lambda: now)
    waiting.put(cast("a", returns=returns))
    monkeypatch.setattr(backlog.time, "monotonic", lambda: now + age)

    assert waiting.must_not_wait(9.0, 2) is urgent
    waiting.take()
    assert not waiting.must_not_wait(9.0, 2)
