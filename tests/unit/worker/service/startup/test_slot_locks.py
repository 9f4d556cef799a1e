# SPDX-License-Identifier: Apache-2.0
"""One owner for each slot, and a new one for slots without a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.errors import ProcessStopping
from flows.volume import create
from worker.journal.journal import Journal
from worker.locks import Locks
from worker.rpc.operation import Operation
from worker.service.startup import slot_locks

HOST = "h1@b1"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[str], Locks]]:
    """Make the locks of another process."""
    made: list[Locks] = []

    def make(name: str) -> Locks:
        made.append(Locks(f"file://{tmp_path}/locks", name))
        made[-1].start()
        return made[-1]

    yield make
    for locks in made:
        locks.stop()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    made.upgrade()
    for number, slot in enumerate((f"{HOST}/0", f"{HOST}/1", f"{HOST}/2", "h1@b2/3")):
        operation = Operation(create.flow, ("volume", f"v{number}"), {}, method="create_volume")
        made.accept(f"{number:032}", slot, operation)
    yield made
    made.close()


def test_a_second_process_waits_for_the_end_of_the_first(
    process: Callable[[str], Locks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_locks, "PAUSE", 0.01)
    first, second = process("first"), process("second")
    slot_locks.hold(first, f"{HOST}/0", threading.Event())
    held = threading.Event()

    def wait() -> None:
        slot_locks.hold(second, f"{HOST}/0", threading.Event())
        held.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not held.wait(0.1)

    first.stop()
    assert held.wait(5)
    first.start()


def test_a_stop_ends_the_waiting(process: Callable[[str], Locks]) -> None:
    slot_locks.hold(process("first"), f"{HOST}/0", threading.Event())
    stopping = threading.Event()
    stopping.set()

    with pytest.raises(ProcessStopping, match=f"{HOST}/0"):
        slot_locks.hold(process("second"), f"{HOST}/0", stopping)


def test_slots_without_a_process_are_adopted(
    process: Callable[[str], Locks], journal: Journal
) -> None:
    slot_locks.hold(
        process("a process of the former configuration"), f"{HOST}/2", threading.Event()
    )
    slot_locks.adopt(journal, process("first"), HOST, f"{HOST}/0", [f"{HOST}/0"])

    owned = [detail.meta["resource"][1] for detail in journal.unfinished(f"{HOST}/0")]
    assert sorted(owned) == ["v0", "v1"]
    assert len(journal.unfinished(f"{HOST}/2")) == len(journal.unfinished("h1@b2/3")) == 1
