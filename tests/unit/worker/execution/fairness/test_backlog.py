# SPDX-License-Identifier: Apache-2.0
"""Messages that wait: projects in turns, their own order, and messages that must go first."""

from __future__ import annotations

import types
from dataclasses import replace
from typing import Any

import pytest

from tests.messages import arrived
from worker.execution.fairness import backlog
from worker.execution.fairness.backlog import Backlog
from worker.rpc.received.waiting_body import WaitingBody, nodes_of
from worker.rpc.server import Cast

VOLUMES = [f"3f1c6a52-0d4b-4c6e-9a51-7e7a3b1c2d{number:02x}" for number in range(16)]


def cast(project: str, volume: str = "", name: str = "", returns: int = 0) -> Cast:
    args = {"volume_id": volume, "name": name}
    return arrived({"args": args}, {"project_id": project}, returns=returns)


def without_text(returns: int = 0) -> Cast:
    """Return a cast whose body is no text, so that its project and resources are unknown."""
    return Cast(WaitingBody(types.SimpleNamespace(body=b"{")), lambda: ({}, {}), returns=returns)


def all_of(waiting: Backlog) -> list[Any]:
    taken = []
    while (one := waiting.take()) is not None:
        taken.append(one.cast)
    return taken


def test_projects_are_served_in_turns_and_each_in_its_order() -> None:
    waiting = Backlog(2)
    flood = [cast("a") for _ in range(5)]
    late = [cast("b"), cast("b"), without_text()]
    for message in [*flood, *late]:
        waiting.put(message)
    assert len(waiting) == 8

    taken = all_of(waiting)
    assert [one for one in taken if one in flood] == flood
    assert {*taken[1:4]} >= {late[0], late[2]} and taken.index(late[1]) < 6
    assert len(waiting) == waiting.size == 0 and waiting.take() is None


def test_one_that_was_taken_early_knows_of_earlier_ones_on_its_resource() -> None:
    waiting = Backlog(2)
    for message in [cast("a", VOLUMES[0]), cast("a", VOLUMES[1]), cast("b"), cast("b", VOLUMES[3])]:
        waiting.put(message)
    taken = [waiting.take(), waiting.take()]
    assert [one.number for one in taken if one is not None] == [0, 2]

    assert waiting.follows(2, nodes_of([f"{VOLUMES[1]}-delete_volume"]))
    assert not waiting.follows(2, nodes_of([VOLUMES[0]])), "it was taken"
    assert not waiting.follows(2, nodes_of([VOLUMES[3]])), "it arrived later"
    assert not waiting.follows(2, set())
    assert waiting.follows(2, None) and not waiting.follows(0, None)
    waiting.take()
    assert not waiting.follows(2, nodes_of([VOLUMES[1]])) and not waiting.follows(2, None)


def test_a_message_of_unknown_resources_may_name_any() -> None:
    waiting = Backlog(2)
    waiting.put(cast("a"))
    assert not waiting.follows(1, nodes_of([VOLUMES[0]]))

    waiting.put(without_text())
    assert waiting.follows(3, nodes_of([VOLUMES[0]]))
    all_of(waiting)
    assert not waiting.follows(3, nodes_of([VOLUMES[0]]))


def test_projects_that_are_kept_keep_their_order_and_no_other() -> None:
    waiting = Backlog(2)
    kept = [cast("a") for _ in range(3)]
    for message in kept:
        waiting.put(message)
    assert waiting.take(frozenset({"a"})) is None and len(waiting) == 3

    others, later = [cast("b") for _ in range(2)], cast("a")
    for message in [*others, later]:
        waiting.put(message)
    taken = [waiting.take(frozenset({"a"})) for _ in range(3)]
    assert [one and one.cast for one in taken] == [*others, None]

    waiting.put(last := cast("b"))
    after = all_of(waiting)
    assert [one for one in after if one is not last] == [*kept, later] and last in after[:2]


def test_messages_of_a_shared_queue_have_turns_of_their_own() -> None:
    waiting = Backlog(2)
    waiting.put(cast("a"))
    waiting.put(replace(cast("a"), shared=True))

    shared = waiting.take(frozenset({"a"}))
    assert shared is not None and shared.project != "a" and waiting.take(frozenset({"a"})) is None


def test_the_copies_of_lost_connections_are_dropped() -> None:
    waiting = Backlog(2)
    lost = replace(cast("a", VOLUMES[0]), is_lost=lambda: True)
    for message in [lost, stays := cast("a"), lost]:
        waiting.put(message)
    size = waiting.size
    waiting.forget_lost()

    assert len(waiting) == 1 and 0 < waiting.size < size
    assert not waiting.follows(9, nodes_of([VOLUMES[0]]))
    assert all_of(waiting) == [stays]


def test_the_bodies_of_many_are_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "UNPACKED", 2)
    waiting = Backlog(2)
    sizes: list[int] = []
    for _ in range(4):
        waiting.put(cast("a", VOLUMES[0], "n" * 5000))
        sizes.append(waiting.size)

    assert sizes[1] > 10_000 and sizes[3] < sizes[1] + 1_000
    assert [len(one.body._text()) > 5000 for one in all_of(waiting)] == [True] * 4


def test_the_oldest_is_known() -> None:
    waiting = Backlog(2)
    assert waiting.oldest() is None
    for message in [first := cast("a"), cast("a")]:
        waiting.put(message)
    oldest = waiting.oldest()

    assert oldest is not None and oldest.cast is first


def test_those_that_came_back_often_are_taken_first() -> None:
    waiting = Backlog(2)
    first, often, last = cast("a", VOLUMES[0]), cast("a", VOLUMES[0], returns=2), cast("b")
    for message in [first, often, last]:
        waiting.put(message)
    assert waiting.is_urgent

    taken = waiting.take()
    assert taken is not None and taken.cast is often and not waiting.is_urgent
    assert waiting.follows(taken.number, nodes_of([VOLUMES[0]])), "the first one on its resource"
    assert all_of(waiting) == [first, last]


def test_projects_that_were_kept_take_turns() -> None:
    waiting = Backlog(2)
    flood, few = [cast("a") for _ in range(20)], [cast("b") for _ in range(2)]
    for message in [*flood, *few]:
        waiting.put(message)
    assert waiting.take(frozenset({"a", "b"})) is None

    taken = all_of(waiting)
    assert {*few} <= {*taken[:4]} and [one for one in taken if one in flood] == flood


def test_a_project_that_was_kept_does_not_make_up_for_the_turns_of_others() -> None:
    waiting = Backlog(2)
    for project in ["a"] * 20 + ["b"] * 20:
        waiting.put(cast(project))
    for _ in range(10):
        waiting.take(frozenset({"a"}))

    taken = [one.project for _ in range(10) if (one := waiting.take()) is not None]
    assert taken.count("b") == 5


def test_one_that_names_thousands_of_resources_keeps_only_those_back() -> None:
    names = "".join(f"-{number:012x}" for number in range(5000))
    waiting = Backlog(2)
    waiting.put(many := cast("a", VOLUMES[0], names))
    waiting.put(cast("b"))
    assert waiting.size < 3 * len(names)

    assert waiting.follows(1, nodes_of([VOLUMES[0]])) and not waiting.follows(0, {"0" * 12})
    assert waiting.follows(1, {"000000000007"}) and not waiting.follows(1, nodes_of([VOLUMES[1]]))
    assert all_of(waiting)[0] is many
    assert not waiting.follows(1, nodes_of([VOLUMES[0]])) and waiting.size == 0
