# SPDX-License-Identifier: Apache-2.0
"""When a process whose driver does not come up leaves its interrupted operations."""

from __future__ import annotations

from collections.abc import Callable

from worker.service.startup.late_driver import PAUSE, SET_UP_TIME, look


def waits(
    *, up_after: int | None = None, others_after: int | None = None, ends_after: int = 9
) -> tuple[list[float], list[str]]:
    """Look; return the waits, and what was done. The numbers are those of waits."""
    waited: list[float] = []
    done: list[str] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) > ends_after

    def after(number: int | None) -> Callable[[], bool]:
        return lambda: number is not None and len(waited) >= number

    look(after(up_after), after(others_after), lambda: done.append("left"), wait)
    return waited, done


def test_a_set_up_that_hangs_leaves_the_operations_to_hosts_that_serve() -> None:
    assert waits(others_after=1) == ([SET_UP_TIME], ["left"])


def test_a_driver_that_is_up_in_time_keeps_them() -> None:
    assert waits(up_after=1, others_after=1) == ([SET_UP_TIME], [])


def test_they_are_left_to_hosts_that_start_later() -> None:
    assert waits(others_after=3) == ([SET_UP_TIME, PAUSE, PAUSE], ["left"])


def test_the_only_host_keeps_them_until_its_driver_is_up() -> None:
    assert waits(up_after=3) == ([SET_UP_TIME, PAUSE, PAUSE], [])


def test_a_process_that_stops_leaves_them_by_its_stop() -> None:
    assert waits(others_after=1, ends_after=0) == ([SET_UP_TIME], [])
