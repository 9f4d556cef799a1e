# SPDX-License-Identifier: Apache-2.0
"""A service under load, and the resources that the kernel counted for it."""

from __future__ import annotations

import configparser
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.servers import Process, until

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 60.0  # seconds; other work may run on the machine
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Program:
    """How a service is run.

    :param argv: the command, without its configuration.
    :param ready: the log line of each process that begins to consume.
    :param env: variables that it has beside those of this process.
    """

    argv: Sequence[str]
    ready: bytes
    env: Mapping[str, str] = field(default_factory=dict)


def _environment_of_the_unit() -> dict[str, str]:
    """Return the variables that the systemd unit of the volume service sets."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "etc/systemd/holdfast-volume@.service")
    name, _, value = unit["Service"]["Environment"].partition("=")
    return {name: value}


HOLDFAST = Program(
    [sys.executable, "-m", "worker.cmd.volume"],
    b"takes operations for",
    _environment_of_the_unit(),
)


class Service:
    """A service as a process of its own, with its children.

    :param config: its configuration file.
    :param processes: how many will say that they are ready.
    :param wait: whether to wait until they have.
    """

    def __init__(
        self,
        config: Path,
        log: Path,
        processes: int,
        *,
        wait: bool = True,
        program: Program = HOLDFAST,
    ) -> None:
        argv = [*program.argv, "--config-file", str(config)]
        start = log.stat().st_size if log.exists() else 0
        env = {**os.environ, **program.env}
        # Without bytecode of its own a start would compile our modules, and none of the peer's.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = Process(argv, log=log, env=env, cwd=ROOT)

        def ready() -> bool:
            if self._process.returncode is not None:
                raise RuntimeError(f"{argv[0]} ended:\n{self._process.tail()}")
            return log.read_bytes()[start:].count(program.ready) >= processes

        if wait:
            until(ready, START_TIMEOUT, f"the service to be ready, see {log}")

    def cpu_seconds(self) -> float:
        """Processor time of the whole family so far, user and system."""
        return sum(cpu(pid) for pid in self._process.family())

    def timed(self, work: Callable[[], object]) -> tuple[float, float]:
        """Return how many seconds something took, and how much processor time here."""
        cpu, began = self.cpu_seconds(), time.monotonic()
        work()
        return time.monotonic() - began, self.cpu_seconds() - cpu

    def pss_mib(self) -> float:
        """Memory of the family in MiB, shared pages counted once."""
        time.sleep(1.0)  # memory of the last operation is returned
        return sum(pss_kib(pid) for pid in self._process.family()) / 1024

    def alone_mib(self) -> float:
        """Memory of the family in MiB, as if no other process had the same libraries in use.

        PSS gives away a part of each library that a neighbour runs as well, which is little
        on a machine of its own.
        """
        family = self._process.family()
        own = sum(_kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss_Anon:") for pid in family)
        files = max(_kib(Path(f"/proc/{pid}/status"), "RssFile:") for pid in family)
        return (own + files) / 1024

    def peak_rss_mib(self) -> float:
        """Return the most that each of the family has ever held, added up, in MiB."""
        return sum(_peak_kib(pid) for pid in self._process.family()) / 1024

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


def cpu(pid: int) -> float:
    """Return the processor time of a process so far in seconds, user and system."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def pss_kib(pid: int) -> int:
    """Return the memory of a process in KiB, shared pages counted in shares."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def _peak_kib(pid: int) -> int:
    return _kib(Path(f"/proc/{pid}/status"), "VmHWM:")


def _kib(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
