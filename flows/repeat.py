# SPDX-License-Identifier: Apache-2.0
"""Repeat a call with growing pauses until it succeeds or the process stops.

tenacity repeats. Its own sleep strategy for an event would start one more attempt
after the stop, and an attempt may be a call of a driver that takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

from flows.errors import ProcessStopping

T = TypeVar("T")

Wait = Callable[[float], bool]
"""Waits for that many seconds; returns True, early, when the process stops: ``Event.wait``."""

Failed = Callable[[BaseException, float], None]
"""Called after a failed attempt with its error, and the seconds until the next one."""


def until_stopped(
    call: Callable[[], T],
    wait: Wait,
    *,
    on: type[BaseException] | tuple[type[BaseException], ...],
    first: float,
    longest: float,
    failed: Failed,
) -> T:
    """Return the result of the first attempt that succeeds.

    :param on: errors after which the call is repeated; others are raised.
    :param first: seconds before the second attempt. Each pause is twice as long as the
        one before it, up to ``longest``.
    :param failed: called after each failed attempt with its error and the pause to come.
    :raises ProcessStopping: the process stopped during a pause; the text is the last error's.
    """
    try:
        return call()  # most calls succeed, and tenacity would add 15 µs to each step
    except on as error:
        last = error

    def before_sleep(state: tenacity.RetryCallState) -> None:
        nonlocal last
        assert state.outcome is not None
        last = state.outcome.exception() or last
        failed(last, state.upcoming_sleep)

    def sleep(seconds: float) -> None:
        if wait(seconds):
            raise ProcessStopping(str(last)) from last

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on),
        wait=tenacity.wait_exponential(multiplier=first, max=longest),
        sleep=sleep,
        before_sleep=before_sleep,
    )
    return retrying(beginning_with(last, call))


def first_only(
    log: Callable[[BaseException, float], None],
) -> Callable[[BaseException, float], None]:
    """Return a function for ``failed`` that logs the first failure: an outage has one line."""
    logged = False

    def failed(error: BaseException, pause: float) -> None:
        nonlocal logged
        if not logged:
            log(error, pause)
        logged = True

    return failed


def beginning_with(error: BaseException, call: Callable[[], T]) -> Callable[[], T]:
    """Return a function that raises an error of an earlier attempt first, and then calls."""
    met = [error]

    def attempt() -> T:
        if met:
            raise met.pop()
        return call()

    return attempt
