# SPDX-License-Identifier: Apache-2.0
"""End the programs that a dead child process has left, before it is started again.

The supervising process becomes the parent of such programs. Those that have a session of their
own serve volumes beyond the life of a worker, as qemu-nbd does, and are left. A service of one
process has no supervisor but systemd, which ends its programs with it.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.compat import libc

LOG = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that killed programs have to end: one may wait for a device that does not answer."""

_REAP_PAUSE = 10.0
_ROUND = 0.02


@dataclass(frozen=True)
class _Program:
    pid: int
    name: str
    state: str
    session: int


class OrphanedPrograms:
    """The programs whose parents, processes of this service, have ended."""

    def __init__(self) -> None:
        self._ended: set[int] = set()

    def adopt(self) -> None:
        """Become the parent of orphaned programs, and take note of their ends."""
        try:
            libc.adopt_orphans()
        except (OSError, AttributeError) as error:
            LOG.warning("programs of processes that die are not ended: %s", error)
            return
        threading.Thread(target=self._reap_always, name="orphans", daemon=True).start()

    def kill(self) -> int:
        """Kill the programs that dead child processes have left; return how many."""
        killed: set[int] = set()
        until = time.monotonic() + PATIENCE
        while left := [one for one in self._orphans() if one.session == os.getsid(0)]:
            for one in left:
                if one.pid not in killed:
                    LOG.warning(
                        "%s, process %d, is killed: its worker has ended", one.name, one.pid
                    )
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
                killed.add(one.pid)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(one.pid, os.WNOHANG)
            if time.monotonic() > until:
                LOG.error("%d programs do not end; they wait for a device", len(left))
                break
            time.sleep(_ROUND)
        return len(killed)

    def reap(self) -> None:
        """Collect the exit statuses of orphaned programs that have ended."""
        ended = {one.pid for one in self._orphans() if one.state == "Z"}
        # Only at the second sight: a child process that dies now is the manager's.
        for pid in ended & self._ended:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._ended = ended

    def _reap_always(self) -> None:
        while True:
            time.sleep(_REAP_PAUSE)
            self.reap()

    @staticmethod
    def _orphans() -> list[_Program]:
        """Return the children of this process that it has not started."""
        found = list(_children())
        own = {process.pid for process in multiprocessing.active_children()}
        return [one for one in found if one.pid not in own]


def _children() -> Iterator[_Program]:
    us = os.getpid()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue
        name, fields = (
            text[text.index("(") + 1 : text.rindex(")")],
            text[text.rindex(")") :].split(),
        )
        if int(fields[2]) == us:
            yield _Program(int(entry.name), name, fields[1], int(fields[4]))
