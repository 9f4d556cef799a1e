# SPDX-License-Identifier: Apache-2.0
"""The journal in every database: its writes besides progress, and its reads."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
from oslo_utils import timeutils
from taskflow import states
from taskflow.persistence.models import FlowDetail, TaskDetail
from taskflow.types.failure import Failure

from flows.volume import create
from tests.servers import forked
from worker.journal.journal import Journal
from worker.journal.operator_requests import RequestResult
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

SLOT = "h1@b1/0"


@pytest.fixture
def journal(database_url: str) -> Iterator[Journal]:
    made = Journal(database_url)
    made.upgrade()
    yield made
    made.close()


def accept(journal: Journal, slot: str = SLOT) -> FlowDetail:
    operation = Operation(
        create.flow,
        ("volume", "v1"),
        {"volume_id": "v1", "odd": "\u2603 \ud800 '\"%s"},
        exclusive=("v1-delete_volume",),
        method="create_volume",
        request=RequestContext({"request_id": "req-1"}),
    )
    detail = journal.accept(uuid.uuid4().hex, slot, operation)
    assert detail is not None
    return detail


def failed(journal: Journal) -> FlowDetail:
    """A flow whose second task failed, and whose first could not be undone."""
    detail = accept(journal)
    progress = journal.progress(detail)
    cause = Failure.from_exception(ValueError("no space"))
    for name, failure in (("one", None), ("two", cause)):
        atom = TaskDetail(name, str(uuid.uuid4()))
        atom.state = states.REVERTED
        atom.failure = failure
        atom.revert_results = {"undo_failed": "OSError: away"}
        progress.update_atom_details(atom)
    journal.finish(detail, progress, cause, {"one": "OSError: away"})
    return detail


def upgrade(url: str) -> None:
    """The start-up work of each process of a service."""
    journal = Journal(url)
    journal.upgrade()
    journal.close()


def test_processes_that_start_together_make_it_together(database_url: str) -> None:
    with ProcessPoolExecutor(4, forked.processes()) as pool:
        assert list(pool.map(upgrade, [database_url] * 8)) == [None] * 8


def test_text_of_any_kind_comes_back(journal: Journal) -> None:
    detail = accept(journal)

    assert journal.load(detail.uuid).meta["args"]["odd"] == "\u2603 \ud800 '\"%s"


def test_no_more_rejected_messages_than_wanted(journal: Journal) -> None:
    kept = accept(journal)
    for number in range(7):
        journal.rejected.add(
            uuid.uuid4().hex, "\ud800" * 300, f"\x00 bad {number}", body="x" * 9000
        )
    journal.rejected.prune(3)

    rejected = journal.entries(rejected=True)
    assert len(rejected) == 3
    assert all(len(entry.method) <= 100 for entry in rejected)
    assert journal.load(kept.uuid).state == states.PENDING


def test_a_wish_leaves_the_state(journal: Journal) -> None:
    detail = accept(journal)
    journal.request_revert(detail, "because")

    found = journal.load(detail.uuid)
    assert (found.meta["undo"], found.state) == ("because", states.PENDING)


def test_what_failed_is_ready_to_run_again(journal: Journal) -> None:
    flow = failed(journal).uuid
    assert journal.load(flow).state == states.FAILURE
    again = journal.reopen(flow)

    assert (again.state, list(again), again.meta["resumes"]) == (states.SUSPENDED, [], 0)
    assert again.meta["reopened"]
    assert journal.reopen(flow).meta["reopened"] != again.meta["reopened"]
    assert "failure" not in again.meta
    assert [f.uuid for f in journal.unfinished(SLOT)] == [flow]


def test_what_failed_is_ready_to_be_undone_again(journal: Journal) -> None:
    flow = failed(journal).uuid
    again = journal.revert_again(flow)

    assert again.state == states.SUSPENDED
    assert {a.name: a.state for a in again} == {"one": states.SUCCESS, "two": states.FAILURE}
    assert next(a for a in again if a.name == "two").failure.check(ValueError)


def test_the_flows_of_a_slot_are_given_to_another(journal: Journal) -> None:
    mine, theirs = accept(journal), accept(journal, "h1@b1/2")
    accept(journal, "h1@b10/2")
    assert sorted(journal.slots.with_unfinished("h1@b1/")) == ["h1@b1/0", "h1@b1/2"]
    journal.slots.adopt("h1@b1/2", SLOT)

    assert {f.uuid for f in journal.unfinished(SLOT)} == {mine.uuid, theirs.uuid}


def test_requests(journal: Journal) -> None:
    requests = journal.requests
    first = requests.ask(SLOT, "f1", "cancel")
    requests.ask("h1@b1/1", "f2", "cancel")
    second = requests.ask(SLOT, "f3", "resume")
    assert [(r.id, r.flow, r.action) for r in requests.pending(SLOT)] == [
        (first, "f1", "cancel"),
        (second, "f3", "resume"),
    ]
    assert requests.answer_of(first) is None
    requests.answer(first, RequestResult(False, "no"))
    requests.prune(timeutils.utcnow() - datetime.timedelta(hours=1))

    assert requests.answer_of(first) == RequestResult(False, "no")
    assert [r.id for r in requests.pending(SLOT)] == [second]


@pytest.mark.parametrize("kind", ["mysql"])
def test_a_server_is_not_told_to_roll_back_what_has_ended(new_database, kind) -> None:
    journal = Journal(new_database(kind))
    journal.upgrade()

    def rollbacks() -> int:
        with journal._reading() as connection:
            found = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Com_rollback'").one()
        return int(found[1])

    before = rollbacks()
    detail = accept(journal)
    journal.finish(detail, journal.progress(detail), None)
    assert rollbacks() == before + 1  # of the query before
    journal.close()
