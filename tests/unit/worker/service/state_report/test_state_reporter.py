# SPDX-License-Identifier: Apache-2.0
"""Reports of the state: to a file or the log, whatever hangs, is full, or is large."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.servers import until
from worker.service.state_report import sections, state_reporter
from worker.service.state_report.state_reporter import StateReporter


def made(directory: Path | None = None) -> StateReporter:
    conf: Any = cfg.ConfigOpts()
    secret = [cfg.StrOpt("password", secret=True), cfg.StrOpt("url")]
    conf.register_opts(secret)
    conf.register_opts([cfg.StrOpt("report_directory", default="")], group="monitoring")
    conf([])
    conf.set_override("password", "hunter2")
    conf.set_override("url", "rabbit://me:sesame@host/")
    conf.set_override("report_directory", str(directory or ""), group="monitoring")
    return StateReporter(conf, lambda: "cinder-volume h1@b1/0")


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=state_reporter.__name__)


def test_the_log_has_threads_and_options_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    made().write()

    assert "state of cinder-volume h1@b1/0" in caplog.text
    assert "test_state_reporter.py" in caplog.text, "the stack of this thread"
    assert "[DEFAULT] password = ***" in caplog.text
    assert "rabbit://me:***@host/" in caplog.text
    assert "hunter2" not in caplog.text and "sesame" not in caplog.text


def test_a_file_is_of_its_own_and_the_oldest_are_removed(tmp_path: Path) -> None:
    one = made(tmp_path)
    (tmp_path / "cinder-volume-h1@b1-1-2026.txt").write_text("of another process")
    for _ in range(state_reporter.KEPT + 3):
        one.write()
    files = sorted(tmp_path.iterdir())

    assert len(files) == state_reporter.KEPT + 1
    assert files[0].stat().st_mode & 0o077 == 0
    assert "== threads" in files[0].read_text()


def test_a_full_disk_is_logged_and_the_report_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(state_reporter.os, "replace", full)
    made(tmp_path).write()

    assert "the report of the state is in the log: [Errno 28] No space left" in caplog.text
    assert "== threads" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_section_that_hangs_or_fails_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    def hangs() -> Iterator[str]:
        release.wait()
        yield "late"

    found = {"a": hangs, "b": lambda: 1 / 0, "c": lambda: map(str, range(9)), "d": list}
    monkeypatch.setattr(sections, "of", lambda *_: found)
    monkeypatch.setattr(state_reporter, "PATIENCE", 0.05)
    monkeypatch.setattr(state_reporter, "MOST_LINES", 3)
    made().write()
    lines = [record.getMessage() for record in caplog.records]
    release.set()
    until(lambda: "state-section" not in {one.name for one in threading.enumerate()}, 10, "its end")

    assert lines[1:] == [
        *("== a", "no answer within 0 s: a lock of it is held"),
        *("== b", "cannot be shown: ZeroDivisionError: division by zero"),
        *("== c", "0", "1", "2", "… 6 more", "== d", "none"),
    ]


def test_a_long_line_is_cut(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sections, "of", lambda *_: {"a": lambda: ["x" * 10**6]})
    made().write()

    assert max(len(record.getMessage()) for record in caplog.records) == state_reporter.LONGEST + 1


def test_requests_in_a_row_get_one_report(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    one = made()
    monkeypatch.setattr(one, "write", lambda: written.append(1))
    for _ in range(1000):
        one.request()
    one.answer()

    assert written == [1]
    assert one._requests.empty()
