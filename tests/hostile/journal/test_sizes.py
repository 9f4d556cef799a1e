# SPDX-License-Identifier: Apache-2.0
"""Failing casts and bad messages fill neither the journal nor the log."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from taskflow import states
from taskflow.types.failure import Failure

from flows.errors import InvalidVolume
from tests import messages
from tests.unit.worker.execution.test_operation_pool import SLOT, Bench, note
from worker.execution import log_limit
from worker.execution.log_limit import LogLimit
from worker.execution.rejections.rejected import RejectedMessages
from worker.execution.retry import JournalRetry
from worker.execution.slot_journal import SlotJournal
from worker.journal.entries import kept_failures
from worker.journal.journal import Journal
from worker.rpc.dispatch import BadMessage, Dispatcher, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

MIB = 1 << 20


def fail(journal: Journal, size: int) -> str:
    """Let an operation with a long argument fail; return its flow."""
    args = {"name": "x" * size}
    detail = journal.accept(uuid.uuid4().hex, SLOT, Operation(note, ("volume", "v1"), args))
    assert detail is not None
    failure = Failure.from_exception(InvalidVolume("it is bad"))
    journal.finish(detail, journal.progress(detail), failure)
    return str(detail.uuid)


@pytest.mark.parametrize("kind", ["sqlite", "mysql", "postgresql"])
def test_failed_casts_are_bounded_in_bytes_the_oldest_first(
    new_database: Callable[[str], str], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    journal = Journal(new_database(kind))
    journal.upgrade()
    journal.failures.most = lambda: 8 * MIB
    running = journal.accept(uuid.uuid4().hex, SLOT, Operation(note, ("volume", "v1"), {}))
    assert running is not None
    with caplog.at_level(logging.WARNING):
        flows = [fail(journal, MIB) for _ in range(24)]
    kept = {entry.flow for entry in journal.entries(among=[states.REVERTED])}
    usage = journal.usage()

    assert 6 <= len(kept) <= 9
    assert journal.failures.removed_entries == 24 - len(kept)
    assert journal.failures.removed_bytes > 15 * MIB
    assert (usage.unfinished, usage.failed) == (1, len(kept))
    assert usage.kept_bytes > len(kept) * MIB
    assert usage.removed_entries == journal.failures.removed_entries
    assert usage.removed_bytes == journal.failures.removed_bytes
    assert journal.load(running.uuid).state == states.PENDING
    assert "keep_failed_mib" in caplog.text
    if kind == "sqlite":  # the times of the others are whole seconds
        assert kept == set(flows[-len(kept) :])
    journal.close()


def test_the_file_stops_to_grow(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(f"sqlite:///{path}")
    journal.upgrade()
    journal.failures.most = lambda: 4 * MIB
    for _ in range(60):
        fail(journal, MIB)
    journal.close()

    assert path.stat().st_size < 10 * MIB


def test_one_that_an_operator_runs_again_meanwhile_stays(
    new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database("postgresql")
    journal, other = Journal(url), Journal(url)
    journal.upgrade()
    flows = [fail(journal, MIB) for _ in range(3)]
    journal.failures.most = lambda: 0
    chunks = kept_failures._chunks

    def reopened_before(values: list[str]) -> Iterator[list[str]]:
        other.reopen(flows[0])
        return chunks(values)

    monkeypatch.setattr(kept_failures, "_chunks", reopened_before)
    journal.prune_failures()
    left = {entry.flow: entry.state for entry in journal.entries()}

    assert left == {flows[0]: states.SUSPENDED}
    journal.close()
    other.close()


def test_bad_messages_do_not_flood_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    journal.upgrade()
    own = SlotJournal(journal, JournalRetry(threading.Event()), SLOT)
    rejected = RejectedMessages(own, lambda: 10)
    for number in range(600):
        if number % 2:
            rejected.message({"method": "x" * 5000}, {}, BadMessage("x" * 100_000))
        else:
            rejected.unreadable(b"x" * 100_000, ValueError("x" * 100_000))

    assert len(caplog.records) == log_limit.MOST + 1
    assert sum(len(record.getMessage()) for record in caplog.records) < 50_000
    assert len(journal.entries(rejected=True)) <= 10 + 256
    journal.close()


def test_refused_calls_do_not_flood_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        with pytest.raises(BadMessage):
            messages.call(bench.intake, {"method": "x" * MIB, "version": "3.0"}, {})

    assert len(caplog.records) == log_limit.MOST + 1
    assert sum(len(record.getMessage()) for record in caplog.records) < 50_000


@pytest.mark.parametrize(
    "message",
    [
        {"method": "x" * MIB},
        {"method": "known", "version": "x" * MIB},
        {"method": "known", "namespace": "x" * MIB},
        {"method": "known", "args": {"x" * MIB: {"versioned_object.name": "y"}}},
        {"method": "known", "args": {"v": {"versioned_object.name": 1, "x": ["y" * MIB]}}},
    ],
)
def test_the_reason_of_a_refusal_is_short(message: dict[str, Any]) -> None:
    class Endpoint:
        @exposed("3.0", journalled=False)
        def known(self, request: RequestContext, v: Any = None) -> None: ...

    with pytest.raises(BadMessage) as caught:
        Dispatcher([Endpoint()], "3.0").dispatch({"version": "3.0", **message}, {})

    assert len(str(caught.value)) < 2000


def test_lines_that_were_left_out_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = LogLimit(logging.getLogger("tests.limit"), lambda: now[0])
    for _ in range(log_limit.MOST + 70):
        log.error("bad %s", "message")
    now[0] += log_limit.PERIOD
    log.error("bad %s", "again")

    assert log.left_out == 70
    assert [record.getMessage() for record in caplog.records][-2:] == [
        "70 lines about bad messages were left out",
        "bad again",
    ]
