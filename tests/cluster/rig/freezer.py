# SPDX-License-Identifier: Apache-2.0
"""A frozen control group: processes that the kernel does not run, as in a paused machine.

Unlike SIGSTOP it also holds back the kernel timer by which a process ends itself, until the
thaw. It needs root and the freezer of control groups, version 1.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection
from pathlib import Path

from tests.servers import until

FREEZER = Path("/sys/fs/cgroup/freezer")


def is_possible() -> bool:
    """Return whether this machine has the freezer, and lets us use it."""
    return FREEZER.is_dir() and os.access(FREEZER, os.W_OK) and os.geteuid() == 0


class Freezer:
    """One control group."""

    def __init__(self) -> None:
        self._group = FREEZER / f"holdfast-{os.getpid()}-{secrets.token_hex(3)}"
        self._group.mkdir()

    def freeze(self, pids: Collection[int]) -> None:
        """Stop processes."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (self._group / "cgroup.procs").write_text(str(pid))
        (self._group / "freezer.state").write_text("FROZEN")
        until(lambda: self._state() == "FROZEN", 10, "the control group to freeze")

    def thaw(self) -> None:
        """Let them go on."""
        (self._group / "freezer.state").write_text("THAWED")
        until(lambda: self._state() == "THAWED", 10, "the control group to thaw")

    def close(self) -> None:
        """Let all go on, in the group of all processes, and remove this one."""
        self.thaw()
        for text in (self._group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (FREEZER / "cgroup.procs").write_text(text)

        def gone() -> bool:
            with contextlib.suppress(OSError):
                self._group.rmdir()
            return not self._group.exists()

        until(gone, 10, "the control group to be removed")

    def _state(self) -> str:
        return (self._group / "freezer.state").read_text().strip()
