# SPDX-License-Identifier: Apache-2.0
"""A host that can begin nothing leaves the queue of its cluster to hosts that can."""

from __future__ import annotations

from typing import Any

import pytest

from worker.rpc.received.shared_queue import SharedQueue


class World:
    """The server of the locks, the other hosts and the consumers of one host."""

    def __init__(self) -> None:
        self.away = self.others = True
        self.asked: list[bool] = []
        self.events: list[str] = []
        self.answers = False
        self.listeners = [self]
        self.queue = SharedQueue(
            "the queue of c1",
            lambda: self.away,
            self._ask,
            lambda: self.others,
            lambda: self.listeners,
        )

    def _ask(self) -> None:
        self.asked.append(bool(self.events))
        self.away = self.away and not self.answers

    def pause(self) -> None:
        self.events.append("pause")

    def resume(self) -> None:
        self.events.append("resume")


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_left_before_the_server_is_asked_and_consumed_when_it_answers(
    world: World, caplog: Any
) -> None:
    caplog.set_level("INFO")
    world.queue.look()
    world.queue.look()
    assert (world.events, world.asked) == (["pause"], [True, True])
    world.answers = True
    world.queue.look()
    world.queue.look()

    assert world.events == ["pause", "resume"]
    assert [text.partition(",")[0] for text in caplog.messages] == [
        "this host leaves the queue of c1 to others",
        "this host consumes the queue of c1 again",
    ]


def test_a_consumer_that_starts_during_the_outage_leaves_it_too(world: World) -> None:
    world.queue.look()
    world.listeners.append(late := World())
    world.queue.look()
    assert (world.events, late.events) == (["pause"], ["pause"])
    world.answers = True
    world.queue.look()

    assert world.events == late.events == ["pause", "resume"]


def test_it_is_kept_where_no_other_host_is_up(world: World) -> None:
    world.others = False
    world.queue.look()

    assert (world.events, world.asked) == ([], [False])


def test_nothing_is_asked_without_an_outage(world: World) -> None:
    world.away = False
    world.queue.look()

    assert (world.events, world.asked) == ([], [])
