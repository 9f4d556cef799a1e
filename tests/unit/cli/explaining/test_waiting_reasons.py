# SPDX-License-Identifier: Apache-2.0
"""Operations wait for their turn, the limit of their project, or a thread."""

from __future__ import annotations

from typing import Any

from oslo_utils import timeutils

from worker.cli.explain.waiting_reasons import reasons
from worker.journal.entries.listed_entry import JournalEntry


def entry(
    flow: str,
    state: str = "PENDING",
    *,
    locks: tuple[str, ...] = (),
    shared: tuple[str, ...] = (),
    project: str = "p1",
    slot: str = "h@b/0",
    moves_data: bool = False,
) -> JournalEntry:
    meta: dict[str, Any] = {"locks": list(locks), "shared": list(shared)}
    meta |= {"request": {"project_id": project}, "moves_data": moves_data}
    now = timeutils.utcnow()
    return JournalEntry(flow, slot, "m", "volume v", state, now, None, 0, None, None, meta)


def waiting(*entries: JournalEntry, threads: int = 64, most: int = 0) -> dict[str, str]:
    return reasons(entries, lambda _slot: threads, lambda _project: most)


def test_one_that_may_run_has_no_reason() -> None:
    assert waiting(entry("a"), entry("b", "RUNNING")) == {}


def test_one_waits_for_its_turn_behind_another_on_its_resource() -> None:
    first = entry("first", "RUNNING", locks=("v1",), shared=("s1",))
    exclusive, shared = entry("exclusive", locks=("s1",)), entry("shared", shared=("s1",))
    before = entry("before", shared=("s1",))

    assert waiting(first, before, exclusive, shared) == {"exclusive": "turn", "shared": "turn"}
    assert waiting(first, entry("elsewhere", locks=("v1",), slot="h2@b/0")) == {}


def test_one_waits_for_the_limit_of_its_project() -> None:
    found = waiting(entry("a", "RUNNING"), entry("b"), entry("c", project="p2"), most=1)

    assert found == {"b": "project"}


def test_one_waits_for_a_thread() -> None:
    found = waiting(entry("a", "RUNNING"), entry("b"), entry("c"), threads=2)

    assert found == {"c": "thread"}


def test_data_transfers_have_limits_of_their_own() -> None:
    transfers = entry("a", "RUNNING", moves_data=True), entry("b", moves_data=True)

    assert waiting(*transfers, entry("c"), threads=1) == {"b": "thread"}
    assert waiting(*transfers, entry("c"), most=1) == {"b": "project"}


def test_an_entry_that_holds_no_operation_has_no_reason() -> None:
    odd = entry("odd")
    odd.meta.update({"locks": 7, "shared": None, "request": "x"})  # type: ignore[attr-defined]

    assert waiting(odd) == {}
