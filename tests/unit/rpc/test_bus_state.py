# SPDX-License-Identifier: Apache-2.0
"""The state of the bus, read from the log lines of oslo.messaging's connections."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from worker import outage_log
from worker.compat import oslo_messaging as compat
from worker.rpc.bus_state import BusState

LOST = f"[%(connection_id)s] AMQP server on %(hostname)s:%(port)s {compat.LOST[0]}: %(err_str)s."
AT = {"hostname": "broker", "port": 5672, "err_str": "refused", "connection_id": "c"}


@pytest.fixture(autouse=True)
def every_outage_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage_log, "SAME", -1.0)


@pytest.fixture
def state(caplog: pytest.LogCaptureFixture) -> BusState:
    caplog.set_level(logging.INFO)
    return BusState()


def line(text: str, args: Any = (), level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(compat.LOGGERS[0], level, "", 0, text, args, None)


def lost(state: BusState) -> bool:
    return state.filter(line(LOST, (AT,)))


def in_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_listener_notices_an_outage_at_once(
    state: BusState, caplog: pytest.LogCaptureFixture
) -> None:
    state.listening()

    assert [lost(state) for _ in range(3)] == [False] * 3
    assert lines(caplog) == ["the message bus is away: broker:5672: refused"]


def test_the_end_of_an_outage_is_one_line(
    state: BusState, caplog: pytest.LogCaptureFixture
) -> None:
    state.listening()
    lost(state)
    caplog.clear()

    state.connected()
    state.connected()

    assert [text.rpartition(" after ")[0] for text in lines(caplog)] == ["the message bus is back"]


def test_the_first_failure_of_a_sender_may_be_an_old_connection(
    state: BusState, caplog: pytest.LogCaptureFixture
) -> None:
    lost(state)
    assert lines(caplog) == []

    lost(state)
    assert len(lines(caplog)) == 1


def test_a_sender_does_not_end_the_outage_of_a_listener(
    state: BusState, caplog: pytest.LogCaptureFixture
) -> None:
    state.listening()
    lost(state)

    in_thread(state.connected)

    assert not any("is back" in text for text in lines(caplog))


def test_a_thread_that_has_ended_is_forgotten(
    state: BusState, caplog: pytest.LogCaptureFixture
) -> None:
    def listen() -> None:
        state.listening()
        lost(state)

    in_thread(listen)
    state.connected()

    assert any("is back" in text for text in lines(caplog))


@pytest.mark.parametrize(
    "text", ["Failed to publish message to topic 'x'", "Unexpected error during heartbeat thread"]
)
def test_lines_that_follow_from_an_outage_are_dropped(state: BusState, text: str) -> None:
    follows = line(text)
    assert state.filter(follows)

    state.listening()
    lost(state)

    assert not state.filter(follows)
    assert state.filter(line("something else"))


def test_the_lines_of_another_bus_are_reported_to_its_user(
    state: BusState, caplog: pytest.LogCaptureFixture
) -> None:
    reasons: list[str] = []
    state.divert(reasons.append)

    assert not lost(state)
    assert not state.filter(line(compat.BLOCKED[0]))

    assert reasons == ["broker:5672: refused", compat.BLOCKED[0]]
    assert lines(caplog) == []
