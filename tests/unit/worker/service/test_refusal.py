# SPDX-License-Identifier: Apache-2.0
"""A process that refuses its configuration ends its service, whose parent has its status."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from cotyledon.types import ServiceId, WorkerId

from worker.conf import ConfigError
from worker.journal.errors import JournalError
from worker.service import process
from worker.service.startup.start_refused import StartRefused

SERVICE, WORKER = ServiceId("s"), WorkerId(0)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [69, 78])
def test_the_parent_ends_with_the_status_of_a_child_that_refuses(status: int) -> None:
    done: list[str] = []
    refusal = process._Refusal(lambda: done.append("shown"), lambda: done.append("stopped"))
    with pytest.raises(SystemExit) as ended, refusal.passed_on():
        refusal.note(SERVICE, WORKER, status)
        refusal.note(SERVICE, WORKER, status)
        raise SystemExit(0)

    assert ended.value.code == status
    assert done == ["shown", "stopped"]


@pytest.mark.parametrize("status", [0, 1, 2, -9])
def test_other_ends_of_children_are_left_to_the_supervisor(status: int) -> None:
    done: list[str] = []
    refusal = process._Refusal(lambda: done.append("shown"), lambda: done.append("stopped"))
    with pytest.raises(SystemExit) as ended, refusal.passed_on():
        refusal.note(SERVICE, WORKER, status)
        raise SystemExit(0)

    assert (ended.value.code, done) == (0, [])


@pytest.mark.parametrize(
    ("refusal", "status", "line"),
    [
        (ConfigError("f.conf:3: [DEFAULT] host: bad"), 78, "f.conf:3: [DEFAULT] host: bad"),
        (StartRefused("no tables; run: holdfast db sync"), 69, "no tables; run: holdfast db sync"),
        (JournalError("x"), 69, "the journal cannot be read: x; run: holdfast journal check"),
    ],
)
def test_a_child_that_refuses_logs_one_line(
    caplog: pytest.LogCaptureFixture, refusal: BaseException, status: int, line: str
) -> None:
    class Refusing:
        def start(self, _turn: object) -> None:
            raise refusal

    shown: list[object] = []

    made: Any = lambda *_: Refusing()  # noqa: E731
    conf: Any = None
    record = (lambda *_: None, lambda *seen: shown.append(seen))
    child = process.ServiceProcess(WORKER, conf, made, *record)
    caplog.set_level(logging.ERROR)
    with pytest.raises(SystemExit) as ended:
        child.run()

    assert ended.value.code == status
    assert shown == [(WORKER, line)]
    assert caplog.messages == [line]
