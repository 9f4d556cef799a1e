# SPDX-License-Identifier: Apache-2.0
"""Each kind of message on its way into the process, with the parts around the intake replaced."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from taskflow.types.failure import Failure

from flows.engine.flow_run import Outcome
from flows.errors import DriverNotInitialized, FlowError, InvalidVolume, ProcessStopping
from tests.messages import arrived
from worker.execution import intake
from worker.execution.intake import Intake
from worker.execution.slot_journal import SlotJournal
from worker.journal.entries.ended_operation import RESUMED
from worker.journal.entries.insertions import flow_id
from worker.journal.errors import JournalError, JournalRefused, JournalUnavailable
from worker.locks import LocksUnavailable
from worker.rpc import server
from worker.rpc.dispatch import BadMessage, DirectCall
from worker.rpc.operation import Operation
from worker.rpc.received.waiting_body import WaitingBody
from worker.rpc.server import Call, Cast

OPERATION = Operation(lambda: None, ("volume", "v1"), {}, method="create_volume")  # type: ignore[arg-type,return-value]
MESSAGE = {"method": "create_volume", "_unique_id": "id-1"}
ACKNOWLEDGED = ("acknowledge",)


class Parts:
    """The dispatcher, the journal, the pool and the rejected messages around an intake.

    :ivar dispatched: the value that the dispatcher returns, or the error that it raises.
    :ivar operation: the operation that the journal is to get.
    :ivar accepted: answers of the journal, in order; None for an id that it has already.
    :ivar loaded: answers of the journal for a first delivery, in order.
    :ivar refusals: errors of the journal for rejected messages, in order.
    :ivar outcome: the end of an operation that is run for a call.
    :ivar room: whether operations are admitted, and calls begun.
    :ivar patience: how long an outage of the journal was to be waited for.
    """

    def __init__(self) -> None:
        self.dispatched: Any = OPERATION
        self.operation = OPERATION
        self.accepted: list[Any] = ["detail"]
        self.loaded: list[Any] = []
        self.refusals: list[BaseException] = []
        self.outcome: Any = Outcome("done", result="answer")
        self.events: list[tuple[Any, ...]] = []
        self.replies: list[tuple[Any, BaseException | None]] = []
        self.admits = True
        self.together: Any = ["first", "second"]
        self.intake = Intake(
            SimpleNamespace(  # type: ignore[arg-type]
                dispatch=self._dispatch, has=lambda _method: True
            ),
            SlotJournal(
                SimpleNamespace(  # type: ignore[arg-type]
                    accept=self._accept,
                    accept_together=self._accept_together,
                    insertions=SimpleNamespace(withdraw=self._withdraw),
                    load=self._load,
                    was_repeated=lambda _detail: False,
                ),
                SimpleNamespace(until_available=self._until_available),  # type: ignore[arg-type]
                "h1@b1/0",
            ),
            SimpleNamespace(  # type: ignore[arg-type]
                admits=lambda _operation, _others, _ahead: self.admits,
                capacity_freed=threading.Event(),
                start=lambda *args: self.events.append(("start", *args)),
                start_direct=self._start_direct,
                calls=SimpleNamespace(start=self._start_call, run=self._run_call),
            ),
            SimpleNamespace(  # type: ignore[arg-type]
                message=self._reject,
                unreadable=lambda body, error: self.events.append(("unreadable", body, error)),
            ),
            stopping=threading.Event(),
        )

    def _until_available(self, work: Callable[[], Any], patience: float | None = None) -> Any:
        self.patience = patience
        while True:
            with contextlib.suppress(JournalUnavailable):
                return work()

    def _reject(self, _message: Any, _context: Any, error: Exception, must: bool = False) -> None:
        if must and self.refusals:
            raise self.refusals.pop(0)
        self.events.append(("rejected", str(error)))

    def _dispatch(self, message: Any, context: Any) -> Any:
        if isinstance(self.dispatched, BaseException):
            raise self.dispatched
        if isinstance(self.dispatched, Operation):
            return replace(self.dispatched, message_id=message["_unique_id"])
        return self.dispatched

    def _accept(self, unique_id: str, slot: str, operation: Operation) -> Any:
        assert slot == "h1@b1/0" and operation == self.operation
        self.events.append(("accept", unique_id))
        answer = self.accepted.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _load(self, flow: str) -> Any:
        assert flow == flow_id("id-1")
        answer = self.loaded.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _withdraw(self, unique_id: str) -> None:
        self.events.append(("withdraw", unique_id))

    def _accept_together(self, messages: Any, slot: str) -> Any:
        self.events.append(("accept_together", *(unique_id for unique_id, _ in messages)))
        answer = self.together
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _start_direct(self, work: Callable[[], None]) -> None:
        self.events.append(("start_direct",))
        work()

    def _start_call(self, begin: Callable[[], None], size: int, _method: str) -> bool:
        if self.admits:
            begin()
        return self.admits

    def _run_call(
        self, operation: Operation, accept: Any, ended: Any, size: int, patience: float | None
    ) -> None:
        self.patience_of_locks = patience
        try:
            if accept() is not None:
                ended(self.outcome, None)
        except (Exception, ProcessStopping) as error:  # noqa: BLE001 - as the pool does
            ended(None, error)

    def cast(self) -> None:
        acknowledge = functools.partial(self.events.append, ("acknowledge",))
        self.intake.cast(arrived(MESSAGE, acknowledge=acknowledge))
        self.intake._casts.process()

    def casts(self, *names: str) -> None:
        for name in names:
            acknowledge = functools.partial(self.events.append, ("acknowledge", name))
            self.intake.cast(arrived({**MESSAGE, "_unique_id": name}, acknowledge=acknowledge))
        self.intake._casts.process()

    def call(self, patience: float | None = None, age: float = 0.0, **fields: Any) -> Any:
        """Make a call and return its answer, or raise its error; None without a reply."""
        arrived = time.monotonic() - age
        reply = lambda *given: self.replies.append(given)  # noqa: E731
        self.intake.call(Call(MESSAGE, {}, reply, patience, arrived, **fields))
        if not self.replies:
            return None
        ((answer, error),) = self.replies
        if error is not None:
            raise error
        return answer


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_what_cannot_be_read_is_kept_and_acknowledged(parts):
    error = ValueError("no JSON")
    acknowledge = functools.partial(parts.events.append, ("acknowledge",))

    def decode() -> Any:
        raise error

    body = WaitingBody(SimpleNamespace(body=b"{"))
    parts.intake.cast(Cast(body, decode, acknowledge))
    parts.intake._casts.process()

    assert parts.events == [("unreadable", b"{", error), ("acknowledge",)]


class TestCast:
    def test_it_is_in_the_journal_before_it_starts_and_is_acknowledged(self, parts):
        parts.cast()

        assert parts.events == [("accept", "id-1"), ("start", OPERATION, "detail"), ACKNOWLEDGED]

    def test_those_that_came_together_are_journalled_together(self, parts):
        parts.casts("a", "b")

        starts = [("start", OPERATION, "first"), ("start", OPERATION, "second")]
        ends = [("acknowledge", "a"), ("acknowledge", "b")]
        assert parts.events == [("accept_together", "a", "b"), *starts, *ends]

    @pytest.mark.parametrize("error", [JournalRefused("twice"), JournalUnavailable("away")])
    def test_each_is_accepted_alone_where_that_fails(self, parts, error):
        parts.together = error
        parts.accepted = ["detail", None]  # the second one has come before
        parts.casts("a", "b")

        assert parts.events == [
            *(("accept_together", "a", "b"), ("accept", "a"), ("start", OPERATION, "detail")),
            *(("accept", "b"), ("acknowledge", "a"), ("acknowledge", "b")),
        ]

    def test_one_that_the_journal_has_is_not_started_again(self, parts):
        parts.accepted = [None]
        parts.cast()

        assert parts.events == [("accept", "id-1"), ACKNOWLEDGED]

    @pytest.mark.parametrize("error", [BadMessage("no"), KeyError("no"), RecursionError("no")])
    def test_one_that_no_endpoint_accepts_is_rejected(self, parts, error):
        parts.dispatched = error
        parts.cast()

        [(kind, text), last] = parts.events
        assert kind == "rejected" and "no" in text and last == ACKNOWLEDGED

    @pytest.mark.parametrize("refusals", [0, 2])
    def test_one_that_the_journal_refuses_is_rejected_as_soon_as_that_can_be_stored(
        self, parts, refusals
    ):
        parts.accepted = [JournalRefused("too large")]
        parts.refusals = [JournalRefused("no such table")] * refusals
        parts.cast()

        assert parts.events == [("accept", "id-1"), ("rejected", "too large"), ACKNOWLEDGED]
        assert parts.refusals == []

    def test_one_that_the_journal_does_not_take_stays_with_the_broker(self, parts):
        parts.accepted = [ProcessStopping("the process is stopping")]

        with pytest.raises(ProcessStopping):
            parts.cast()
        assert parts.events == [("accept", "id-1")]

    def test_one_without_room_stays_with_the_broker(self, parts):
        parts.admits = False
        parts.cast()

        assert parts.events == [] and not parts.intake.is_empty

    def test_a_method_without_a_flow_is_called_on_a_thread(self, parts):
        called: list[int] = []
        parts.dispatched = DirectCall("get_capabilities", lambda: called.append(1))
        parts.cast()

        assert (parts.events, called) == ([("start_direct",), ACKNOWLEDGED], [1])

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

        parts.dispatched = DirectCall("set_log_levels", fail)
        parts.cast()

        assert caplog.messages == [f"set_log_levels {text}"]


class TestCall:
    def test_the_answer_is_the_operations_result(self, parts):
        assert parts.call() == "answer"
        assert parts.events == [("accept", "id-1")]

    @pytest.mark.parametrize(
        "first",
        [
            SimpleNamespace(state="REVERTED", meta={RESUMED: True}),
            SimpleNamespace(state="SUCCESS", meta={RESUMED: True}),
            JournalError("journal: there is no flow"),
        ],
        ids=["reverted after a kill", "finished after a kill", "withdrawn"],
    )
    def test_a_second_delivery_runs_where_nothing_has_replied(self, parts, first):
        parts.accepted, parts.loaded = [None, "detail"], [first]

        assert parts.call() == "answer"
        (_, first), (_, second) = parts.events
        assert first == "id-1" != second

    @pytest.mark.parametrize(
        "first",
        [
            SimpleNamespace(state="SUCCESS", meta={}),
            SimpleNamespace(state="REVERTED", meta={"resumes": 0}),
        ],
        ids=["a success", "a failure"],
    )
    def test_nor_does_it_run_where_the_first_has_replied(self, parts, first, monkeypatch):
        monkeypatch.setattr(intake, "FIRST_POLL", 0.0)
        running = SimpleNamespace(state="RUNNING", meta={"resumes": 0})
        parts.accepted, parts.loaded = [None], [running, running, first]

        assert parts.call() is None
        assert (parts.events, parts.replies, parts.loaded) == ([("accept", "id-1")], [], [])

    @pytest.mark.parametrize("repeated", [True, False])
    def test_one_that_comes_late_after_its_repetition_does_not_run(self, parts, repeated):
        detail = SimpleNamespace(name="create_volume")
        parts.accepted = [detail]
        parts.intake._journal.was_repeated = lambda found: repeated and found is detail

        assert parts.call(redelivered=True) == (None if repeated else "answer")
        assert parts.events == [("accept", "id-1"), ("withdraw", "id-1")][: 1 + repeated]

    def test_a_wait_for_the_first_ends_with_the_callers_patience(self, parts, monkeypatch):
        monkeypatch.setattr(intake, "FIRST_POLL", 0.0)
        parts.accepted = [None]
        parts.loaded = [SimpleNamespace(state="RUNNING", meta={})] * 10**6

        assert parts.call(patience=0.05) is None
        assert parts.replies == []

    @pytest.mark.parametrize("left", [None, ProcessStopping("away"), JournalUnavailable("away")])
    def test_a_stop_and_an_outage_leave_the_reply_to_the_first(self, parts, left):
        """An error would overtake its reply, and another host would not know of it."""

        def until_available(work: Any, _patience: float | None = None) -> Any:
            if left is not None and parts.events:
                raise left
            return work()

        parts.accepted, parts.loaded = [None], [SimpleNamespace(state="RUNNING", meta={})]
        parts.intake._journal.accept = lambda unique_id, *_: parts.events.append(unique_id)
        parts.intake._until_available = until_available
        parts.intake._stopping.set()

        assert parts.call(send_elsewhere=lambda _left: pytest.fail("it was sent")) is None
        assert parts.events == ["id-1"]

    @pytest.mark.parametrize("repeated", [True, False])
    def test_none_waits_for_an_operation_that_needs_its_locks_to_end(self, parts, repeated):
        """That was interrupted: its process would have the locks otherwise."""
        parts.dispatched = parts.operation = replace(OPERATION, exclusive=("v1",))
        parts.accepted = [None, SimpleNamespace(name="terminate_connection")]
        parts.loaded = [SimpleNamespace(state="RUNNING", meta={})]
        parts.intake._journal.was_repeated = lambda _detail: repeated

        assert parts.call() == (None if repeated else "answer")
        (_, first), (_, second), *withdrawn = parts.events
        assert first == "id-1" != second
        assert withdrawn == ([("withdraw", second)] if repeated else [])

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

    @pytest.mark.parametrize(
        ("others", "patience"), [(True, intake.OUTAGE_OF_LOCKS), (False, None)]
    )
    def test_an_outage_of_the_locks_is_waited_for_where_no_other_host_is(
        self, parts, others, patience
    ):
        parts.call(others_serve=lambda: others)

        assert parts.patience_of_locks == patience

    @pytest.mark.parametrize(
        "error", [None, ProcessStopping("it was not begun"), LocksUnavailable("no answer")]
    )
    def test_one_that_a_stop_keeps_back_is_left_to_another_host(self, parts, error):
        parts.outcome = Outcome("suspended")
        if error is not None:
            parts.accepted = [error]
        seconds: list[float | None] = []

        def send_elsewhere(left: float | None) -> bool:
            seconds.append(left)
            return True

        assert parts.call(patience=60, send_elsewhere=send_elsewhere) is None
        assert seconds == [pytest.approx(60, abs=1)]

    def test_one_that_fails_is_not(self, parts):
        parts.outcome = Outcome("failed", Failure.from_exception(InvalidVolume("too small")))

        with pytest.raises(InvalidVolume, match="too small"):
            parts.call(send_elsewhere=lambda _left: pytest.fail("it was sent"))

    def test_a_journal_that_is_away_is_the_callers_error(self, parts):
        parts.accepted = [JournalError("journal: away")]

        with pytest.raises(JournalError, match="away"):
            parts.call()

    @pytest.mark.parametrize(("patience", "waits"), [(None, 60), (15, 15)])
    def test_an_outage_of_the_journal_is_waited_for_as_long_as_the_caller_waits(
        self, parts, patience, waits
    ):
        parts.accepted = [JournalUnavailable("away")] * 5 + ["detail"]

        assert parts.call(patience) == "answer"
        assert parts.patience == pytest.approx(waits - intake.REPLY_TIME, abs=1)

    @pytest.mark.parametrize("error", [ProcessStopping("away"), JournalUnavailable("away")])
    def test_one_that_was_not_journalled_does_not_run_later(self, parts, error):
        def until_available(_work: Any, _patience: float) -> Any:
            raise error

        parts.intake._until_available = until_available
        with pytest.raises(type(error)):
            parts.call()
        assert parts.events == [("withdraw", "id-1")]

    def test_one_that_is_journalled_too_late_does_not_run(self, parts, monkeypatch):
        def accept(*_args: Any) -> str:
            monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: late))
            return "detail"

        late = time.monotonic() + 601
        parts.intake._journal.accept = accept

        assert parts.call(patience=600) is None
        assert (parts.events, parts.replies) == ([("withdraw", "id-1")], [])

    def test_a_method_without_a_flow_is_not_in_the_journal(self, parts):
        parts.dispatched = DirectCall("get_capabilities", lambda: {"a": 1})

        assert parts.call() == {"a": 1}
        assert parts.events == []

    def test_a_bad_message_is_the_callers_error(self, parts, caplog):
        parts.dispatched = BadMessage("volume is missing")

        with pytest.raises(BadMessage, match="volume is missing"):
            parts.call()
        assert parts.events == []
        assert "call refused: volume is missing" in caplog.messages

    def test_one_too_many_is_refused(self, parts):
        parts.admits = False

        with pytest.raises(FlowError, match="create_volume is refused: too many calls wait"):
            parts.call()

    def test_one_whose_caller_has_given_up_is_not_carried_out(self, parts, caplog):
        caplog.set_level("DEBUG")
        assert parts.call(patience=5, age=6) is None

        assert (parts.events, parts.replies) == ([], [])
        assert caplog.messages[1:] == ["create_volume is not carried out: its caller has given up"]

    def test_nor_one_whose_caller_gives_up_before_its_turn(self, parts, monkeypatch):
        def later(_operation: Operation, accept: Any, *_more: Any) -> None:
            parts.intake_accept = accept

        parts.intake._operations.calls.run = later
        parts.call(patience=600)
        later_on = time.monotonic() + 600
        monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: later_on))

        assert parts.intake_accept() is None
        assert (parts.events, parts.replies) == ([], [])
