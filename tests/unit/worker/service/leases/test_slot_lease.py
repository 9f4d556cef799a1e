# SPDX-License-Identifier: Apache-2.0
"""The lease of a process: when its timer runs, when its row says so, when it is taken."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from flows.errors import ProcessStopping
from worker.compat import libc
from worker.journal.errors import JournalUnavailable
from worker.journal.slots.ownership import Holder, Ownership
from worker.journal.slots.slot_rows import OtherInstances, Slot
from worker.service.leases import instance, slot_lease
from worker.service.leases.lease_note import LeaseNote
from worker.service.leases.slot_lease import SlotLease
from worker.service.leases.times import LeaseTimes
from worker.service.startup.waits import Waits

SLOT = "h1@b/0"
HOLDER = Holder("life", "boot/h1", "node", 1)
TIMES = LeaseTimes()


class World:
    """Clock, timer and table of one slot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.deadline: float | None = None
        self.others: int | None = 0
        self.known = False
        self.away = False
        self.takes = 0.0
        self.found: Slot | None = None
        self.events: list[tuple[Any, ...]] = []
        monkeypatch.setattr(libc, "now", lambda: self.now)
        monkeypatch.setattr(slot_lease.os, "kill", lambda *_: self.events.append(("killed",)))

    # the timer
    def arm(self, deadline: float) -> None:
        self.deadline = deadline
        self.events.append(("timer", round(deadline - self.now, 3)))

    def disarm(self) -> None:
        self.deadline = None
        self.events.append(("no timer",))

    # the table
    def renew(
        self, _owned: Ownership, _pool: str, *, ttl: float, armed: bool
    ) -> OtherInstances | None:
        self.now += self.takes
        if self.away:
            raise JournalUnavailable("away")
        self.events.append(("row", armed))
        return None if self.others is None else OtherInstances(self.others, self.known)

    def find(self, _slot: str) -> Slot | None:
        if self.away:
            raise JournalUnavailable("away")
        return self.found

    def take(self, slot: str, _pool: str, _host: str, holder: Holder, **more: Any) -> Ownership:
        self.events.append(("taken", more["expired"]))
        epoch = 1 if more["former"] is None else more["former"].epoch + 1
        return Ownership(slot, holder.owner, epoch)

    def bring_along(self, *names: str) -> int:
        self.events.append(("brought", *names))
        return 1

    def expire(self, _owned: Ownership, seconds: float) -> None:
        self.events.append(("expires", seconds))

    def drained(self) -> list[tuple[Any, ...]]:
        found, self.events = self.events, []
        return found


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def note(tmp_path: Path) -> LeaseNote:
    return LeaseNote(str(tmp_path), SLOT, HOLDER.owner)


@pytest.fixture
def lease(world: World, note: LeaseNote) -> SlotLease:
    made: Any = world
    return SlotLease(made, SLOT, "pool", "h1@b", HOLDER, TIMES, note, made)


def take(lease: SlotLease, stopping: threading.Event | None = None) -> Ownership:
    return lease.take(stopping or threading.Event(), Waits())


def slot(**columns: Any) -> Slot:
    values: dict[str, Any] = {
        "slot": SLOT,
        "pool": "pool",
        "host": "h1@b",
        "owner": "former",
        "instance": "boot/x",
        "epoch": 4,
        "writes": 7,
        "armed": True,
        "orphaned": False,
        "expires_in": 5.0,
        "pid": 7,
        "renewed_before": 10.0,
        "node": "other",
        "adopted_by": None,
        **columns,
    }
    return Slot(**values)


def renewed(world: World, lease: SlotLease) -> list[tuple[Any, ...]]:
    """Renew until the next renewal is not due at once, and return the events."""
    while lease.renew() == 0.0:
        pass
    return world.drained()


def test_without_others_there_is_no_timer(world: World, lease: SlotLease) -> None:
    take(lease)
    world.drained()

    assert renewed(world, lease) == [("row", False)]
    world.away = True
    for _ in range(100):
        world.now += 60
        lease.renew()

    assert world.deadline is None
    assert ("killed",) not in world.drained()


