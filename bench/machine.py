# SPDX-License-Identifier: Apache-2.0
"""The service under load, and what the kernel says it used."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType

from tests.servers import Process, until

_TICK = os.sysconf("SC_CLK_TCK")


class Service:
    """``holdfast-volume`` as a process of its own, with its children.

    :param config: its configuration file.
    :param wait: whether to wait until it consumes.
    """

    def __init__(self, config: Path, log: Path, processes: int, *, wait: bool = True) -> None:
        argv = [sys.executable, "-m", "worker.cmd.volume", "--config-file", str(config)]
        root = Path(__file__).resolve().parent.parent
        start = log.stat().st_size if log.exists() else 0
        self._process = Process(argv, log=log, cwd=root)

        def ready() -> bool:
            return log.read_bytes()[start:].count(b"takes operations for") >= processes

        if wait:
            until(ready, 30, f"the service to be ready, see {log}")

    def cpu_seconds(self) -> float:
        """Processor time of the whole family so far, user and system."""
        return sum(_cpu(pid) for pid in self._process.family())

    def pss_mib(self) -> float:
        """Memory of the family in MiB, what is shared counted once."""
        time.sleep(1.0)  # what the last operation left to be given back
        return sum(pss_kib(pid) for pid in self._process.family()) / 1024

    def kill(self) -> None:
        """End the whole family at once."""
        self._process.kill()

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.stop()


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def pss_kib(pid: int) -> int:
    """Return the memory of a process in KiB, what is shared counted in shares."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
