# SPDX-License-Identifier: Apache-2.0
"""Processes that a test run leaves are found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from tests import leftovers

PROGRAM = "sleep 600 > /dev/null 2>&1 & echo $!"
FORK = "(exec -a '[pytest-xdist running] test_x' sleep 600 > /dev/null 2>&1) & echo $!"


@pytest.fixture
def run() -> str:
    return f"{os.getpid()} {uuid.uuid4().hex}"


@pytest.fixture
def orphan(request: pytest.FixtureRequest, run: str) -> Iterator[int]:
    """The number of a process whose parent has ended."""
    environment = os.environ | ({leftovers.MARK: run} if request.param == PROGRAM else {})
    shell = ["bash", "-c", request.param]
    pid = int(subprocess.run(shell, env=environment, capture_output=True, check=True).stdout)
    yield pid
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("orphan", [PROGRAM, FORK], indirect=True, ids=["program", "fork"])
def test_what_a_run_has_left_is_found(orphan: int, run: str) -> None:
    assert orphan in [process.pid for process in leftovers._left(run)]


@pytest.mark.parametrize("orphan", [PROGRAM], indirect=True, ids=["program"])
def test_the_processes_of_another_run_are_not_ours(orphan: int) -> None:
    assert orphan not in [process.pid for process in leftovers._left("another run")]


def test_a_server_of_multiprocessing_ends_after_the_run(run: str) -> None:
    """It ends when its last user does, which is the run itself."""
    program = "from multiprocessing.resource_tracker import main; input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {leftovers.MARK: run},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        found = [process.pid for process in leftovers._left(run)]

    assert server.pid not in found
