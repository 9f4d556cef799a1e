# SPDX-License-Identifier: Apache-2.0
"""The two services under test: Holdfast's, or with --reference Cinder's own."""

from __future__ import annotations

import abc
import os
import sys
from pathlib import Path
from typing import ClassVar

from tests.cinder.control import BACKENDS, PLUGINS, Control, Sections
from tests.servers import Process

ROOT = Path(__file__).parents[2]


class Workers(abc.ABC):
    """Both services, on the configuration of the API and of the scheduler."""

    name: ClassVar[str]
    driver: ClassVar[str]
    options: ClassVar[Sections] = {}

    def __init__(self, control: Control) -> None:
        self.control = control
        self._processes: dict[str, Process] = {}

    def backends(self) -> Sections:
        """Return the sections of the backends."""
        return {
            name: {
                "volume_driver": self.driver,
                "volume_backend_name": name,
                "local_path": self.place(name),
                "local_path_shared": True,
                **self.options.get(name, {}),
            }
            for name in BACKENDS
        }

    def place(self, backend: str) -> Path:
        """Return where a backend has its files."""
        return self.control.directory / backend

    def start(self) -> None:
        """Start both services."""
        for service in ("volume", "backup"):
            self._processes[service] = self._run(service)

    def stop(self) -> None:
        """Stop both in the orderly way."""
        for process in self._processes.values():
            process.stop()

    def kill(self) -> None:
        """Kill both, with all their children."""
        for process in self._processes.values():
            process.kill()

    def check(self) -> None:
        """Fail if one has ended."""
        for name, process in self._processes.items():
            assert process.returncode is None, f"{name} has ended:\n{process.tail()}"

    def tail(self, lines: int = 40) -> str:
        """Return the ends of their logs."""
        return "\n".join(
            f"--- {name}\n{process.tail(lines)}" for name, process in self._processes.items()
        )

    @abc.abstractmethod
    def _run(self, service: str) -> Process:
        """Start ``volume`` or ``backup``."""


class Holdfast(Workers):
    """Ours."""

    name = "holdfast"
    driver = "tests.cinder.failing_driver.UnluckyDriver"
    options: ClassVar[Sections] = {"two": {"local_export": "nbd"}}

    def _run(self, service: str) -> Process:
        argv = [sys.executable, "-m", f"worker.cmd.{service}"]
        argv += ["--config-file", str(self.control.config)]
        log = self.control.directory / f"holdfast-{service}.log"
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGINS}"}
        return Process(argv, log=log, env=env, cwd=self.control.directory)


class Reference(Workers):
    """Cinder's."""

    name = "reference"
    driver = "reference_driver.ReferenceDriver"

    def _run(self, service: str) -> Process:
        return self.control.run(f"cinder-{service}")
