# SPDX-License-Identifier: Apache-2.0
"""Slots are taken, renewed, given up and adopted by the clock of the database."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.worker.journal.test_journal import cast
from worker.journal import journal as journal_module
from worker.journal.entries import insertions
from worker.journal.errors import JournalConflict, JournalFenced
from worker.journal.interruptions import LOST
from worker.journal.journal import Journal
from worker.journal.operator_requests import RequestResult
from worker.journal.slots import journal_slots
from worker.journal.slots.adoption import Adoption
from worker.journal.slots.ownership import Holder, Ownership
from worker.journal.slots.slot_rows import LATELY, OtherInstances, Slots
from worker.journal.slots.slot_table import SECOND, SLOTS

POOL = "cluster@b"
TTL, MARGIN = 15.0, 2.0


class Clock:
    """The database's clock, in seconds."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.set(1000.0)

    def set(self, seconds: float) -> None:
        """Set it."""
        self.seconds = seconds
        self._slots._now = sa.literal(int(seconds * SECOND), sa.BigInteger())

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.set(self.seconds + seconds)


def host(name: str, instance: str = "") -> Holder:
    return Holder(f"life-of-{name}", instance or f"boot/{name}", name, 42)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal whose file has leases, as one on a server has."""
    made = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    made.slots.table = Slots(made._transactions)
    made.upgrade()
    return made


@pytest.fixture
def slots(journal: Journal) -> Slots:
    assert journal.slots.table is not None
    return journal.slots.table


@pytest.fixture
def clock(slots: Slots) -> Clock:
    return Clock(slots)


def take(slots: Slots, name: str, by: Holder | None = None, **options: float) -> Ownership | None:
    slot = f"{name}@b/0"
    former = slots.find(slot)
    return slots.take(slot, POOL, f"{name}@b", by or host(name), ttl=TTL, former=former, **options)


def owned(slots: Slots, name: str) -> Ownership:
    found = take(slots, name)
    assert found is not None
    return found


def accept(journal: Journal, slot: str) -> str:
    detail = journal.accept(uuid.uuid4().hex, slot, cast())
    assert detail is not None
    return str(detail.uuid)


def no_loss(reason: str) -> None:
    raise AssertionError(reason)


def test_a_new_slot_begins_with_the_first_epoch(slots: Slots, clock: Clock) -> None:
    assert owned(slots, "h1") == Ownership("h1@b/0", "life-of-h1", 1)
    found = slots.find("h1@b/0")

    assert found is not None
    assert (found.expires_in, found.armed, found.is_free) == (TTL, False, False)


def test_a_lease_is_taken_only_after_its_end_and_the_margin(slots: Slots, clock: Clock) -> None:
    owned(slots, "h1")
    other = host("h2")

    clock.advance(TTL + MARGIN)
    assert take(slots, "h1", other, expired=MARGIN) is None
    clock.advance(0.001)
    taken = take(slots, "h1", other, expired=MARGIN)

    assert taken == Ownership("h1@b/0", "life-of-h2", 2)


def test_one_of_two_takers_gets_the_slot(slots: Slots, clock: Clock) -> None:
    owned(slots, "h1")
    clock.advance(60)
    former = slots.find("h1@b/0")

    one, two = (
        slots.take("h1@b/0", POOL, "h1@b", host(n), ttl=TTL, former=former, expired=MARGIN)
        for n in ("h2", "h3")
    )

    assert one is not None
    assert two is None


def test_two_that_make_the_same_slot_do_not_both_get_it(slots: Slots, clock: Clock) -> None:
    first = slots.take("h1@b/0", POOL, "h1@b", host("h1"), ttl=TTL, former=None)
    second = slots.take("h1@b/0", POOL, "h1@b", host("h2"), ttl=TTL, former=None)

    assert first is not None
    assert second is None


def test_a_renewal_extends_the_lease_and_counts_other_instances(slots: Slots, clock: Clock) -> None:
    first = owned(slots, "h1")
    owned(slots, "h2")
    take(slots, "h3", host("h3", instance="boot/h2"))
    clock.advance(10)

    assert slots.renew(first, POOL, ttl=TTL, armed=True) == OtherInstances(1, known=True)

    clock.advance(TTL - 10 + LATELY - 1)  # the others have not renewed, as after an outage
    assert slots.renew(first, POOL, ttl=TTL, armed=True) == OtherInstances(1, known=True)

    clock.advance(2)
    assert slots.renew(first, POOL, ttl=TTL, armed=True) == OtherInstances(0, known=True)
    found = slots.find("h1@b/0")
    assert found is not None
    assert found.armed
    assert found.expires_in == TTL


def test_a_host_whose_slot_was_adopted_may_be_back(slots: Slots, clock: Clock) -> None:
    first, other = owned(slots, "h1"), owned(slots, "h2")
    slots.renew(other, POOL, ttl=TTL, armed=True)
    clock.advance(TTL + 1)
    found = slots.find("h2@b/0")
    assert found is not None
    assert slots.free(found, 0.0)

    assert slots.renew(first, POOL, ttl=TTL, armed=True) == OtherInstances(0, known=True)


def test_former_boots_and_other_pools_are_no_other_hosts(slots: Slots, clock: Clock) -> None:
    first = owned(slots, "h1")
    slots.offer("h1@b/1", POOL, "h1@b")
    slots.offer("h2@b/0", "another pool", "h2@b")

    assert slots.renew(first, POOL, ttl=TTL, armed=True) == OtherInstances(0, known=False)


def test_a_renewal_after_a_takeover_finds_the_slot_lost(slots: Slots, clock: Clock) -> None:
    first = owned(slots, "h1")
    clock.advance(60)
    take(slots, "h1", host("h2"), expired=MARGIN)

    assert slots.renew(first, POOL, ttl=TTL, armed=True) is None


def test_a_slot_that_is_given_up_is_orphaned_only_with_operations(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    for name in ("h1", "h2"):
        journal.slots.hold(owned(slots, name), no_loss)
        if name == "h1":
            accept(journal, "h1@b/0")
        assert journal.slots.give_up() is (name == "h1")
        journal._transactions.fence = None

    found = {one.slot: (one.is_free, one.is_adoptable(MARGIN)) for one in slots.every()}
    assert found == {"h1@b/0": (True, True), "h2@b/0": (True, False)}


def test_operations_move_to_the_adopter_in_order_of_acceptance(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    first = owned(slots, "h1")
    flows = [accept(journal, "h1@b/0") for _ in range(3)]
    journal.consumers.register("h1@b/0", [("queue", "consumer")])
    slots.renew(first, POOL, ttl=TTL, armed=True)
    adoption = journal.slots.hold(owned(slots, "h2"), no_loss)
    clock.advance(TTL + MARGIN + 1)
    former = slots.find("h1@b/0")
    assert former is not None

    adopted = adoption.adopt(former, MARGIN)

    assert adopted is not None
    assert list(adopted.flows) == flows
    assert [one.uuid for one in journal.unfinished("h2@b/0")] == flows
    assert journal.unfinished("h1@b/0") == []
    assert journal.consumers.of("queue") == []
    found = slots.find("h1@b/0")
    assert found is not None
    assert (found.is_free, found.epoch, found.adopted_by) == (True, 2, "h2@b/0")


def test_the_loss_of_a_host_is_noted_with_the_adoption(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    slots.renew(owned(slots, "h1"), POOL, ttl=TTL, armed=True)
    flows = {name: accept(journal, "h1@b/0") for name in ("waits", "runs", "suspended")}
    journal.count_interruption(journal.load(flows["runs"]))
    with journal._transactions.writing() as cursor:
        journal._statements.set_flow(cursor, flows["suspended"], "SUSPENDED")
    adoption = journal.slots.hold(owned(slots, "h2"), no_loss)
    clock.advance(600)
    former = slots.find("h1@b/0")
    assert former is not None
    assert adoption.adopt(former, MARGIN, lost=True) is not None

    found = {name: journal.load(flow) for name, flow in flows.items()}
    states = {name: one.state for name, one in found.items()}
    assert states == {"waits": "PENDING", "runs": LOST, "suspended": "SUSPENDED"}
    assert journal.count_interruption(found["runs"]) == 0
    assert journal.load(flows["runs"]).state == "RUNNING"
    assert journal.load(flows["runs"]).meta["losses"] == 1


@pytest.mark.parametrize("armed", [True, False])
def test_only_an_armed_lease_is_adopted(
    journal: Journal, slots: Slots, clock: Clock, armed: bool
) -> None:
    slots.renew(owned(slots, "h1"), POOL, ttl=TTL, armed=armed)
    adoption = journal.slots.hold(owned(slots, "h2"), no_loss)
    clock.advance(600)
    former = slots.find("h1@b/0")
    assert former is not None

    assert former.is_adoptable(MARGIN) is armed
    assert (adoption.adopt(former, MARGIN) is not None) is armed


class Contested:
    """Another process writes the slot's row at first, before an adoption is committed."""

    def __init__(self, adoption: Adoption, times: int) -> None:
        self.left = times
        self._forget = adoption._consumers.forget_in
        adoption._consumers.forget_in = self  # type: ignore[method-assign]

    def __call__(self, *args: Any) -> None:
        self.left -= 1
        if self.left >= 0:
            raise JournalConflict("deadlock")
        self._forget(*args)


