# SPDX-License-Identifier: Apache-2.0
"""A test run ends with all processes that it started.

One that stays may burn a processor for as long as it likes, beside everything that follows. It is
found by a variable of the environment, and a fork of a process of pytest-xdist by its title, which
takes the place of the environment. A fork of a run in one process is not found.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence

import psutil
import pytest

MARK = "HOLDFAST_TEST_RUN"
_GRACE = 20
"""Seconds in which processes may end that are about to."""

_TITLE = "[pytest-xdist"

_SHARED = frozenset({"epmd"})
"""Programs of servers that serve other runs of this machine as well."""

_OF_PYTHON = ("from multiprocessing.resource_tracker", "from multiprocessing.forkserver")


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Mark the processes of this run, unless they belong to a run already."""
    os.environ.setdefault(MARK, f"{os.getpid()} {uuid.uuid4().hex}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Kill what is left, and fail the run for it."""
    run = os.environ[MARK]
    if run.split()[0] != str(os.getpid()):
        return
    left = _left(run)
    _gone, left = psutil.wait_procs(left, timeout=_GRACE) if left else ([], [])
    if not left:
        return
    session.exitstatus = pytest.ExitCode.TESTS_FAILED
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for line in ("", *_killed(left)):
        reporter.write_line(line, red=True)


def _left(run: str) -> list[psutil.Process]:
    """Return the living processes of a run besides this one."""
    return [one for one in psutil.process_iter(["name"]) if _belongs(one, run)]


def _belongs(process: psutil.Process, run: str) -> bool:
    try:
        if process.pid == os.getpid() or process.name() in _SHARED:
            return False
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(MARK) == run:
            return not _ends_with_us(process)
        return _is_orphaned_fork(process)
    except (psutil.Error, OSError):
        return False


def _ends_with_us(process: psutil.Process) -> bool:
    """Return whether a process is one of multiprocessing's servers, which end after their user."""
    command = " ".join(process.cmdline())
    return process.ppid() == os.getpid() and any(one in command for one in _OF_PYTHON)


def _is_orphaned_fork(process: psutil.Process) -> bool:
    """Return whether a process was forked by one of a run of this process group that is over."""
    if os.getpgid(process.pid) != os.getpgrp() or _title(process) != _TITLE:
        return False
    parent = process.parent()
    return parent is None or "pytest" not in " ".join(parent.cmdline())


def _title(process: psutil.Process) -> str:
    return "".join(process.cmdline()[:1])[: len(_TITLE)]


def _killed(left: Sequence[psutil.Process]) -> list[str]:
    """Kill processes, and return a line about each."""
    lines = []
    for process in left:
        try:
            command = " ".join(process.cmdline())
            process.kill()
        except psutil.Error:
            continue
        lines.append(f"the run left process {process.pid}, killed now: {command:.300}")
    return lines
