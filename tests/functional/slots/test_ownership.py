# SPDX-License-Identifier: Apache-2.0
"""Ownership on each server: takeovers of busy owners, two takers at once, commands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional.db.test_journal import accept
from tests.functional.slots.owners import POOL, hold, take_over_busy
from tests.servers.forked import command
from worker.journal.errors import JournalUnavailable
from worker.journal.journal import Journal
from worker.journal.slots.adoption import Adoption
from worker.journal.slots.ownership import Holder

ROUNDS = 20


@pytest.fixture(params=["mysql", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    return new_database(request.param)


@pytest.fixture
def open_journal(url: str) -> Iterator[Callable[[], Journal]]:
    """A function that opens the journal as one more process."""
    made: list[Journal] = []

    def make() -> Journal:
        made.append(Journal(url))
        if len(made) == 1:
            made[0].upgrade()
        return made[-1]

    yield make
    for journal in made:
        journal.close()


def test_nothing_of_a_busy_owner_is_committed_after_the_takeover(
    open_journal: Callable[[], Journal],
) -> None:
    take_over_busy(open_journal(), open_journal(), ROUNDS)


def test_one_of_several_takers_gets_all_operations(open_journal: Callable[[], Journal]) -> None:
    journals = [open_journal() for _ in range(4)]
    adoptions = [hold(journal, f"t{number}") for number, journal in enumerate(journals)]
    table = journals[0].slots.table
    assert table is not None
    victim = open_journal()
    for turn in range(1, ROUNDS):
        hold(victim, "h1")
        accept(victim, "h1@b1/0")
        former = table.find("h1@b1/0")
        assert former is not None
        barrier = threading.Barrier(len(adoptions))

        def adopt(adoption: Adoption, former: object = former, barrier: object = barrier) -> int:
            barrier.wait()  # type: ignore[attr-defined]
            found = adoption.adopt(former, None)  # type: ignore[arg-type]
            return 0 if found is None else len(found.flows)

        with ThreadPoolExecutor(len(adoptions)) as pool:
            taken = list(pool.map(adopt, adoptions))

        assert sorted(taken) == [0, 0, 0, 1]
        assert sum(count for count, _age in victim.slots.unfinished().values()) == turn


def test_a_host_that_lost_its_power_inside_a_transaction_keeps_no_slot(
    open_journal: Callable[[], Journal],
) -> None:
    """Its server ends the transaction, whose connection stays open, and so unlocks the row."""
    victim = open_journal()
    hold(victim, "h1", idle=1.0)
    flow = accept(victim, "h1@b1/0").uuid
    adoption = hold(open_journal(), "h2")
    assert victim.slots.table is not None
    former = victim.slots.table.find("h1@b1/0")
    assert former is not None
    with pytest.raises(JournalUnavailable), victim._transactions.changing():
        adopted = adoption.adopt(former, None)

    assert adopted is not None
    assert adopted.flows == (flow,)


@pytest.fixture
def holdfast(url: str, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """A function that runs a command."""
    config = tmp_path / "holdfast.conf"
    config.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\n[database]\nconnection = sqlite://\n"
        f"[journal]\nconnection = {url}\n"
    )

    def run(*words: str) -> tuple[int, str]:
        done = command("worker.cli.main", "--config-file", str(config), *words)
        return done.returncode, done.stdout + done.stderr

    return run


def test_operators_have_slots_adopted_and_released(
    open_journal: Callable[[], Journal], holdfast: Callable[..., tuple[int, str]]
) -> None:
    journal = open_journal()
    assert (table := journal.slots.table) is not None
    hold(journal, "h1")
    accept(journal, "h1@b1/0")
    holder = Holder("dead", "boot/h3", "h3", 1)
    for slot in ("h3@b1/0", "h4@b1/0", "h5@b1/0"):
        table.take(slot, POOL, slot[:5], holder, ttl=-60.0, former=None)
    accept(journal, "h3@b1/0")
    accept(journal, "h5@b1/0")

    refused = holdfast("slot", "adopt", "h1@b1/0", "--force")
    unsure = holdfast("slot", "adopt", "h3@b1/0")
    adopted = holdfast("slot", "adopt", "h3@b1/0", "--force", "--pool", "other@b1")
    nothing = holdfast("slot", "adopt", "h4@b1/0", "--force")
    released = holdfast("slot", "release", "h4@b1/0", "--force")
    orphaned = holdfast("slot", "release", "h3@b1/0")
    waiting = holdfast("slot", "release", "h5@b1/0", "--force")
    unknown = holdfast("slot", "release", "h9@b1/0")
    _status, listed = holdfast("slot", "list", "-f", "json")

    assert refused[0] == 1
    assert "renewed its lease of h1@b1/0" in refused[1]
    assert unsure[0] == 1
    assert "add --force" in unsure[1]
    none = "a process of pool other@b1, which has no living process now\n"
    assert adopted == (0, f"the 1 operations of h3@b1/0 wait for {none}")
    assert "has no unfinished operations" in nothing[1]
    assert released == (0, "slot h4@b1/0 is free\n")
    wait = "its 1 operations wait for"
    assert orphaned == (0, f"slot h3@b1/0 is free; {wait} {none}")
    text = f"slot h5@b1/0 is free; {wait} its own host; see: holdfast slot adopt h5@b1/0\n"
    assert waiting == (0, text)
    assert "there is no slot h9@b1/0" in unknown[1]
    shown = {
        row["slot"]: (row["state"], row["pool"], row["operations"]) for row in json.loads(listed)
    }
    assert shown == {
        "h1@b1/0": ("held", POOL, 1),
        "h3@b1/0": ("orphaned", "other@b1", 1),
        "h4@b1/0": ("free", POOL, 0),
        "h5@b1/0": ("free", POOL, 1),
    }


def test_a_rescued_file_is_imported_for_a_pool_and_adopted(
    open_journal: Callable[[], Journal],
    holdfast: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:
    lost = Journal(f"sqlite:///{tmp_path}/lost.sqlite")
    lost.upgrade()
    flow = accept(lost, "h1@b1/0").uuid
    journal = open_journal()
    assert (table := journal.slots.table) is not None

    in_use = holdfast("journal", "import", f"{tmp_path}/lost.sqlite")
    lost.close()
    imported = holdfast("journal", "import", f"{tmp_path}/lost.sqlite", "--cluster", "cluster")
    adoption = hold(journal, "h2")
    (former,) = [one for one in table.of_pool(POOL) if one.is_adoptable(0)]
    adopted = adoption.adopt(former, 0)
    again = holdfast("journal", "import", f"{tmp_path}/lost.sqlite", "--cluster", "cluster")

    none = ", which has no living process now"
    assert "is in use by process" in in_use[1]
    assert imported == (0, f"h1@b1/0: 1 operations wait for a process of pool {POOL}{none}\n")
    assert adopted is not None
    assert adopted.flows == (flow,)
    assert former.host == "h1@b1"
    assert "0 operations wait" in again[1]
    assert [one.uuid for one in journal.unfinished("h2@b1/0")] == [flow]
