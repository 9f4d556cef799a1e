# SPDX-License-Identifier: Apache-2.0
"""A rejected message is kept, and becomes an operation once, as an operator asks."""

from __future__ import annotations

from typing import Any

import pytest
from taskflow import states

from tests.servers import until
from tests.unit.worker.execution.test_operation_pool import GATE, SLOT, Bench, Endpoint
from tests.unit.worker.execution.test_operation_pool import bench as bench  # noqa: PLC0414
from worker.execution.rejections.rejected import CONTENTS_MAX
from worker.execution.rejections.retried import MessageRetry, RetryRefused
from worker.execution.retry import JournalRetry
from worker.execution.slot_journal import SlotJournal
from worker.journal.journal import Journal
from worker.rpc.dispatch import Dispatcher, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class Later(Endpoint):
    """The methods of a version that has one more."""

    @exposed("3.0")
    def new_method(self, request: RequestContext, name: str) -> Operation:
        return self.note(request, name, f"volume-{name}")


@pytest.fixture
def later(bench: Bench) -> MessageRetry:
    """The messages of the process after an upgrade."""
    own = SlotJournal(bench.journal, JournalRetry(bench.stopping), SLOT)
    dispatcher = Dispatcher([Later()], "3.0")
    return MessageRetry(own, bench.operations, dispatcher)


def rejected(journal: Journal) -> list[Any]:
    return journal.entries(rejected=True)


def test_a_message_is_kept_without_the_secrets_of_its_request(bench: Bench) -> None:
    message = {"method": "new_method", "version": "3.0", "args": {"name": "a"}, "_unique_id": "u1"}
    context = {"request_id": "req-9", "project_id": "p1", "auth_token": "hidden"}
    bench.reject(message, context)
    (entry,) = rejected(bench.journal)

    assert entry.meta["message"] == {one: message[one] for one in ("method", "version", "args")}
    assert entry.meta["request"]["project_id"] == "p1"
    assert entry.meta["slot"] == SLOT and "hidden" not in str(entry.meta)


@pytest.mark.parametrize("args", [{"name": "x" * CONTENTS_MAX}, {"name": {1}}])
def test_of_one_that_is_too_long_or_cannot_be_stored_the_reason_is_kept(
    bench: Bench, args: Any
) -> None:
    bench.reject({"method": "new_method", "args": args, "_unique_id": "u1"}, {})
    (entry,) = rejected(bench.journal)

    assert "unknown method" in entry.failure and "message" not in entry.meta
    with pytest.raises(RetryRefused, match="were not kept"):
        bench.messages.retry(entry.flow)


def test_it_is_refused_while_it_would_be_rejected_again(bench: Bench) -> None:
    flow = bench.cast("new_method", name="a")

    for ask in (bench.messages.check, bench.messages.retry):
        with pytest.raises(RetryRefused, match="unknown method new_method"):
            ask(flow)
    assert [one.flow for one in rejected(bench.journal)] == [flow]


def test_it_becomes_an_operation_once(bench: Bench, later: MessageRetry) -> None:
    flow = bench.cast("new_method", name="a")
    assert "would be accepted" in later.check(flow)
    assert rejected(bench.journal)  # a check changes nothing
    assert "is accepted" in later.retry(flow)
    bench.ended(flow)

    assert bench.state(flow) == states.SUCCESS and GATE.ran == ["a"]
    assert not rejected(bench.journal)
    with pytest.raises(RetryRefused, match="an operation already"):
        later.retry(flow)
    bench.cast("new_method", unique_id=flow, name="a")  # delivered again
    assert GATE.ran == ["a"]


def test_it_is_refused_while_another_operation_works_on_the_resource(
    bench: Bench, later: MessageRetry
) -> None:
    flow = bench.cast("new_method", name="a")
    go = GATE.hold("first")
    running = bench.cast("note", name="first", volume="volume-a")
    with pytest.raises(RetryRefused, match="another operation works on volume volume-a"):
        later.retry(flow)
    go.set()
    bench.ended(running)
    resource = Operation(lambda: None, ("volume", "volume-a"), {}, exclusive=("volume-a",))  # type: ignore[arg-type,return-value]
    until(lambda: not bench.operations.is_busy(resource), 60, "the end of its turn")

    later.retry(flow)
    bench.ended(flow)


def test_one_that_was_dropped_is_gone(bench: Bench, later: MessageRetry) -> None:
    flow = bench.cast("new_method", name="a")
    assert bench.journal.rejected.drop(flow)

    assert not bench.journal.rejected.drop(flow)
    with pytest.raises(RetryRefused, match="no rejected message"):
        later.retry(flow)


def test_an_operation_is_no_rejected_message_to_drop(bench: Bench) -> None:
    flow = bench.cast("note", name="a")
    bench.ended(flow)

    assert not bench.journal.rejected.drop(flow)
    assert bench.state(flow) == states.SUCCESS


def test_a_request_reaches_the_slot_that_it_names(bench: Bench) -> None:
    """The entry belongs to no slot; once it is an operation, its owner is asked."""
    flow = bench.cast("new_method", name="a")
    requests = bench.journal.requests
    number = requests.ask("h2@b1/0", flow, "retry")

    assert [one.id for one in requests.pending("h2@b1/0")] == [number]
    assert requests.pending(SLOT) == []
