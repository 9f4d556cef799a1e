# SPDX-License-Identifier: Apache-2.0
"""Repeat a call with growing pauses until it succeeds or the process stops."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flows import repeat
from flows.errors import ProcessStopping


class Away(Exception):
    """The service does not answer."""


class Service:
    """A service that fails a number of times, and a clock that notes the pauses."""

    def __init__(self, failures: int, stops_at: float = float("inf")) -> None:
        self.failures = failures
        self.calls = 0
        self.pauses: list[float] = []
        self.seen: list[tuple[str, float]] = []
        self._stops_at = stops_at

    def call(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise Away(f"attempt {self.calls}")
        return "answer"

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return sum(self.pauses) >= self._stops_at

    def failed(self, error: BaseException, pause: float) -> None:
        self.seen.append((str(error), pause))

    def run(self, call: Callable[[], str] | None = None) -> str:
        return repeat.until_stopped(
            call or self.call,
            self.wait,
            on=Away,
            first=0.5,
            longest=3.0,
            failed=self.failed,
        )


def test_a_call_that_succeeds_is_made_once() -> None:
    service = Service(0)

    assert service.run() == "answer"
    assert (service.calls, service.pauses) == (1, [])


def test_pauses_double_up_to_the_longest() -> None:
    service = Service(5)

    assert service.run() == "answer"
    assert service.calls == 6
    assert service.pauses == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_each_failure_is_reported_before_its_pause() -> None:
    service = Service(3)
    service.run()

    assert service.seen == [("attempt 1", 0.5), ("attempt 2", 1.0), ("attempt 3", 2.0)]


def test_no_attempt_begins_after_the_stop() -> None:
    service = Service(9, stops_at=1.5)

    with pytest.raises(ProcessStopping, match="attempt 2") as caught:
        service.run()
    assert service.calls == 2
    assert str(caught.value.__cause__) == "attempt 2"


@pytest.mark.parametrize("earlier", [0, 2])
@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), ProcessStopping()])
def test_other_errors_are_raised_unchanged(earlier: int, error: BaseException) -> None:
    service = Service(earlier)

    def call() -> str:
        service.call()
        raise error

    with pytest.raises(type(error)) as caught:
        service.run(call)
    assert caught.value is error
    assert service.calls == earlier + 1


def test_an_error_of_the_report_ends_the_repetition() -> None:
    service = Service(9)

    def cancelled(error: BaseException, pause: float) -> None:
        raise KeyError("cancelled")

    service.failed = cancelled  # type: ignore[method-assign]
    with pytest.raises(KeyError, match="cancelled"):
        service.run()
    assert service.calls == 1


def test_a_log_of_the_first_failure_has_one_line() -> None:
    service = Service(failures=5)
    repeat.until_stopped(
        service.call,
        service.wait,
        on=Away,
        first=1,
        longest=9,
        failed=repeat.first_only(service.failed),
    )

    assert service.seen == [("attempt 1", 1)]
