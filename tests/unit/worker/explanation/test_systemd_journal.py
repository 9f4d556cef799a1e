# SPDX-License-Identifier: Apache-2.0
"""Lines of systemd's journal, by a program that prints as journalctl 252 does."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.explanation import host_log

ID = "0c8f8057-523a-4d91-9381-3590509c8a65"

NEWEST_FIRST = f"""2026-11-30T04:00:05.000000+0000 node1 holdfast-volume[7]: volume {ID} done
2026-11-30T04:00:01.000000+0000 node1 holdfast-volume[7]: volume {ID} started
"""


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program; it notes its arguments, and prints the file ``lines``."""
    program = tmp_path / "journalctl"
    program.write_text(
        f'#!/bin/sh\nprintf "%s " "$@" > {tmp_path}/arguments\ncat {tmp_path}/lines\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_lines_are_returned_the_oldest_first(journalctl: Path) -> None:
    (journalctl / "lines").write_text(NEWEST_FIRST)
    lines, gaps = host_log.found(SimpleNamespace(log_dir=None, log_file=None), [ID, "req-1"])

    assert [one["line"].rpartition(" ")[2] for one in lines] == ["started", "done"]
    assert {one["source"] for one in lines} == {"journalctl"}
    assert gaps == []
    words = (journalctl / "arguments").read_text().split()
    assert {"--reverse", "--unit=holdfast-volume*", "--unit=holdfast-backup*"} <= set(words)
    assert words[-1] == f"--grep={re.escape(ID)}|{re.escape('req-1')}"


def test_a_journal_without_a_line_is_a_gap(journalctl: Path) -> None:
    (journalctl / "lines").write_text("-- No entries --\n")

    assert host_log.found(SimpleNamespace(log_dir=None, log_file=None), [ID]) == (
        [],
        ["systemd's journal has no line about it that can be read here"],
    )
