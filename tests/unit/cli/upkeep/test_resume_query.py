# SPDX-License-Identifier: Apache-2.0
"""holdfast flow resume --failed: the operations that match, and the answers of their processes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from taskflow.types.failure import Failure

from flows.volume import create
from tests.unit.cli.conftest import Shell
from worker.cli.upkeep import resume_query
from worker.journal.journal import Journal
from worker.journal.operator_requests import RequestResult
from worker.rpc.operation import Operation

SLOT = "cli@local/0"


@pytest.fixture
def method() -> str:
    """The name of a method that no other test has."""
    return f"create_{uuid.uuid4().hex[:8]}"


def failed(journal: Journal, method: str, error: Exception, volume: str = "", **more: Any) -> str:
    """Write an operation that has failed."""
    volume = volume or uuid.uuid4().hex
    args = {"volume_id": volume}
    operation = Operation(create.flow, ("volume", volume), args, method=method, **more)
    detail = journal.accept(uuid.uuid4().hex, SLOT, operation)
    assert detail is not None
    try:
        raise error
    except type(error):
        journal.finish(detail, journal.progress(detail), Failure())
    return str(detail.uuid)


@contextmanager
def process(journal: Journal, answer: Callable[[str], RequestResult]) -> Iterator[None]:
    """Answer requests as the process of the slot does."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.02):
            for request in journal.requests.pending(SLOT):
                journal.requests.answer(request.id, answer(request.flow))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def outcomes(rows: Any) -> dict[str, str]:
    return {row["flow"]: row["outcome"] for row in rows}


def test_failures_are_chosen_by_their_error(holdfast: Shell, journal: Journal, method: str) -> None:
    late = failed(journal, method, TimeoutError("Timeout of the array"))
    failed(journal, method, ValueError("no space"))
    words = ("--failed", "--method", method, "--error", "timeout", "-f", "json")
    planned = holdfast("flow", "resume", *words, "--dry-run")
    with process(journal, lambda _flow: RequestResult(True, "it is run once more")):
        done = holdfast("flow", "resume", *words)

    assert (planned.status, outcomes(planned.rows)) == (0, {late: "would resume"})
    assert (done.status, outcomes(done.rows)) == (0, {late: "accepted"})
    assert set(done.rows[0]) == set(resume_query.KEYS)


def test_a_refusal_shows_in_the_exit_status(holdfast: Shell, journal: Journal, method: str) -> None:
    first, second = (failed(journal, method, OSError("gone")) for _ in range(2))
    with process(journal, lambda flow: RequestResult(flow != first, "not now")):
        done = holdfast("flow", "resume", "--failed", "--method", method, "-f", "json")

    assert done.status == 1
    assert outcomes(done.rows) == {first: "refused", second: "accepted"}


def test_an_older_operation_of_a_resource_is_skipped(
    holdfast: Shell, journal: Journal, method: str
) -> None:
    older = failed(journal, method, OSError("gone"), volume="v-1")
    newer = failed(journal, method, OSError("gone"), volume="v-1")
    call = failed(journal, method, OSError("gone"), when_interrupted="revert")
    words = ("--failed", "--method", method, "--dry-run", "-f", "json")
    found = outcomes(holdfast("flow", "resume", *words).rows)

    assert found == {older: "skipped", newer: "would resume", call: "skipped"}


def test_a_process_that_is_away_answers_later(
    holdfast: Shell, journal: Journal, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume_query, "_TIMEOUT", 0.0)
    flow = failed(journal, method, OSError("gone"))
    done = holdfast("flow", "resume", "--failed", "--method", method)

    assert done.status == 1
    assert f"{flow}  {method} of volume" in done.out
    assert f"waits (no process serves {SLOT} now" in done.out


def test_no_match_is_an_error(holdfast: Shell, journal: Journal, method: str) -> None:
    failed(journal, method, OSError("gone"))
    none = holdfast("flow", "resume", "--failed", "--method", method, "--since", "0s")
    few = holdfast("flow", "resume", "--failed", "--method", method, "--limit", "0")

    assert (none.status, few.status) == (1, 1)
    assert none.errors == ["no failed operation that can be resumed matches"]


@pytest.mark.parametrize("words", [(), ("some-flow", "--failed")])
def test_an_id_and_conditions_exclude_each_other(
    holdfast: Shell, journal: Journal, words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as caught:
        holdfast("flow", "resume", *words)

    assert caught.value.code == 2


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2d", 172800)])
def test_times_have_units(text: str, seconds: int) -> None:
    assert resume_query.duration(text).total_seconds() == seconds


def test_a_time_without_a_number_is_wrong_usage(holdfast: Shell) -> None:
    with pytest.raises(SystemExit) as caught:
        holdfast("flow", "resume", "--failed", "--since", "soon")

    assert caught.value.code == 2
