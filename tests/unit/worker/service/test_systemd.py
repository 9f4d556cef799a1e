# SPDX-License-Identifier: Apache-2.0
"""Notifications to systemd: ready once, and alive while every child process is."""

from __future__ import annotations

import itertools
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.service import systemd
from worker.service.systemd import Watchdog

STALL = 10.0
TAKES = "STATUS=takes operations"


class Clock:
    """A clock that a test sets; a pause ends the loop when none is left."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        self.left = 0
        self.frozen: dict[int, float] = {}
        """Seconds by which a pause is too long, by its number."""

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += self.frozen.get(len(self.pauses), 0.0)
        self.pauses.append(seconds)
        self.left -= 1
        if self.left <= 0:
            raise StopIteration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(
        systemd, "time", SimpleNamespace(monotonic=made.monotonic, sleep=made.sleep)
    )
    return made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The socket of systemd."""
    with (
        tempfile.TemporaryDirectory(prefix="hfs-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made,
    ):
        made.bind(str(Path(folder) / "notify"))
        made.setblocking(False)
        yield made


def received(listener: socket.socket) -> list[str]:
    found = []
    for _ in itertools.count():
        try:
            found.append(listener.recv(1000).decode())
        except BlockingIOError:
            return found
    raise AssertionError("not reached")


def rounds(watchdog: Watchdog, clock: Clock, count: int) -> None:
    """Run some rounds of the loop."""
    clock.left = count
    with pytest.raises(StopIteration):
        watchdog._loop()


@pytest.fixture
def watchdog(listener: socket.socket) -> Watchdog:
    return Watchdog(listener.getsockname(), 3.0, 2, STALL)


def test_it_is_ready_when_every_child_has_shown_life(watchdog, clock, listener):
    watchdog.record_heartbeat(0)
    rounds(watchdog, clock, 3)
    assert received(listener) == []
    watchdog.record_heartbeat(1)
    rounds(watchdog, clock, 2)

    assert received(listener) == ["READY=1", TAKES, "WATCHDOG=1", "WATCHDOG=1"]
    assert clock.pauses == [0.1, 0.1, 0.1, 3.0, 3.0]


def test_it_is_ready_while_it_waits_for_a_system_and_says_so(watchdog, clock, listener):
    watchdog.record_heartbeat(0, "waits for the database")
    watchdog.record_heartbeat(1)
    rounds(watchdog, clock, 2)

    assert received(listener) == [
        "READY=1",
        "STATUS=waits for the database",
        "WATCHDOG=1",
        "WATCHDOG=1",
    ]


def test_a_long_status_is_cut(watchdog, clock, listener):
    for child in (0, 1):
        watchdog.record_heartbeat(child, "ä" * 500)
    rounds(watchdog, clock, 1)

    assert received(listener)[1].startswith("STATUS=ääää")


def test_a_child_that_hangs_ends_the_notifications(watchdog, clock, listener, caplog):
    watchdog.record_heartbeat(0)
    clock.now += STALL
    watchdog.record_heartbeat(1)
    rounds(watchdog, clock, 5)

    assert received(listener) == ["READY=1", TAKES]
    assert len(caplog.messages) == 1


def test_one_that_goes_on_is_alive_again(watchdog, clock, listener):
    for child in (0, 1):
        watchdog.record_heartbeat(child)
    clock.now += STALL
    rounds(watchdog, clock, 1)
    assert received(listener) == ["READY=1", TAKES]
    for child in (0, 1):
        watchdog.record_heartbeat(child)
    rounds(watchdog, clock, 1)

    assert "WATCHDOG=1" in received(listener)


def test_children_have_time_for_a_heartbeat_after_a_freeze(watchdog, clock, listener, caplog):
    """A machine was paused, or the whole service: systemd counts time meanwhile, too."""
    for child in (0, 1):
        watchdog.record_heartbeat(child)
    clock.frozen = {1: 5 * STALL}
    rounds(watchdog, clock, 3)
    assert received(listener) == ["READY=1", TAKES, *["WATCHDOG=1"] * 3]
    assert caplog.messages == []


def test_a_socket_that_is_gone_is_no_error(clock):
    watchdog = Watchdog("/no/such/socket", 1.0, 1, STALL)
    watchdog.record_heartbeat(0)

    rounds(watchdog, clock, 2)


def test_an_abstract_address(clock):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"holdfast-test-{uuid.uuid4()}"  # all runs of the machine share these names
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        watchdog = Watchdog(f"@{name}", 1.0, 1, STALL)
        watchdog.record_heartbeat(0)
        rounds(watchdog, clock, 1)

        assert received(listener)[0] == "READY=1"


class TestEnvironment:
    @pytest.mark.parametrize(
        ("microseconds", "interval"),
        [("3000000", 1.0), ("", 1.0), (None, 1.0), ("300000", 0.2), ("90000000", 10.0)],
    )
    def test_it_notifies_three_times_in_the_limit(self, monkeypatch, microseconds, interval):
        monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
        if microseconds is not None:
            monkeypatch.setenv("WATCHDOG_USEC", microseconds)

        assert Watchdog.from_environment(1, STALL)._interval == interval

    def test_children_and_libraries_do_not_see_the_socket(self, monkeypatch):
        monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
        watchdog = Watchdog.from_environment(1, STALL)

        assert watchdog._address == "/run/notify"
        assert Watchdog.from_environment(1, STALL)._address == ""

    def test_without_systemd_no_thread_is_started(self, monkeypatch):
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        Watchdog.from_environment(1, STALL).start()

        assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]
