# SPDX-License-Identifier: Apache-2.0
"""A process that refuses its configuration ends its service, whose parent has its status."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

import pytest
from cotyledon.types import ServiceId, WorkerId

from worker.conf import ConfigError
from worker.service import process

SERVICE, WORKER = ServiceId("s"), WorkerId(0)  # type: ignore[arg-type]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The signals that were sent to this process."""
    sent: list[Any] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_the_parent_ends_with_the_status_of_a_child_that_refuses(signals: list[Any]) -> None:
    refusal = process._Refusal()
    with pytest.raises(SystemExit) as ended, refusal.passed_on():
        refusal.note(SERVICE, WORKER, 78)
        refusal.note(SERVICE, WORKER, 78)
        raise SystemExit(0)

    assert ended.value.code == 78
    assert signals == [(os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("status", [0, 1, 2, -9])
def test_other_ends_of_children_are_left_to_the_supervisor(signals: list[Any], status: int) -> None:
    refusal = process._Refusal()
    with pytest.raises(SystemExit) as ended, refusal.passed_on():
        refusal.note(SERVICE, WORKER, status)
        raise SystemExit(0)

    assert (ended.value.code, signals) == (0, [])


def test_a_child_that_refuses_logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing:
        def start(self) -> None:
            raise ConfigError("f.conf:3: [DEFAULT] host: bad")

    made: Any = lambda *_: Refusing()  # noqa: E731
    child = process.ServiceProcess(WORKER, None, made, lambda *_: None)  # type: ignore[arg-type]
    caplog.set_level(logging.ERROR)
    with pytest.raises(SystemExit) as ended:
        child.run()

    assert ended.value.code == 78
    assert caplog.messages == ["f.conf:3: [DEFAULT] host: bad"]
