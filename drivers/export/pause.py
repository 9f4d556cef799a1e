# SPDX-License-Identifier: Apache-2.0
"""Pause the NBD servers of volumes for a moment, so that nothing is written meanwhile.

A paused server is a process that SIGSTOP has stopped: the writes that it had acknowledged are
in the file, and new ones wait until it continues. If the worker were killed, its servers would
stay stopped for ever; so a separate guard process sends SIGCONT when its input closes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from oslo_utils import timeutils

from drivers.export.launcher import PROGRAM
from drivers.export.qemu import QemuNbdServer
from drivers.export.unit import Unit
from drivers.interface.errors import VolumeBackendAPIException

_STOP_TIMEOUT = 10.0
"""Seconds that a server has to stop: the time of one write to a disk."""

_POLL = 0.001
_STOPPED_STATES = ("T", "t", "Z", "X")


@contextlib.contextmanager
def paused(servers: Sequence[QemuNbdServer], unit: Unit) -> Iterator[None]:
    """Pause servers.

    :param unit: where the guard runs.
    :raises VolumeBackendAPIException: a server does not stop; none is paused.
    """
    if not servers:
        yield
        return
    with unit.resuming([server.pid for server in servers]):
        try:
            for server in servers:
                server.send(signal.SIGSTOP)
            for server in servers:
                _wait_for(server)
            yield
        finally:
            resume(servers)


def resume(servers: Sequence[QemuNbdServer]) -> None:
    """Continue servers whose guard was killed together with the process that paused them."""
    for server in servers:
        server.send(signal.SIGCONT)


def _wait_for(server: QemuNbdServer) -> None:
    timeout = timeutils.StopWatch(_STOP_TIMEOUT).start()
    while not _is_stopped(server.pid):
        if timeout.expired():
            text = f"{PROGRAM}, process {server.pid}, does not stop writing"
            raise VolumeBackendAPIException(f"{text}: look at the disk below it")
        time.sleep(_POLL)


def _is_stopped(pid: int) -> bool:
    """Return whether every thread of a process is stopped, or the process has ended."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        return all(_state(pid, thread) in _STOPPED_STATES for thread in threads)
    except FileNotFoundError:
        return True


def _state(pid: int, thread: str) -> str:
    try:
        text = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    # The fields follow the name, which is in parentheses and may contain some itself.
    return text.rpartition(")")[2].split()[0]
