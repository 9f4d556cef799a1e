# SPDX-License-Identifier: Apache-2.0
"""The journal's commits that were not answered: each operation runs, once, and ends."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from taskflow import states

from tests.unit.flows.world.world import World
from tests.unit.worker.execution.test_operation_pool import GATE, SLOT, Bench, note, until
from tests.unit.worker.journal.lost_answers import LostAnswers
from worker.execution import intake, operator_requests, retry
from worker.execution.operator_requests import RequestPoller
from worker.journal.errors import JournalRefused, JournalUnavailable
from worker.rpc.operation import Operation

EFFECTS = pytest.mark.parametrize("takes_effect", [True, False])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(retry, "RETRY_FIRST", 0.01)
    GATE.reset()
    made = Bench(World(tmp_path), tmp_path)
    made.operations.resumed.start()
    yield made
    made.close()


@pytest.fixture
def answers(bench: Bench) -> LostAnswers:
    return LostAnswers(bench.journal)


@EFFECTS
def test_an_accepted_cast_runs_once(bench, answers, takes_effect) -> None:
    answers.lose(takes_effect=takes_effect)
    flow = bench.cast("note", name="a")
    bench.ended(flow)
    bench.cast("note", flow, name="a")

    assert GATE.ran == ["a"]


@EFFECTS
def test_an_accepted_cast_runs_once_after_several_losses(bench, answers, takes_effect) -> None:
    answers.lose(3, takes_effect=takes_effect)
    bench.ended(bench.cast("note", name="a"))

    assert GATE.ran == ["a"]


def test_an_entry_of_another_slot_is_not_run(bench, answers) -> None:
    """Another process took over the slot between the commit and the second attempt."""
    operation, unique_id = Operation(note, ("volume", "v1"), {"name": "a"}), uuid.uuid4().hex
    answers.lose()
    with pytest.raises(JournalUnavailable):
        bench.journal.accept(unique_id, SLOT, operation)
    bench.journal.slots.adopt(SLOT, "another")

    assert bench.journal.accept(unique_id, SLOT, operation) is None


def test_an_entry_that_has_begun_is_not_run_again(bench, answers) -> None:
    operation, unique_id = Operation(note, ("volume", "v1"), {"name": "a"}), uuid.uuid4().hex
    answers.lose()
    with pytest.raises(JournalUnavailable):
        bench.journal.accept(unique_id, SLOT, operation)
    [detail] = bench.journal.unfinished(SLOT)
    bench.journal.count_interruption(detail)
    bench.journal.request_revert(detail, "no")
    with bench.journal._writing() as cursor:
        bench.journal._statements.set_flow(cursor, detail.uuid, states.RUNNING)

    assert bench.journal.accept(unique_id, SLOT, operation) is None


def test_of_two_deliveries_one_gets_the_entry(bench, answers) -> None:
    operation, unique_id = Operation(note, ("volume", "v1"), {"name": "a"}), uuid.uuid4().hex
    answers.lose()
    with pytest.raises(JournalUnavailable):
        bench.journal.accept(unique_id, SLOT, operation)

    found = [bench.journal.accept(unique_id, SLOT, operation) for _ in range(3)]
    assert [one is not None for one in found] == [True, False, False]


@EFFECTS
def test_every_commit_of_an_operation(bench, answers, takes_effect) -> None:
    answers.lose_number(10**6)
    bench.ended(bench.cast("note", name="counted"))
    for number in range(answers.commits):
        name = f"n{number}"
        answers.lose_number(number, takes_effect=takes_effect)
        bench.ended(bench.cast("note", name=name))

        assert answers._at is None
        assert set(GATE.ran) >= {name}  # a step that was interrupted may run again
    assert bench.journal.unfinished(SLOT) == []


@EFFECTS
def test_every_commit_of_a_failure(bench, answers, takes_effect) -> None:
    answers.lose_number(10**6)
    bench.ended(bench.cast("note", name="bad"), states.REVERTED)
    for number in range(answers.commits):
        answers.lose_number(number, takes_effect=takes_effect)
        flow = bench.cast("note", name="bad")
        bench.ended(flow, states.REVERTED)

        tasks = {atom.name: atom.state for atom in bench.journal.load(flow)}
        assert set(tasks.values()) <= {states.REVERTED, states.FAILURE} and tasks


@EFFECTS
def test_a_call_is_answered(bench, answers, takes_effect) -> None:
    answers.lose(takes_effect=takes_effect)

    assert bench.call("ask", name="a") == "A"
    assert GATE.ran == ["a"]


@EFFECTS
def test_a_call_waits_for_a_journal_that_is_away(bench, answers, takes_effect) -> None:
    answers.lose(5, takes_effect=takes_effect)

    assert bench.call("ask", timeout=60.0, name="a") == "A"
    assert GATE.ran == ["a"]


@EFFECTS
def test_a_call_that_could_not_be_journalled_does_not_run_later(
    bench, answers, takes_effect, monkeypatch
) -> None:
    def away(*_args: object) -> None:
        raise JournalUnavailable("away")

    monkeypatch.setattr(intake, "REPLY_TIME", 59.9)  # the error comes in time for the caller
    answers.lose(1000, takes_effect=takes_effect)
    with monkeypatch.context() as during:
        during.setattr(bench.journal.insertions, "_read_back", away)
        with pytest.raises(JournalUnavailable):
            bench.call("ask", timeout=60.0, name="a")
    answers.lose(0)
    assert len(bench.journal.unfinished(SLOT)) == int(takes_effect)
    bench.journal.insertions.remove_withdrawn()

    assert bench.journal.unfinished(SLOT) == []
    assert bench.call("ask", name="b") == "B"
    assert GATE.ran == ["b"]


def _accepted(bench: Any) -> Any:
    return bench.journal.accept(
        uuid.UUID(int=1).hex, SLOT, Operation(note, ("volume", "v1"), {"name": "a"})
    )


def test_one_that_was_withdrawn_runs_once_where_it_is_delivered_again(bench) -> None:
    detail = _accepted(bench)
    bench.journal.insertions.withdraw(detail.uuid)

    assert _accepted(bench).uuid == detail.uuid
    bench.journal.insertions.remove_withdrawn()
    assert bench.journal.load(detail.uuid).state == states.PENDING
    assert _accepted(bench) is None


def test_one_stays_withdrawn_that_could_not_be_removed(bench, answers) -> None:
    bench.journal.insertions.withdraw(_accepted(bench).uuid)
    answers.lose(takes_effect=False)
    with pytest.raises(JournalUnavailable):
        bench.journal.insertions.remove_withdrawn()
    bench.journal.insertions.remove_withdrawn()

    assert bench.journal.unfinished(SLOT) == []


@EFFECTS
def test_an_interruption_counts_once(bench, answers, takes_effect) -> None:
    detail = bench.journal.accept(
        uuid.uuid4().hex, SLOT, Operation(note, ("volume", "v1"), {"name": "a"})
    )
    assert bench.journal.count_interruption(detail) == 0
    answers.lose(takes_effect=takes_effect)
    with pytest.raises(JournalUnavailable):
        bench.journal.count_interruption(detail)

    assert bench.journal.count_interruption(detail) == 1
    assert bench.journal.load(detail.uuid).meta["resumes"] == 1


@EFFECTS
def test_a_rejected_message_is_kept_once(bench, answers, takes_effect) -> None:
    answers.lose(takes_effect=takes_effect)
    bench.cast("unknown")

    assert len(bench.journal.entries(rejected=True)) == 1


@EFFECTS
@pytest.mark.parametrize("number", range(3))
def test_a_request_of_an_operator_is_carried_out_once(
    bench, answers, takes_effect, number, monkeypatch
) -> None:
    """Number 0 asks for the flow, 1 is the request's effect, and the last one its answer."""
    monkeypatch.setattr(operator_requests, "PAUSE", 0.01)
    flow = bench.cast("note", name="bad")
    bench.ended(flow, states.REVERTED)
    until(lambda: bench.operations.find(flow) is None)
    before = GATE.ran.count("bad")
    request = bench.journal.requests.ask(SLOT, flow, "resume")
    answers.lose_number(number, takes_effect=takes_effect)
    never = threading.Event()
    RequestPoller(
        bench.journal, SLOT, bench.requests, bench.stopping, never, bench.messages
    ).start()
    until(lambda: bench.journal.requests.answer_of(request) is not None)
    until(lambda: bench.operations.find(flow) is None)

    assert bench.journal.requests.answer_of(request).done
    assert bench.state(flow) == states.REVERTED
    assert GATE.ran.count("bad") > before
    bench.operations.close()


def test_an_entry_that_the_journal_refuses_is_rejected(bench, monkeypatch) -> None:
    bench.journal._statements.limit.longest = 4000
    flow = bench.cast("note", name="x" * 5000)

    [entry] = bench.journal.entries(rejected=True)
    assert entry.flow == flow
    assert "is too long" in str(entry.failure)
    assert GATE.ran == []


def test_no_message_is_acknowledged_while_the_journal_refuses_everything(
    bench, monkeypatch
) -> None:
    refusals = []

    def refuse(*_args: object) -> None:
        refusals.append(1)
        if len(refusals) < 4:
            raise JournalRefused("there is no such table")

    plain = bench.journal.insertions.insert

    def insert(*args: object) -> object:
        refuse()
        return plain(*args)

    monkeypatch.setattr(bench.journal.insertions, "insert", insert)
    bench.cast("note", name="a")

    assert len(refusals) == 4
    assert len(bench.journal.entries(rejected=True)) == 1
