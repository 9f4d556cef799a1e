# SPDX-License-Identifier: Apache-2.0
"""Both workers over Cinder's own tables: ours, and cinder-volume as released."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measurements.machine import HOLDFAST, ROOT, Program, Service
from bench.workload.load import BACKEND, Load, sections
from tests.functional.service import render
from tests.servers import Servers

PEER = ROOT / ".tox/cinder/bin/python"
RELEASE = "29.0.0"
BLOCKED = {"executor_thread_pool_size": 150}
"""Options for more concurrent operations than the 64 that are both sides' default."""


@dataclass(frozen=True)
class Cinder:
    """An environment that has Cinder.

    :param python: its interpreter; the programs are beside it.
    """

    python: Path

    @classmethod
    def find(cls, python: str) -> Cinder:
        """Return the environment, or end with advice."""
        found = cls(Path(python))
        if not found._program("cinder-volume").exists():
            sys.exit(
                f"there is no cinder-volume beside {python}:"
                " run tox -e cinder --notest, or give --peer"
            )
        return found

    @property
    def version(self) -> str:
        """The packages to install there."""
        ask = "from importlib.metadata import version; print(version('cinder'))"
        return self._run("python", "-c", ask)

    @property
    def volume(self) -> Program:
        """cinder-volume, which finds our drivers for it."""
        argv = [str(self._program("cinder-volume"))]
        return Program(argv, b"Driver post RPC initialization completed", self._env())

    @property
    def adapted(self) -> Program:
        """holdfast-volume in this environment, where it runs drivers of Cinder."""
        argv = [str(self.python), "-m", "worker.cmd.volume"]
        return Program(argv, HOLDFAST.ready, {**HOLDFAST.env, **self._env(ROOT)})

    def make_tables(self, config: Path) -> None:
        """Fill an empty database as an operator does."""
        self._run("cinder-manage", "--config-file", str(config), "db", "sync")

    def _run(self, program: str, *arguments: str) -> str:
        argv = [str(self._program(program)), *arguments]
        ran = subprocess.run(argv, env=self._env(), capture_output=True, text=True, check=False)
        if ran.returncode:
            sys.exit(f"{' '.join(argv)} failed:\n{ran.stderr[-4000:]}")
        return ran.stdout.strip()

    def _program(self, name: str) -> Path:
        return self.python.with_name(name)

    @staticmethod
    def _env(*places: Path) -> dict[str, str]:
        found = (*places, ROOT / "bench" / "plugins")
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, found))}


class Side(Load):
    """One of the two, with a bus and a database of its own on the servers of both.

    :param name: for people.
    :param directory: of the configuration, the log and the service's state.
    :param drivers: one that does nothing, one that waits at the gate.
    :param backend: options of the backend.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        servers: Servers,
        program: Program,
        drivers: tuple[str, str],
        cinder: Cinder,
        **backend: Any,
    ) -> None:
        self.name = name
        self._directory = directory
        self._program = program
        self._drivers = drivers
        self._backend = backend
        self._urls = (servers.broker.vhost(), servers.mariadb.database())
        (directory / "state").mkdir(parents=True)
        cinder.make_tables(self._write(blocking=False))
        super().__init__(*self._urls)

    @classmethod
    def ours(cls, directory: Path, servers: Servers, cinder: Cinder, processes: int) -> Side:
        """holdfast-volume."""
        drivers = ("noop", "bench.workload.blocking.BlockingDriver")
        return cls("ours", directory, servers, HOLDFAST, drivers, cinder, processes=processes)

    @classmethod
    def peer(cls, directory: Path, servers: Servers, cinder: Cinder) -> Side:
        """cinder-volume."""
        drivers = ("noop_driver.NoopDriver", "noop_driver.BlockingDriver")
        return cls("Cinder", directory, servers, cinder.volume, drivers, cinder)

    @classmethod
    def adapted(cls, directory: Path, servers: Servers, cinder: Cinder) -> Side:
        """holdfast-volume with drivers of Cinder."""
        drivers = ("noop_driver.NoopDriver", "noop_driver.BlockingDriver")
        return cls("ours", directory, servers, cinder.adapted, drivers, cinder)

    def service(
        self, *, wait: bool = True, blocking: bool = False, backends: Sequence[str] = (BACKEND,)
    ) -> Service:
        """Start it.

        :param blocking: with the driver that waits, and room for all that wait.
        """
        config, log = self._write(blocking, backends), self._directory / "service.log"
        processes = self._backend.get("processes", 1) * len(backends)
        return Service(config, log, processes, wait=wait, program=self._program)

    def _write(self, blocking: bool, backends: Sequence[str] = (BACKEND,)) -> Path:
        state = self._directory / "state"
        driver = self._drivers[1] if blocking else self._drivers[0]
        content = sections(state, *self._urls, driver, BLOCKED if blocking else None, backends)
        content["oslo_concurrency"] = {"lock_path": state / "locks"}
        for name in backends:
            content[name] |= self._backend
        path = self._directory / f"{'blocking' if blocking else 'noop'}.conf"
        path.write_text(render(content))
        return path
