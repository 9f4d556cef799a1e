# SPDX-License-Identifier: Apache-2.0
"""Owners of slots without services: take a slot, take one over from a busy owner."""

from __future__ import annotations

import functools
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

from tests.functional.db.test_journal import accept
from tests.servers import until
from worker.journal.errors import JournalConflict, JournalFenced
from worker.journal.journal import Journal
from worker.journal.slots.adoption import Adoption
from worker.journal.slots.ownership import Holder, Ownership
from worker.journal.slots.slot_rows import Slot

POOL = "cluster@b1"
TTL = 600.0


def take(journal: Journal, name: str) -> Ownership:
    """Become the owner of a slot, in place of its present owner."""
    assert journal.slots.table is not None
    slot, holder = f"{name}@b1/0", Holder(uuid.uuid4().hex, f"boot/{name}", name, 1)
    found = journal.slots.table.find(slot)
    taken = journal.slots.table.take(slot, POOL, f"{name}@b1", holder, ttl=TTL, former=found)
    assert taken is not None
    return taken


def hold(journal: Journal, name: str, idle: float | None = None) -> Adoption:
    return journal.slots.hold(take(journal, name), lambda _reason: None, idle)


def adopted(adoption: Adoption, former: Slot) -> bool:
    """Adopt the operations of a slot, unless its owner is in the way again and again."""
    try:
        return adoption.adopt(former, None) is not None
    except JournalConflict:
        return False


def take_over_busy(victim: Journal, adopter: Journal, rounds: int, writers: int = 3) -> None:
    """Take a slot over again and again while its owner writes as fast as it can.

    A stale commit would leave an operation in the slot, which nothing resumes.
    """
    assert adopter.slots.table is not None
    adoption = hold(adopter, "h2")
    accepted = 0
    for _ in range(rounds):
        hold(victim, "h1")
        some = threading.Event()
        flows: list[str] = []

        def write(some: threading.Event = some, flows: list[str] = flows) -> None:
            while True:
                try:
                    flows.append(accept(victim, "h1@b1/0").uuid)
                except JournalConflict:  # of two nodes: nothing is written
                    continue
                except JournalFenced:
                    return
                if len(flows) == 5:
                    some.set()

        with ThreadPoolExecutor(writers) as pool:
            writing = [pool.submit(write) for _ in range(writers)]
            some.wait(30)
            former = adopter.slots.table.find("h1@b1/0")
            assert former is not None
            attempt = functools.partial(adopted, adoption, former)
            until(attempt, 60, "a takeover from a busy owner")
            for one in writing:
                one.result(30)
        accepted += len(flows)

        assert victim.slots.unfinished().keys() == {"h2@b1/0"}
        assert victim.slots.unfinished()["h2@b1/0"][0] == accepted
