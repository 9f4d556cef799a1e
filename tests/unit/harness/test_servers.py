# SPDX-License-Identifier: Apache-2.0
"""Programs that tests start end with the test run, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Process, alive, until

# A parent with a child in its group and one that leads a group of its own.
FAMILY = ["/bin/sh", "-c", "sleep 600 & setsid sleep 600 & echo ready; wait"]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def family(tmp_path):
    process = Process(FAMILY, log=tmp_path / "log")
    until(lambda: "ready" in process.tail() and len(process.family()) == 3, 60, "the children")
    yield process
    process.kill()


def test_kill_ends_children_in_other_groups(family):
    pids = family.family()

    family.kill()

    assert len(pids) == 3
    assert alive(pids) == []


def test_stop_insists_when_the_program_ignores_the_signal(tmp_path):
    process = Process(
        ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
        log=tmp_path / "log",
    )
    until(lambda: "ready" in process.tail(), 60, "the trap")

    process.stop(timeout=0.1)

    assert process.returncode == -signal.SIGKILL


def test_program_dies_with_a_killed_test_run(tmp_path):
    script = (
        "import pathlib, os, sys; from tests.servers import Process;"
        "p = Process(['sleep', '600'], log=pathlib.Path(sys.argv[1]));"
        "print(p.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        check=False,
    )

    pid = int(done.stdout)
    assert done.returncode == -signal.SIGKILL
    until(lambda: not alive([pid]), 60, "the end of the orphan")
