# SPDX-License-Identifier: Apache-2.0
"""Output whose reader has gone, or that a full disk refuses, at the end of a command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from worker.cli import main


@pytest.fixture(params=[0, 3])
def status(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Have the command end with a status, and leave the rest of its output in the buffer."""

    def run(_self: main.Holdfast, _argv: list[str]) -> int:
        sys.stdout.write("the rest")
        return int(request.param)

    monkeypatch.setattr(main.Holdfast, "run", run)
    yield request.param


def closed() -> int:
    """Return a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full() -> int:
    """Return a file on a full disk."""
    return os.open("/dev/full", os.O_WRONLY)


def test_a_closed_output_ends_quietly(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with os.fdopen(closed(), "w") as output:
        monkeypatch.setattr(sys, "stdout", output)

        assert main.main([]) == (status or 128 + signal.SIGPIPE)
    assert capsys.readouterr().err == ""


def test_an_output_that_cannot_be_written_is_one_line(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with os.fdopen(full(), "w") as output:
        monkeypatch.setattr(sys, "stdout", output)

        assert main.main([]) == (status or 1)
    wanted = "holdfast: the output is not whole: No space left on device\n"
    assert capsys.readouterr().err == wanted
