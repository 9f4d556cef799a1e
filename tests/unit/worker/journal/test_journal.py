# SPDX-License-Identifier: Apache-2.0
"""The journal: accepted operations survive, are recognised, and are forgotten in time."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_utils import timeutils
from taskflow import states
from taskflow.persistence.models import TaskDetail
from taskflow.types.failure import Failure

from flows.volume import create
from worker.journal.entries.insertions import flow_id
from worker.journal.errors import JournalError
from worker.journal.journal import Journal
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

SLOT = "node@local/0"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.sqlite"


@pytest.fixture
def journal(path: str) -> Journal:
    made = Journal(path)
    made.upgrade()
    return made


def cast(method: str = "create_volume", **args: object) -> Operation:
    return Operation(
        create.flow,
        ("volume", "v1"),
        {"volume_id": "v1", **args},
        method=method,
        request=RequestContext({"request_id": "req-1", "user_id": "u"}),
        exclusive=("v1-delete_volume",),
        shared=("s1-delete_snapshot",),
    )


def accept(journal: Journal, slot: str = SLOT):
    detail = journal.accept(uuid.uuid4().hex, slot, cast())
    assert detail is not None
    return detail


def failure() -> Failure:
    try:
        raise ValueError("no space left")
    except ValueError:
        return Failure()


def test_an_accepted_cast_is_read_back_as_it_was(journal: Journal, path: str) -> None:
    accept(journal)
    journal.close()

    (found,) = Journal(path).unfinished(SLOT)

    assert Operation.from_meta(found.meta) == cast()
    assert found.state == states.PENDING


def test_the_same_message_is_accepted_once(journal: Journal) -> None:
    first = journal.accept("ab" * 16, SLOT, cast())
    second = journal.accept("ab" * 16, SLOT, cast())

    assert first is not None
    assert second is None
    assert len(journal.unfinished(SLOT)) == 1


def test_a_message_that_ended_is_still_recognised(journal: Journal) -> None:
    detail = journal.accept("ab" * 16, SLOT, cast())
    journal.finish(detail, journal.progress(detail), None)

    assert journal.accept("ab" * 16, SLOT, cast()) is None
    assert journal.unfinished(SLOT) == []


def test_a_slot_sees_only_its_own_flows(journal: Journal) -> None:
    accept(journal, "node@local/1")

    assert journal.unfinished(SLOT) == []


def test_two_processes_accept_one_message_once(journal: Journal, path: str) -> None:
    other = Journal(path)

    taken = [j.accept("cd" * 16, slot, cast()) for j, slot in ((journal, "a/0"), (other, "a/1"))]

    assert [found is not None for found in taken] == [True, False]


def test_progress_is_written_when_the_next_task_starts(journal: Journal) -> None:
    detail = accept(journal)
    progress = journal.progress(detail)
    first = TaskDetail("begin", "11111111-1111-1111-1111-111111111111")
    first.state = states.RUNNING
    progress.update_atom_details(first)

    assert len(journal.load(detail.uuid)) == 0

    first.state = states.SUCCESS
    progress.update_atom_details(first)
    second = TaskDetail("allocate", "22222222-2222-2222-2222-222222222222")
    second.state = states.RUNNING
    progress.update_atom_details(second)

    found = {atom.name: atom.state for atom in journal.load(detail.uuid)}
    assert found == {"begin": states.SUCCESS, "allocate": states.RUNNING}


def test_a_success_leaves_no_tasks_and_no_arguments(journal: Journal) -> None:
    detail = accept(journal)
    progress = journal.progress(detail)
    atom = TaskDetail("begin", "11111111-1111-1111-1111-111111111111")
    atom.state = states.REVERTING
    progress.update_atom_details(atom)

    journal.finish(detail, progress, None)

    found = journal.load(detail.uuid)
    assert found.state == states.SUCCESS
    assert len(found) == 0
    assert "args" not in found.meta


def test_a_failure_keeps_its_tasks_and_its_reason(journal: Journal) -> None:
    detail = accept(journal)
    progress = journal.progress(detail)
    atom = TaskDetail("allocate", "11111111-1111-1111-1111-111111111111")
    atom.state = states.FAILURE
    progress.update_atom_details(atom)

    journal.finish(detail, progress, failure())

    (entry,) = journal.entries()
    assert entry.state == states.REVERTED
    assert entry.failure == "ValueError: no space left"
    assert [a.name for a in journal.load(detail.uuid)] == ["allocate"]


def test_a_rejected_message_is_listed_apart(journal: Journal) -> None:
    journal.rejected.add(
        "ef" * 16, "no_such_method", "UnknownMethod: unknown method no_such_method"
    )

    assert journal.entries() == []
    (entry,) = journal.entries(rejected=True)
    assert (entry.method, entry.failure) == (
        "no_such_method",
        "UnknownMethod: unknown method no_such_method",
    )


def test_resumes_are_counted_on_disk(journal: Journal) -> None:
    detail = accept(journal)

    # Whether it had begun before its first resume is not known.
    assert [journal.count_interruption(detail) for _ in range(3)] == [0, 1, 2]
    assert journal.load(detail.uuid).meta["resumes"] == 2


def test_a_stop_in_order_leaves_no_flow_of_its_slot_as_interrupted(journal: Journal) -> None:
    running, waiting, ended = accept(journal), accept(journal), accept(journal)
    journal.count_interruption(running)
    journal.finish(ended, journal.progress(ended), None)
    other = accept(journal, "other")
    journal.count_interruption(other)
    journal.suspend(SLOT)

    assert [journal.load(one.uuid).state for one in (running, waiting, ended, other)] == [
        states.SUSPENDED,
        states.PENDING,
        states.SUCCESS,
        states.RUNNING,
    ]
    assert journal.count_interruption(journal.load(running.uuid)) == 0
    assert journal.count_interruption(journal.load(running.uuid)) == 1


def test_pruning_forgets_what_ended_long_ago_and_nothing_else(journal: Journal) -> None:
    ended, failed, waiting = accept(journal), accept(journal), accept(journal)
    journal.finish(ended, journal.progress(ended), None)
    journal.finish(failed, journal.progress(failed), failure())
    later = timeutils.utcnow() + datetime.timedelta(minutes=1)
    earlier = timeutils.utcnow() - datetime.timedelta(minutes=1)

    assert journal.prune(earlier, earlier) == 0
    assert journal.prune(later, earlier) == 1

    assert {entry.flow for entry in journal.entries()} == {failed.uuid, waiting.uuid}


def test_a_database_that_refuses_is_told_in_one_line(journal: Journal) -> None:
    with journal._engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE atomdetails"))
        connection.execute(sa.text("DROP TABLE flowdetails"))

    with pytest.raises(JournalError, match=r"^journal: OperationalError: no such table"):
        accept(journal)


def test_a_flow_id_is_the_messages_id_or_made_of_it() -> None:
    assert flow_id("ab" * 16) == "abababab-abab-abab-abab-abababababab"
    assert flow_id("not hex") == flow_id("not hex") != flow_id("not hex either")


def test_a_listing_can_be_narrowed_in_the_database(journal: Journal) -> None:
    open_ones = {accept(journal).uuid for _ in range(3)}
    done = accept(journal)
    journal.finish(done, journal.progress(done), None)
    journal.rejected.add("message-1", "nonsense", "unknown method")

    unfinished = journal.entries(among=[states.PENDING], limit=2)
    assert len(unfinished) == 2
    assert {entry.flow for entry in unfinished} < open_ones
    assert [e.flow for e in journal.entries(beginning=done.uuid[:13])] == [done.uuid]
    assert journal.entries(beginning="%") == []


def test_a_success_keeps_its_tasks_with_their_times(journal: Journal) -> None:
    detail = accept(journal)
    task = TaskDetail("begin", uuid.uuid4().hex)
    task.meta = {"began": 1.0, "ended": 1.5}
    detail.add(task)
    journal.finish(detail, journal.progress(detail), None)

    (entry,) = journal.entries()
    assert entry.meta["tasks"] == [["begin", 1.0, 1.5]]
    assert entry.meta["factory"] == "flows.volume.create:flow"


@pytest.mark.parametrize("quick", [True, False])
def test_a_task_that_is_no_bookkeeping_waits_for_the_disk(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    detail = accept(journal)
    progress = journal.progress(detail)
    progress.bookkeeping = frozenset({"begin", *(["next"] if quick else [])})
    used: list[object] = []
    original = journal._writing
    monkeypatch.setattr(
        progress, "_writing", lambda: used.append("kill") or original(), raising=True
    )
    monkeypatch.setattr(
        progress,
        "_writing_durably",
        lambda: used.append("power cut") or original(durably=True),
        raising=True,
    )
    for number, name in enumerate(("begin", "next")):
        atom = TaskDetail(name, str(uuid.UUID(int=number)))
        atom.state = states.RUNNING
        progress.update_atom_details(atom)
        atom.state = states.SUCCESS
        progress.update_atom_details(atom)

    assert used == ["kill" if quick else "power cut"]
