# SPDX-License-Identifier: Apache-2.0
"""Each kind of message on its way into the process, with the parts around the intake replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from taskflow.types.failure import Failure

from flows.engine import Outcome
from flows.errors import DriverNotInitialized, FlowError, InvalidVolume, ProcessStopping
from worker.execution.intake import Intake
from worker.rpc.dispatch import BadMessage, DirectCall
from worker.rpc.operation import Operation

OPERATION = Operation(lambda: None, ("volume", "v1"), {}, method="create_volume")  # type: ignore[arg-type,return-value]
MESSAGE = {"method": "create_volume", "_unique_id": "id-1"}


class Parts:
    """The dispatcher, the journal, the pool and the rejected messages around an intake.

    :ivar asked: what the dispatcher returns, or raises.
    :ivar accepted: answers of the journal, in order; None for an id that it has already.
    :ivar outcome: the end of an operation that is run for a call.
    """

    def __init__(self) -> None:
        self.asked: Any = OPERATION
        self.accepted: list[Any] = ["detail"]
        self.outcome: Any = Outcome("done", result="answer")
        self.events: list[tuple[Any, ...]] = []
        self.slots = 0
        self.intake = Intake(
            SimpleNamespace(dispatch=self._dispatch),  # type: ignore[arg-type]
            SimpleNamespace(accept=self._accept),  # type: ignore[arg-type]
            SimpleNamespace(until_available=lambda work: work()),  # type: ignore[arg-type]
            SimpleNamespace(  # type: ignore[arg-type]
                wait_for_capacity=lambda timeout: timeout > 0,
                start=lambda *args: self.events.append(("start", *args)),
                start_call=self._start_call,
                run=self._run,
                capacity_taken=self._slot_taken,
            ),
            SimpleNamespace(  # type: ignore[arg-type]
                message=lambda _m, _c, error: self.events.append(("rejected", str(error))),
                unreadable=lambda body, error: self.events.append(("unreadable", body, error)),
            ),
            slot="h1@b1/0",
        )

    def _dispatch(self, message: Any, context: Any) -> Any:
        if isinstance(self.asked, BaseException):
            raise self.asked
        return self.asked

    def _accept(self, unique_id: str, slot: str, operation: Operation) -> Any:
        assert slot == "h1@b1/0" and operation is OPERATION
        self.events.append(("accept", unique_id))
        answer = self.accepted.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _start_call(self, call: Callable[[], None]) -> None:
        self.events.append(("start_call",))
        call()

    def _run(self, operation: Operation, detail: Any) -> Any:
        assert self.slots == 1, "a call occupies a slot"
        return self.outcome

    @contextlib.contextmanager
    def _slot_taken(self) -> Iterator[None]:
        self.slots += 1
        try:
            yield
        finally:
            self.slots -= 1

    def cast(self) -> None:
        self.intake.cast(MESSAGE, {})

    def call(self) -> Any:
        return self.intake.call(MESSAGE, {})


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.mark.parametrize("timeout", [0.0, 1.0])
def test_slots_are_those_of_the_pool(parts, timeout):
    assert parts.intake.wait_for_capacity(timeout) is bool(timeout)


def test_what_cannot_be_read_is_kept(parts):
    error = ValueError("no JSON")
    parts.intake.malformed(b"{", error)

    assert parts.events == [("unreadable", b"{", error)]


class TestCast:
    def test_it_is_in_the_journal_before_it_starts(self, parts):
        parts.cast()

        assert parts.events == [("accept", "id-1"), ("start", OPERATION, "detail")]

    def test_one_that_the_journal_has_is_not_started_again(self, parts):
        parts.accepted = [None]
        parts.cast()

        assert parts.events == [("accept", "id-1")]

    @pytest.mark.parametrize("error", [BadMessage("no"), KeyError("no"), RecursionError("no")])
    def test_one_that_no_endpoint_accepts_is_rejected(self, parts, error):
        parts.asked = error
        parts.cast()

        [(kind, text)] = parts.events
        assert kind == "rejected" and "no" in text

    def test_one_that_the_journal_does_not_take_stays_with_the_broker(self, parts):
        parts.accepted = [ProcessStopping("the process is stopping")]

        with pytest.raises(ProcessStopping):
            parts.cast()
        assert parts.events == [("accept", "id-1")]

    def test_a_method_without_a_flow_is_called_on_a_thread(self, parts):
        called: list[int] = []
        parts.asked = DirectCall("get_capabilities", lambda: called.append(1))
        parts.cast()

        assert (parts.events, called) == ([("start_call",)], [1])

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (BadMessage("no such log"), "refused: no such log"),
            (FlowError("gone"), "failed: gone"),
            (DriverNotInitialized("not up"), "failed: not up"),
            (RuntimeError("odd"), "ended in an unexpected error"),
        ],
    )
    def test_an_error_of_such_a_method_is_logged(self, parts, caplog, error, text):
        def fail() -> None:
            raise error

        parts.asked = DirectCall("set_log_levels", fail)
        parts.cast()

        assert caplog.messages == [f"set_log_levels {text}"]


class TestCall:
    def test_the_answer_is_the_operations_result(self, parts):
        assert parts.call() == "answer"
        assert (parts.events, parts.slots) == ([("accept", "id-1")], 0)

    def test_a_second_delivery_runs_under_an_id_of_its_own(self, parts):
        parts.accepted = [None, "detail"]

        assert parts.call() == "answer"
        (_, first), (_, second) = parts.events
        assert first == "id-1" != second

    def test_a_failure_is_raised_as_the_operation_raised_it(self, parts):
        parts.outcome = Outcome("failed", Failure.from_exception(InvalidVolume("too small")))

        with pytest.raises(InvalidVolume, match="too small"):
            parts.call()

    def test_a_failure_without_its_exception_keeps_its_text(self, parts):
        failure = Failure.from_exception(InvalidVolume("too small"))
        parts.outcome = Outcome("failed", Failure.from_dict(failure.to_dict(include_args=False)))

        with pytest.raises(FlowError, match="too small"):
            parts.call()

    def test_one_that_is_interrupted_says_so(self, parts):
        parts.outcome = Outcome("suspended")

        with pytest.raises(ProcessStopping, match="create_volume was interrupted"):
            parts.call()

    def test_a_method_without_a_flow_is_not_in_the_journal(self, parts):
        parts.asked = DirectCall("get_capabilities", lambda: {"a": 1})

        assert parts.call() == {"a": 1}
        assert parts.events == []

    def test_a_bad_message_is_the_callers_error(self, parts):
        parts.asked = BadMessage("volume is missing")

        with pytest.raises(BadMessage, match="volume is missing"):
            parts.call()
        assert (parts.events, parts.slots) == ([], 0)
