# SPDX-License-Identifier: Apache-2.0
"""Slots that a process adopts; their operations resume."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Collection
from typing import Any

import pytest

from flows.errors import Unavailable
from tests.unit.worker.service.leases.test_slot_lease import slot
from worker.journal.errors import JournalUnavailable
from worker.journal.slots.adoption import Adopted
from worker.journal.slots.slot_rows import Slot
from worker.service.leases.adopter import Adopter, OwnSlots
from worker.service.leases.silence import Silences
from worker.service.leases.times import LeaseTimes

OWN = OwnSlots("h2@b/0", "pool", "boot/h2", ("h2@b/0", "h2@b/1"), lambda _slot: True)
TIMES = LeaseTimes()
MARGIN = TIMES.margin


class World:
    """Slots, and the adoptions from them."""

    def __init__(self) -> None:
        self.rows: list[Slot] = []
        self.of_other_pools: list[Slot] = []
        self.lost: bool | None = None
        self.events: list[tuple[Any, ...]] = []
        self.refuses: Collection[str] = ()
        self.in_doubt: Adopted | None = None
        self.move_fails: Exception | None = None
        self.seconds = 0.0

    def clock(self) -> float:
        return self.seconds

    def of_pool(self, pool: str) -> list[Slot]:
        assert pool == "pool"
        return self.rows

    def every(self) -> list[Slot]:
        return self.rows + self.of_other_pools

    def settle(self) -> Adopted | None:
        found, self.in_doubt = self.in_doubt, None
        return found

    def adopt(self, former: Slot, margin: float | None, *, lost: bool) -> Adopted | None:
        self.lost = lost
        if former.slot in self.refuses:
            return None
        self.events.append(("adopted", former.slot, margin))
        return Adopted(former, ("f1", "f2"), 12.0)

    def load(self, flows: Any) -> Any:
        return list(flows)

    def move(self, host: str, details: Any) -> None:
        error, self.move_fails = self.move_fails, None
        if error is not None:
            raise error
        self.events.append(("moved", host, *details))

    def resume(self, details: Any) -> int:
        self.events.append(("resumed", *details))
        return len(details)


@pytest.fixture
def world() -> World:
    return World()


def adopter(world: World, own: OwnSlots = OWN) -> Adopter:
    """Return an adopter that has looked at the slots for as long as a lease lasts."""
    made: Any = world
    silences = Silences(world.clock)
    silences.note(world.rows)
    world.seconds += TIMES.ttl + 0.001
    return Adopter(
        *(made, made, own, TIMES, world.load, world.move, world.resume, threading.Event()), silences
    )


EXPIRED = slot(expires_in=-2.1, renewed_before=17.1)
ORPHANED = slot(slot="h3@b/0", host="h3@b", owner=None, orphaned=True, armed=False)


@pytest.mark.parametrize("found", [EXPIRED, ORPHANED])
def test_operations_are_claimed_and_then_resumed(world: World, found: Slot) -> None:
    world.rows = [found]

    assert adopter(world).adopt_one()

    assert world.events == [
        ("adopted", found.slot, MARGIN),
        ("moved", found.host, "f1", "f2"),
        ("resumed", "f1", "f2"),
    ]


@pytest.mark.parametrize(
    "found",
    [
        slot(expires_in=-1.9, renewed_before=16.9),
        slot(armed=False, expires_in=-600.0, renewed_before=615.0),
        slot(owner=None, orphaned=False),
        slot(slot="h2@b/0", expires_in=-600.0),
        slot(slot="h2@b/1", instance="boot/h2", armed=False, expires_in=3.0),
    ],
    ids=["within the margin", "not armed", "free without operations", "own", "served here"],
)
def test_other_slots_are_left(world: World, found: Slot) -> None:
    world.rows = [found]

    assert not adopter(world).adopt_one()


BESIDE = {"slot": "h1@b/1", "instance": EXPIRED.instance}


@pytest.mark.parametrize(
    ("beside", "lost"),
    [
        pytest.param({"expires_in": 0.5, "renewed_before": 14.5}, True, id="ended in turn"),
        pytest.param({"expires_in": 12.0, "renewed_before": 3.0}, False, id="renews"),
        pytest.param({"owner": None, "renewed_before": 3.0}, True, id="stopped in order"),
        pytest.param({"instance": "boot/y", "renewed_before": 3.0}, True, id="another host"),
    ],
)
def test_a_host_is_lost_when_no_process_of_it_renews(
    world: World, beside: dict[str, Any], lost: bool
) -> None:
    world.rows = [EXPIRED]
    world.of_other_pools = [slot(**{**BESIDE, "pool": "other", **beside})]

    assert adopter(world).adopt_one()
    assert world.lost is lost


def test_a_slot_that_an_adopter_has_freed_is_a_loss(world: World) -> None:
    world.rows = [dataclasses.replace(EXPIRED, owner=None, orphaned=True)]

    assert adopter(world).adopt_one()
    assert world.lost is True


def test_a_slot_that_was_given_up_is_no_loss(world: World) -> None:
    world.rows = [ORPHANED]

    assert adopter(world).adopt_one()
    assert world.lost is False


def test_one_slot_at_a_time(world: World) -> None:
    world.rows = [EXPIRED, ORPHANED]

    adopter(world).adopt_one()

    assert len([event for event in world.events if event[0] == "adopted"]) == 1


def test_a_slot_that_another_process_took_is_passed_over(world: World) -> None:
    world.rows, world.refuses = [EXPIRED, ORPHANED], [EXPIRED.slot]

    assert adopter(world).adopt_one()

    assert ("adopted", ORPHANED.slot, MARGIN) in world.events


@pytest.mark.parametrize("first", [True, False])
def test_a_slot_of_this_host_without_a_process_is_adopted_by_the_first(
    world: World, first: bool
) -> None:
    world.rows = [slot(slot="h2@b/5", instance="boot/h2", armed=False, expires_in=9.0)]
    own = OWN if first else dataclasses.replace(OWN, prove_dead=None)

    assert adopter(world, own).adopt_one() is first
    assert (("adopted", "h2@b/5", None) in world.events) is first


def test_a_slot_of_this_host_whose_lock_is_held_is_left(world: World) -> None:
    world.rows = [slot(slot="h2@b/5", instance="boot/h2", armed=False, expires_in=9.0)]

    assert not adopter(world, dataclasses.replace(OWN, prove_dead=lambda _slot: False)).adopt_one()


def test_an_adoption_whose_commit_had_no_answer_is_resumed(world: World) -> None:
    world.in_doubt = Adopted(EXPIRED, ("f1",), 1.0)

    assert adopter(world).adopt_one()

    assert world.events == [("moved", "h1@b", "f1"), ("resumed", "f1")]


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a bug")])
def test_operations_that_were_adopted_resume_after_an_error(world: World, error: Exception) -> None:
    world.rows, world.move_fails = [EXPIRED], error
    made = adopter(world)

    with pytest.raises(type(error)):
        made.adopt_one()
    world.rows = []  # the slot is free, and no other process looks for its operations
    assert made.adopt_one()
    assert not made.adopt_one()

    assert world.events == [
        ("adopted", EXPIRED.slot, MARGIN),
        ("moved", "h1@b", "f1", "f2"),
        ("resumed", "f1", "f2"),
    ]


def test_no_operation_is_resumed_twice_after_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_details: Any) -> int:
        raise ValueError("a bug")

    world.rows = [EXPIRED]
    monkeypatch.setattr(world, "resume", fails)
    made = adopter(world)
    with pytest.raises(ValueError, match="a bug"):
        made.adopt_one()
    world.rows = []

    assert not made.adopt_one()


def test_a_clock_that_jumps_forward_ends_no_lease(world: World) -> None:
    """The owner lives: it has written its row a moment ago."""
    world.rows = [EXPIRED]
    made = adopter(world)

    world.rows = [dataclasses.replace(EXPIRED, writes=8, expires_in=-3590.0, renewed_before=3605.0)]
    assert not made.adopt_one()
    world.seconds += TIMES.ttl - 0.1
    assert not made.adopt_one()
    world.seconds += 0.2
    assert made.adopt_one()


def test_a_clock_that_is_set_back_delays_no_takeover(world: World) -> None:
    world.rows = [slot(expires_in=3600.0, renewed_before=-3585.0)]
    made = adopter(world)

    assert not made.adopt_one()
    world.seconds += MARGIN
    assert made.adopt_one()
    assert world.events[0] == ("adopted", EXPIRED.slot, None)
    assert world.lost is True


def test_a_slot_is_not_adopted_at_the_first_look(world: World) -> None:
    made = adopter(world)
    world.rows = [EXPIRED]

    assert not made.adopt_one()


def test_an_outage_is_not_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    calls: list[int] = []

    def fails(_pool: str) -> list[Slot]:
        calls.append(1)
        if len(calls) == 3:
            stopping.set()
        raise JournalUnavailable("away")

    monkeypatch.setattr(world, "of_pool", fails)
    monkeypatch.setattr("worker.service.leases.adopter.PAUSE", (0.0, 0.0))
    made = adopter(world)
    made._stopping = stopping
    made._loop()

    assert len(calls) == 3