def test_a_contested_slot_is_freed_before_its_adoption(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    first = owned(slots, "h1")
    slots.renew(first, POOL, ttl=TTL, armed=True)
    flow = accept(journal, "h1@b/0")
    adoption = journal.slots.hold(owned(slots, "h2"), no_loss)
    clock.advance(600)
    former = slots.find("h1@b/0")
    assert former is not None
    Contested(adoption, 1)

    adopted = adoption.adopt(former, MARGIN)

    assert adopted is not None
    assert (adopted.flows, adopted.former) == ((flow,), former)
    found = slots.find("h1@b/0")
    assert found is not None
    assert (found.epoch, found.orphaned, found.armed) == (former.epoch + 2, False, False)


def test_an_adopter_that_dies_after_it_has_freed_a_slot_leaves_it_to_others(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    first = owned(slots, "h1")
    slots.renew(first, POOL, ttl=TTL, armed=True)
    accept(journal, "h1@b/0")
    adoption = journal.slots.hold(owned(slots, "h2"), no_loss)
    clock.advance(600)
    former = slots.find("h1@b/0")
    assert former is not None
    Contested(adoption, 1_000)
    with pytest.raises(JournalConflict):
        adoption.adopt(former, MARGIN)

    found = slots.find("h1@b/0")
    assert found is not None
    assert found.is_adoptable(MARGIN)
    assert (found.is_free, found.armed) == (True, True)  # lost, and not given up
    assert slots.renew(first, POOL, ttl=TTL, armed=True) is None


def test_a_lease_that_is_renewed_meanwhile_is_not_adopted(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    first = owned(slots, "h1")
    slots.renew(first, POOL, ttl=TTL, armed=True)
    adoption = journal.slots.hold(owned(slots, "h2"), no_loss)
    clock.advance(600)
    former = slots.find("h1@b/0")
    slots.renew(first, POOL, ttl=TTL, armed=True)
    assert former is not None

    assert adoption.adopt(former, MARGIN) is None


def test_requests_follow_their_flow_to_the_adopter(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    slots.renew(owned(slots, "h1"), POOL, ttl=TTL, armed=True)
    flow = accept(journal, "h1@b/0")
    journal.requests.ask("h1@b/0", flow, "cancel")
    adoption = journal.slots.hold(owned(slots, "h2"), no_loss)
    clock.advance(600)
    former = slots.find("h1@b/0")
    assert former is not None
    assert adoption.adopt(former, MARGIN) is not None
    journal.requests.ask("h1@b/0", flow, "revert")  # its command read the slot before

    assert [one.action for one in journal.requests.pending("h2@b/0")] == ["cancel", "revert"]
    assert journal.requests.pending("h1@b/0") == []


WRITES: dict[str, Callable[[Journal, str], object]] = {
    "accept": lambda j, _f: j.accept(uuid.uuid4().hex, "h1@b/0", cast()),
    "accept_together": lambda j, _f: j.accept_together(
        [(uuid.uuid4().hex, cast()) for _ in range(2)], "h1@b/0"
    ),
    "reject": lambda j, _f: j.rejected.add(uuid.uuid4().hex, "m", "reason"),
    "prune_rejected": lambda j, _f: j.rejected.prune(0),
    "suspend": lambda j, _f: j.suspend("h1@b/0"),
    "prove_writable": lambda j, _f: j.prove_writable(),
    "finish": lambda j, f: _finish(j, f),
    "count_interruption": lambda j, f: j.count_interruption(j.load(f)),
    "prune_failures": lambda j, _f: j.prune_failures(),
    "request_revert": lambda j, f: j.request_revert(j.load(f), "reason"),
    "reopen": lambda j, f: j.reopen(f),
    "revert_again": lambda j, f: j.revert_again(f),
    "set_aside": lambda j, f: j.set_aside(f, "reason"),
    "adopt": lambda j, _f: j.slots.adopt("h9@b/0", "h1@b/0"),
    "prune": lambda j, _f: j.prune(*_times()),
    "answer": lambda j, _f: j.requests.answer(1, RequestResult(True, "done")),
    "prune requests": lambda j, _f: j.requests.prune(_times()[0]),
    "register": lambda j, _f: j.consumers.register("h1@b/0", [("q", "c")]),
    "forget": lambda j, _f: j.consumers.forget("h1@b/0"),
    "note": lambda j, _f: j.consumers.note("q", "c", "marker", 1),
}


def _finish(journal: Journal, flow: str) -> None:
    detail = journal.load(flow)
    journal.finish(detail, journal.progress(detail), None)


def _times() -> tuple[datetime.datetime, datetime.datetime]:
    now = datetime.datetime(2030, 1, 1)
    return now, now


@pytest.mark.parametrize("write", WRITES)
def test_an_old_epoch_writes_nothing(
    journal: Journal, slots: Slots, clock: Clock, write: str
) -> None:
    lost: list[str] = []
    flow = accept(journal, "h1@b/0")
    journal.requests.ask("h1@b/0", flow, "cancel")
    journal.slots.hold(owned(slots, "h1"), lost.append)
    clock.advance(600)
    take(slots, "h1", host("h2"), expired=MARGIN)
    before = _content(journal)

    with pytest.raises(JournalFenced):
        WRITES[write](journal, flow)

    assert len(lost) == 1
    assert _content(journal) == before


def test_every_writing_method_is_in_the_table() -> None:
    """A method that is added and writes has to be fenced, and tried above."""
    sources = [
        Path(one.__file__).read_text() for one in (journal_module, insertions, journal_slots)
    ]
    writing = {
        body.split("(", 1)[0]
        for source in sources
        for body in re.split(r"\n    def ", source)[1:]
        if "self._writing(" in body or ".changing()" in body
    }

    assert writing - {"_fail", "insert", "insert_all", "_writing", "remove_withdrawn"} <= set(
        WRITES
    )


def test_transactions_are_opened_in_one_place() -> None:
    folder = Path(journal_module.__file__).parent
    elsewhere = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if re.search(r"raw_connection\(|engine\.begin\(|connection\.begin\(", path.read_text())
    }

    # The others make tables, indexes and columns, before a process owns a slot.
    assert elsewhere == {"transaction.py", "schema.py", "entries/journal_usage.py"}


def test_nothing_is_written_after_the_slot_was_given_up(
    journal: Journal, slots: Slots, clock: Clock
) -> None:
    journal.slots.hold(owned(slots, "h1"), no_loss)
    journal.slots.give_up()

    with pytest.raises(JournalFenced):
        accept(journal, "h1@b/0")


def _content(journal: Journal) -> list[object]:
    with journal._reading() as connection:
        names = sorted(sa.inspect(connection).get_table_names())
        tables = [name for name in names if name != SLOTS.name]
        return [connection.execute(sa.text(f"SELECT * FROM {name}")).all() for name in tables]


def pools(slots: Slots) -> dict[str, str]:
    return {one.slot: one.pool for one in slots.every()}


def test_the_slots_of_a_host_join_a_pool_with_it(slots: Slots, clock: Clock) -> None:
    """Also those for which it has no process any more, but none that another instance owns."""
    ours = host("h1")
    for number, holder in enumerate((ours, host("h1", "boot/elsewhere"), ours)):
        slots.take(f"h1@b/{number}", "h1@b", "h1@b", holder, ttl=TTL, former=None)
    slots.take("h2@b/0", "h1@b", "h2@b", ours, ttl=TTL, former=None)

    assert slots.bring_along("h1@b", "h1@b", POOL, ours.instance) == 2
    assert pools(slots) == {
        "h1@b/0": POOL,
        "h1@b/1": "h1@b",
        "h1@b/2": POOL,
        "h2@b/0": "h1@b",
    }


def test_the_pool_of_a_renamed_cluster_keeps_its_slots(slots: Slots, clock: Clock) -> None:
    owned(slots, "h1")
    clock.advance(TTL + 1)
    owned(slots, "h2")
    slots.offer("h3@b/0", POOL, "h3@b")

    assert slots.rename_pool(POOL, "new@b") == 2
    assert pools(slots) == {"h1@b/0": "new@b", "h2@b/0": POOL, "h3@b/0": "new@b"}
