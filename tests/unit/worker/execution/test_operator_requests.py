# SPDX-License-Identifier: Apache-2.0
"""Requests of operators, from the journal to their answers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.models import FlowDetail

from flows.host import freeze
from tests.servers import until
from worker.execution import operator_requests
from worker.execution.operator_requests import RequestHandler, RequestPoller, RequestRefused
from worker.execution.retry import JournalRetry
from worker.journal.entries.ended_operation import MASKED
from worker.journal.errors import JournalError
from worker.journal.journal import Journal
from worker.journal.operator_requests import DRAIN
from worker.rpc.operation import Operation

SLOT = "h1@b1/0"
FLOW = "00000000-0000-4000-8000-000000000001"


class Flows:
    """The journal's flows by id and those that run, for a request handler."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}
        self.running: dict[str, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self.resumed = self

    def load(self, flow: str) -> Any:
        if flow not in self.stored:
            raise JournalError(f"no flow {flow}")
        return self.stored[flow]

    def find(self, flow: str) -> Any:
        return self.running.get(flow)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.calls.append((name, args[0]))
            return args[0]

        return call

    def add(self, state: str, **changes: Any) -> None:
        detail = FlowDetail("create_volume", FLOW)
        thaw = Operation(freeze.thaw, ("backend", "b1"), {}, method="create_volume")
        meta = thaw.to_meta()
        del meta["when_cut_short"]
        detail.state, detail.meta = state, {**meta, **changes}
        self.stored["f1"] = detail

    def run(self) -> None:
        unpack = functools.partial(self.calls.append, ("unpack", "detail of f1"))
        self.running["f1"] = SimpleNamespace(detail="detail of f1", unpack=unpack)


@pytest.fixture
def flows() -> Flows:
    return Flows()


@pytest.fixture
def handler(flows: Flows) -> RequestHandler:
    return RequestHandler(flows, JournalRetry(threading.Event()), flows)  # type: ignore[arg-type]


class TestHandler:
    @pytest.mark.parametrize("request_of", ["cancel", "revert"])
    def test_a_running_operation_is_cancelled(self, handler, flows, request_of):
        flows.run()
        answer = getattr(handler, request_of)("f1")

        assert "reverted from its next task boundary on" in answer
        # The journal has it first: a kill between the two forgets nothing.
        assert flows.calls == [
            *(("unpack", "detail of f1"), ("request_revert", "detail of f1")),
            ("cancel", flows.running["f1"]),
        ]

    @pytest.mark.parametrize("state", [states.SUCCESS, states.REVERTED, states.FAILURE])
    def test_one_that_has_ended_is_not_cancelled(self, handler, flows, state):
        flows.add(state)

        with pytest.raises(RequestRefused, match=f"f1 has ended: {state}"):
            handler.cancel("f1")
        assert flows.calls == []

    def test_reverts_that_failed_are_repeated(self, handler, flows):
        flows.add(states.FAILURE)
        handler.revert("f1")

        assert flows.calls == [("revert_again", "f1"), ("schedule", "f1")]

    @pytest.mark.parametrize(
        ("state", "text"), [(states.REVERTED, "was reverted"), (states.SUCCESS, "has ended")]
    )
    def test_without_a_failure_nothing_is_left_to_revert(self, handler, flows, state, text):
        flows.add(state)

        with pytest.raises(RequestRefused, match=f"{text}.*nothing is left"):
            handler.revert("f1")
        assert flows.calls == []

    def test_reverts_that_need_secrets_are_not_repeated(self, handler, flows):
        flows.add(states.FAILURE, **{MASKED: True})

        with pytest.raises(RequestRefused, match="without the passwords"):
            handler.revert("f1")
        assert flows.calls == []

    @pytest.mark.parametrize("state", [states.REVERTED, states.FAILURE])
    def test_a_reverted_operation_is_run_once_more(self, handler, flows, state):
        flows.add(state, when_cut_short="finish")
        handler.resume("f1")

        assert flows.calls == [("reopen", "f1"), ("schedule", "f1")]

    @pytest.mark.parametrize("factory", ["os:system", "flows.volume.newer:flow", None])
    def test_an_entry_without_an_operation_is_not_run(self, handler, flows, factory):
        flows.add(states.FAILURE, when_cut_short="finish", factory=factory)

        for request_of in (handler.resume, handler.revert):
            with pytest.raises(RequestRefused, match="no operation of this version"):
                request_of("f1")
        assert flows.calls == []

    @pytest.mark.parametrize("state", [states.SUCCESS, states.PENDING])
    def test_another_one_is_not(self, handler, flows, state):
        flows.add(state, when_cut_short="finish")

        with pytest.raises(RequestRefused, match=f"has ended: {state}"):
            handler.resume("f1")
        assert flows.calls == []

    def test_a_running_one_is_not_resumed(self, handler, flows):
        flows.run()

        with pytest.raises(RequestRefused):
            handler.resume("f1")
        assert flows.calls == []

    @pytest.mark.parametrize("meta", [{}, {"when_cut_short": "revert"}])
    def test_a_call_is_not_resumed_since_its_caller_has_gone(self, handler, flows, meta):
        flows.add(states.REVERTED, **meta)

        with pytest.raises(RequestRefused, match="create_volume"):
            handler.resume("f1")
        assert flows.calls == []

    @pytest.mark.parametrize("request_of", ["cancel", "revert", "resume"])
    def test_a_flow_that_is_not_there(self, handler, request_of):
        with pytest.raises(JournalError, match="no flow f1"):
            getattr(handler, request_of)("f1")


class Handler:
    """Answers requests as a test plans it."""

    def __init__(self) -> None:
        self.plan: dict[str, Any] = {}
        self.asked: list[str] = []

    def _ask(self, flow: str) -> str:
        self.asked.append(flow)
        answer = self.plan.get(flow, f"{flow} is done")
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    cancel = revert = resume = retry = check = _ask


class TestPoller:
    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(operator_requests, "PAUSE", 0.005)

    @pytest.fixture
    def journal(self, tmp_path: Any) -> Iterator[Journal]:
        made = Journal(f"sqlite:///{tmp_path / 'journal.sqlite'}")
        made.upgrade()
        yield made
        made.close()

    @pytest.fixture
    def draining(self) -> threading.Event:
        return threading.Event()

    @pytest.fixture
    def planned(self, journal: Journal, draining: threading.Event) -> Iterator[Handler]:
        """The handler of a poller that runs."""
        stopping, handler = threading.Event(), Handler()
        RequestPoller(journal, SLOT, handler, stopping, draining, handler).start()  # type: ignore[arg-type]
        yield handler
        stopping.set()
        for thread in threading.enumerate():
            if thread.name == "requests":
                thread.join(30)

    def answer(self, journal: Journal, action: str, flow: str = "f1", slot: str = SLOT) -> Any:
        request = journal.requests.ask(slot, flow, action)
        until(lambda: journal.requests.answer_of(request), 30, "an answer")
        return journal.requests.answer_of(request)

    @pytest.mark.parametrize("action", ["cancel", "revert", "resume", "retry", "check"])
    def test_a_request_is_answered(self, journal, planned, action):
        found = self.answer(journal, action)

        assert (found.done, found.text) == (True, "f1 is done")

    @pytest.mark.parametrize(
        "error", [RequestRefused("it has ended"), JournalError("there is no flow f1")]
    )
    def test_a_refusal_is_an_answer_too(self, journal, planned, error):
        planned.plan["f1"] = error
        found = self.answer(journal, "cancel")

        assert (found.done, found.text) == (False, str(error))

    def test_an_unknown_request_is_refused(self, journal, planned):
        found = self.answer(journal, "explode")

        assert not found.done and "does not know the request explode" in found.text

    def test_a_drain_is_answered_before_the_process_gives_its_work_up(
        self, journal, planned, draining, monkeypatch
    ):
        answer, early = journal.requests.answer, []

        def watched(*args: Any) -> None:
            early.append(draining.is_set())
            answer(*args)

        monkeypatch.setattr(journal.requests, "answer", watched)
        self.answer(journal, "cancel")
        found = self.answer(journal, DRAIN)

        assert (found.done, found.text) == (True, f"{SLOT} stops its work")
        assert draining.wait(30)
        assert early == [False, False]

    def test_a_request_is_carried_out_once_however_often_its_result_is_written(
        self, journal, planned, monkeypatch
    ):
        answer, failures = journal.requests.answer, iter([JournalError("away")] * 3)

        def failing(*args: Any) -> None:
            for failure in failures:
                raise failure
            answer(*args)

        monkeypatch.setattr(journal.requests, "answer", failing)
        found = self.answer(journal, "cancel")

        assert (found.done, found.text) == (True, "f1 is done")
        assert planned.asked == ["f1"]

    def test_withdrawn_messages_are_removed(self, journal, planned, monkeypatch):
        removed = threading.Event()
        monkeypatch.setattr(journal.insertions, "remove_withdrawn", removed.set)

        assert removed.wait(30)

    def test_another_slots_requests_are_left_to_it(self, journal, planned):
        theirs = journal.requests.ask("h1@b1/1", "f1", "cancel")
        self.answer(journal, "cancel", "f2")

        assert journal.requests.answer_of(theirs) is None

    @pytest.mark.parametrize(
        "error", [sa.exc.OperationalError("SELECT", {}, OSError("away")), RuntimeError("odd")]
    )
    def test_an_error_ends_neither_the_thread_nor_the_request(
        self, journal, planned, monkeypatch, error
    ):
        pending, failures = journal.requests.pending, iter([error, error])

        def failing(slot: str) -> Any:
            for failure in failures:
                raise failure
            return pending(slot)

        monkeypatch.setattr(journal.requests, "pending", failing)

        assert self.answer(journal, "cancel").done