def test_the_timer_runs_before_the_row_says_so(world: World, lease: SlotLease) -> None:
    take(lease)
    world.drained()
    world.others = 1

    assert renewed(world, lease) == [
        ("row", False),
        ("timer", 10.0),
        ("row", True),
        ("timer", 10.0),
    ]
    assert lease.is_armed


def test_the_row_says_so_no_more_before_the_timer_is_cancelled(
    world: World, lease: SlotLease
) -> None:
    take(lease)
    world.others = 1
    renewed(world, lease)
    world.others = 0

    assert renewed(world, lease) == [("row", True), ("timer", 10.0), ("row", False), ("no timer",)]
    assert not lease.is_armed


def test_a_host_that_may_be_back_keeps_the_timer(world: World, lease: SlotLease) -> None:
    """It would take the locks of this process, which expire while that is stopped."""
    take(lease)
    world.others = 1
    renewed(world, lease)
    world.others, world.known = 0, True

    assert renewed(world, lease) == [("row", True), ("timer", 10.0)]
    assert lease.is_armed
    assert not lease.has_others


def test_the_time_is_counted_from_before_the_renewal_is_sent(
    world: World, lease: SlotLease
) -> None:
    take(lease)
    world.others = 1
    renewed(world, lease)
    world.takes = 3.0

    assert renewed(world, lease) == [("row", True), ("timer", 7.0)]


def test_a_renewal_that_fails_leaves_the_timer_as_it_is(world: World, lease: SlotLease) -> None:
    take(lease)
    world.others = 1
    renewed(world, lease)
    before, world.away = world.deadline, True
    world.now += 4

    lease.renew()

    assert world.deadline == before


def test_a_slow_first_renewal_arms_nothing(world: World, lease: SlotLease) -> None:
    """The timer would kill at once."""
    take(lease)
    world.drained()
    world.others, world.takes = 1, 20.0

    assert lease.renew() > 0

    assert world.drained() == [("row", False)]


def test_a_lost_slot_ends_the_process(world: World, lease: SlotLease) -> None:
    take(lease)
    world.drained()
    world.others = None

    lease.renew()

    assert world.drained() == [("row", False), ("timer", 1.0), ("killed",)]


def test_a_free_slot_and_one_of_this_instance_are_taken_at_once(
    world: World, lease: SlotLease
) -> None:
    for found in (None, slot(owner=None), slot(instance=HOLDER.instance, expires_in=14.0)):
        world.found = found
        take(lease)

        assert world.drained() == [("taken", None)]


def is_taken(world: World, lease: SlotLease, found: Slot) -> bool:
    """Look at the slot once; return whether it is taken then."""
    stopping = threading.Event()
    stopping.set()
    world.found = found
    with contextlib.suppress(ProcessStopping):
        take(lease, stopping)
    return bool(world.drained())


@pytest.mark.parametrize(("armed", "wait"), [(True, TIMES.margin), (False, slot_lease.UNARMED)])
def test_the_slot_of_another_instance_is_waited_for(
    world: World, lease: SlotLease, armed: bool, wait: float
) -> None:
    over = slot(armed=armed, expires_in=-wait, renewed_before=TIMES.ttl + wait)
    assert not is_taken(world, lease, over)
    world.now += TIMES.ttl + 0.5
    assert not is_taken(world, lease, over)

    past = wait + 0.1
    world.found = slot(armed=armed, expires_in=-past, renewed_before=TIMES.ttl + past)
    assert take(lease).epoch == 5
    assert world.drained() == [("taken", wait)]


def test_an_owner_that_still_writes_is_not_over_by_the_clock_of_the_database(
    world: World, lease: SlotLease
) -> None:
    """The database's clock was set forward, or another server with another clock took over."""
    for writes in range(5):
        found = slot(writes=writes, expires_in=-100.0, renewed_before=100.0 + TIMES.ttl)
        assert not is_taken(world, lease, found)
        world.now += TIMES.ttl - 1.0


