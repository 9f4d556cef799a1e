# SPDX-License-Identifier: Apache-2.0
"""Heartbeats and capability reports on their threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.servers import until
from worker.backends import reporter
from worker.backends.reporter import Reporter
from worker.execution.concurrency import Limiter, blocking
from worker.rpc.clients.sender import BusUnavailable

FOREVER = 3600.0


class Backend:
    name, host = "b1", "h1@b1"

    def __init__(self) -> None:
        self.initialized = True
        self.report_wanted = threading.Event()


class Calls:
    """Counts calls by name, and raises the error that is set for one."""

    def __init__(self) -> None:
        self.counts = {"heartbeat": 0, "send": 0, "report_alive": 0, "prune": 0}
        self.errors: dict[str, Exception] = {}

    def of(self, name: str) -> Callable[[], None]:
        def call() -> None:
            self.counts[name] += 1
            if name in self.errors:
                raise self.errors[name]

        return call

    def wait(self, name: str, count: int) -> None:
        """Wait for a number of calls from now on."""
        wanted = self.counts[name] + count
        until(lambda: self.counts[name] >= wanted, 30, f"{count} calls of {name}")


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "REPORT_PAUSE", 0.005)


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def start(backend: Backend, calls: Calls) -> Iterator[Callable[..., Reporter]]:
    """A function that starts a reporter, which is stopped at the end."""
    made: list[Reporter] = []

    def begin(**intervals: Any) -> Reporter:
        given = {"report_interval": FOREVER, "stats_interval": FOREVER, **intervals}
        functions = {name: calls.of(name) for name in ("report_alive", "prune")}
        made.append(
            Reporter(backend, calls.of("heartbeat"), calls.of("send"), **functions, **given)
        )
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.stop()


def test_one_heartbeat_and_one_report_are_sent_at_once(start, calls):
    start()
    calls.wait("report_alive", 20)
    until(lambda: calls.counts["send"], 30, "the report")

    assert (calls.counts["heartbeat"], calls.counts["send"]) == (1, 1)


def test_both_are_repeated_at_their_intervals(start, calls):
    start(report_interval=0.0, stats_interval=0.0)

    calls.wait("heartbeat", 5)
    calls.wait("send", 5)


def test_a_request_brings_a_report_before_its_time(start, backend, calls):
    start()
    calls.wait("report_alive", 5)
    backend.report_wanted.set()
    until(lambda: calls.counts["send"] == 2, 30, "the report")
    calls.wait("report_alive", 5)

    assert calls.counts["send"] == 2
    assert not backend.report_wanted.is_set()


def test_a_report_that_hangs_delays_no_heartbeat(backend, calls):
    accepted = threading.Event()
    made = Reporter(
        backend,
        calls.of("heartbeat"),
        accepted.wait,
        report_interval=0.0,
        stats_interval=0.0,
        report_alive=calls.of("report_alive"),
    )
    made.start()
    calls.wait("heartbeat", 5)
    calls.wait("report_alive", 5)
    accepted.set()
    made.stop()


@pytest.mark.parametrize("hanging", ["heartbeat", "send", "prune", "check"])
def test_nothing_that_hangs_stops_the_others(backend, calls, hanging, monkeypatch):
    monkeypatch.setattr(reporter, "PRUNE_PAUSE", 0.005)
    freed = threading.Event()
    names = ["heartbeat", "send", "prune", "report_alive"]
    given = {name: calls.of(name) for name in names}
    given |= {hanging: freed.wait}
    made = Reporter(
        backend,
        given.pop("heartbeat"),
        given.pop("send"),
        report_interval=0.0,
        stats_interval=0.0,
        **given,
    )
    made.start()
    for name in names:
        if name != hanging and (hanging, name) != ("check", "send"):  # of one thread
            calls.wait(name, 5)
    freed.set()
    made.stop()


def test_a_stop_leaves_what_hangs(backend, calls, monkeypatch):
    monkeypatch.setattr(reporter, "STOP_LIMIT", 0.05)
    freed = threading.Event()
    made = Reporter(
        *(backend, freed.wait, freed.wait), report_interval=FOREVER, stats_interval=FOREVER
    )
    made.start()

    made.stop()

    freed.set()
    monkeypatch.setattr(reporter, "STOP_LIMIT", 30.0)
    made.stop()


def test_late_statistics_are_looked_for_while_a_report_hangs(backend, calls):
    freed = threading.Event()
    late = threading.Event()
    made = Reporter(
        *(backend, calls.of("heartbeat"), freed.wait),
        report_interval=0.0,
        stats_interval=0.0,
        check_late=late.set,
    )
    made.start()
    assert late.wait(30)
    freed.set()
    made.stop()


def test_without_a_driver_neither_is_sent(start, backend, calls):
    backend.initialized = False
    start(report_interval=0.0, stats_interval=0.0)
    calls.wait("report_alive", 10)
    assert (calls.counts["heartbeat"], calls.counts["send"]) == (0, 0)
    backend.initialized = True

    calls.wait("heartbeat", 1)
    calls.wait("send", 1)


def test_missed_heartbeats_are_logged_in_two_lines(start, calls, caplog):
    caplog.set_level(logging.INFO)
    calls.errors["heartbeat"] = OSError("the database is away")
    start(report_interval=0.0)
    calls.wait("heartbeat", 5)
    del calls.errors["heartbeat"]
    calls.wait("heartbeat", 5)

    assert caplog.messages == [
        "no heartbeat of h1@b1: the database is away",
        "heartbeats of h1@b1 resume after 0 s",
    ]


def test_a_report_that_fails_is_logged_and_the_next_one_sent(start, calls, caplog):
    calls.errors["send"] = RuntimeError("the bus is away")
    start(stats_interval=0.0)
    calls.wait("send", 2)
    del calls.errors["send"]
    calls.wait("send", 2)

    assert set(caplog.messages) == {"no capability report of b1: the bus is away"}


def test_old_entries_are_pruned_and_a_failure_is_logged(start, calls, caplog, monkeypatch):
    monkeypatch.setattr(reporter, "PRUNE_PAUSE", 0.0)
    calls.errors["prune"] = OSError("locked")
    start()
    calls.wait("prune", 2)
    del calls.errors["prune"]

    calls.wait("prune", 2)
    assert set(caplog.messages) == {"old journal entries were not removed: locked"}


def test_a_stop_ends_the_threads(start, calls):
    start().stop()
    before = dict(calls.counts)

    assert not {"reports", "heartbeats", "signs-of-life", "pruning"} & {
        thread.name for thread in threading.enumerate()
    }
    assert calls.counts == before


def test_reports_that_cannot_be_sent_have_one_line(
    backend: Backend, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = Reporter(
        backend, calls.of("heartbeat"), calls.of("send"), report_interval=1, stats_interval=1
    )
    calls.errors["send"] = RuntimeError("no statistics")
    for _ in range(3):
        made.publish()
    calls.errors.clear()
    made.publish()

    assert [line.partition(" after ")[0] for line in caplog.messages] == [
        "no capability report of b1: no statistics",
        "capability reports of b1 are sent again",
    ]


@pytest.mark.parametrize(("away", "lines"), [(True, 0), (False, 1)])
def test_a_bus_that_is_away_has_its_own_line(
    backend: Backend,
    calls: Calls,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    away: bool,
    lines: int,
) -> None:
    monkeypatch.setattr(reporter, "BUS_STATE", SimpleNamespace(is_away=away))
    made = Reporter(
        backend, calls.of("heartbeat"), calls.of("send"), report_interval=1, stats_interval=1
    )
    calls.errors["send"] = BusUnavailable("the bus does not answer")
    made.publish()

    assert len(caplog.messages) == lines


@pytest.mark.parametrize("error", [SystemExit("no array"), KeyboardInterrupt()])
def test_a_driver_that_ends_its_thread_does_not_end_the_reports(
    backend: Backend, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """The thread of the reports ended silently, and schedulers gave the backend up."""
    asked: list[bool] = []

    class Driver:
        def get_volume_stats(self) -> None:
            asked.append(True)
            raise error

    driver = blocking(Driver(), Limiter())
    intervals = {"report_interval": FOREVER, "stats_interval": 0.0}
    made = Reporter(backend, lambda: None, lambda: driver.get_volume_stats(), **intervals)
    made.start()
    until(lambda: len(asked) > 2, 30, "three reports")
    made.stop()

    assert f"Driver.get_volume_stats raised {type(error).__name__}" in caplog.text