def test_a_silent_owner_with_a_timer_is_over_when_the_clock_of_the_database_was_set_back(
    world: World, lease: SlotLease
) -> None:
    assert not is_taken(world, lease, slot(expires_in=3600.0, renewed_before=TIMES.ttl - 3600.0))
    world.now += TIMES.ttl + TIMES.margin

    assert take(lease).epoch == 5
    assert world.drained() == [("taken", None)]


def test_a_silent_owner_without_a_timer_may_live_and_wait_for_the_database(
    world: World, lease: SlotLease
) -> None:
    found = slot(armed=False, expires_in=3600.0, renewed_before=TIMES.ttl - 3600.0)
    assert not is_taken(world, lease, found)
    world.now += 1000.0

    assert not is_taken(world, lease, found)


def test_silence_counts_from_the_end_of_an_outage(
    world: World, lease: SlotLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = slot(armed=False, expires_in=-100.0, renewed_before=TIMES.ttl + 100.0)
    assert not is_taken(world, lease, over)
    world.now += 1000.0
    world.away = True
    monkeypatch.setattr(slot_lease, "when_available", lambda work, *_: work())
    with pytest.raises(JournalUnavailable):
        is_taken(world, lease, over)
    world.away = False

    assert not is_taken(world, lease, over)
    world.now += TIMES.ttl + 0.5
    assert is_taken(world, lease, over)


def test_other_slots_of_a_host_join_a_pool_with_it(world: World, lease: SlotLease) -> None:
    world.found = slot(owner=None, pool="h1@b")
    take(lease)

    assert world.drained() == [
        ("brought", "h1@b", "h1@b", "pool", HOLDER.instance),
        ("taken", None),
    ]


def test_a_take_whose_answer_was_lost_is_read_back(world: World, lease: SlotLease) -> None:
    world.found = slot(owner=HOLDER.owner, epoch=9)

    assert take(lease) == Ownership(SLOT, HOLDER.owner, 9)
    assert world.drained() == []


def test_a_stop_gives_the_slot_up_and_cancels_the_timer(world: World, lease: SlotLease) -> None:
    take(lease)
    world.others = 1
    renewed(world, lease)

    lease.end(lambda: bool(world.events.append(("given up",))), drained=True)

    assert world.drained() == [("given up",), ("no timer",)]
    lease._arm(world.now + 10)  # a renewal that was on its way
    assert world.deadline is None


def test_a_stop_with_a_driver_call_inside_lets_the_lease_end(
    world: World, lease: SlotLease
) -> None:
    take(lease)
    world.others = 1
    renewed(world, lease)

    lease.end(lambda: pytest.fail("given up"), drained=False)

    assert world.drained() == [("timer", slot_lease.ENDING), ("expires", slot_lease.ENDING + 1.0)]


def test_only_the_note_of_the_former_owner_counts(tmp_path: Path, world: World) -> None:
    for owner, was_lost in (("former", True), ("before that", False)):
        LeaseNote(str(tmp_path), SLOT, owner).write()
        world.found = slot(instance=HOLDER.instance)
        made: Any = world
        note = LeaseNote(str(tmp_path), SLOT, HOLDER.owner)
        lease = SlotLease(made, SLOT, "pool", "h1@b", HOLDER, TIMES, note, made)
        take(lease)

        assert lease.was_lost is was_lost
        assert not any((tmp_path / "leases").iterdir())


def test_a_renewal_in_the_last_moment_withdraws_the_note(
    world: World, lease: SlotLease, note: LeaseNote, tmp_path: Path
) -> None:
    take(lease)
    world.others = 1
    renewed(world, lease)
    note.write()

    renewed(world, lease)

    assert not any((tmp_path / "leases").iterdir())


def test_an_instance_is_one_state_path_on_one_boot(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()

    assert instance.instance_of(str(one)) == instance.instance_of(str(one))
    assert instance.instance_of(str(one)) != instance.instance_of(str(two))
    assert [path.name for path in one.iterdir()] == ["instance"]
