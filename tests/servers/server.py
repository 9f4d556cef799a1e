# SPDX-License-Identifier: Apache-2.0
"""A server that tests start: its programs, its directory, its port, its outages."""

from __future__ import annotations

import abc
import glob
import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.servers.place import LOOPBACK, Place, within
from tests.servers.process import Process, free_port, until

# Where packages put programs that are not on every PATH. RabbitMQ's own scripts stand
# before the packages' wrappers in sbin, which switch the user.
PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/usr/lib/erlang/bin",
    "/usr/lib64/erlang/bin",
)
START_TIMEOUT = 90.0  # seconds; a slow disk needs them


def find(program: str) -> str | None:
    """Return the path of a server's program, also where PATH does not lead."""
    places = [path for place in PLACES for path in sorted(glob.glob(place), reverse=True)]
    return shutil.which(program, path=os.pathsep.join([*places, os.environ.get("PATH", "")]))


class Server(abc.ABC):
    """A server with a directory and a port of its own.

    :param durable: whether commits reach the disk, as in production.
    :param place: where it runs; on this machine's loopback address by default.
    """

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]

    def __init__(self, directory: Path, *, durable: bool = False, place: Place = LOOPBACK) -> None:
        self.directory = directory
        self.place = place
        self.port = free_port()
        self._durable = durable
        self._process: Process | None = None
        self._starts = 0
        self._numbers = itertools.count(1)

    @classmethod
    def missing(cls) -> list[str]:
        """Return the programs that are not installed."""
        return [program for program in cls.programs if find(program) is None]

    def start(self) -> None:
        """Start it and wait until it answers; a second start after a stop keeps its data."""
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            self._prepare()
        self._starts += 1
        process = self._process = self._run(self.directory / f"output-{self._starts}")
        try:
            until(lambda: self._answers(process), START_TIMEOUT, f"the start of {self.name}")
        except (TimeoutError, RuntimeError) as error:
            self.kill()
            raise RuntimeError(f"{error}\n{process.tail()}") from error

    def stop(self) -> None:
        """Stop it in order; its data stay."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        """Stop it as a power cut would; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def close(self) -> None:
        """End it for good."""
        self.kill()

    def pids(self) -> list[int]:
        """Return the processes that run for this server."""
        return [] if self._process is None else self._process.family()

    def freeze(self) -> None:
        """Make it hang: connections stay, answers do not come."""
        if self._process is not None:
            self._process.send(signal.SIGSTOP, family=True)

    def thaw(self) -> None:
        """End the hanging."""
        if self._process is not None:
            self._process.send(signal.SIGCONT, family=True)

    def _answers(self, process: Process) -> bool:
        if process.returncode is not None:
            raise RuntimeError(f"{self.name} ended with {process.returncode}")
        return self.place.listens(self.port)

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Fill the new directory."""

    @abc.abstractmethod
    def _run(self, log: Path) -> Process:
        """Start the program; its output goes to the log."""

    def _command(self, *argv: str, env: dict[str, str] | None = None) -> str:
        """Run one of the server's tools to its end and return its output."""
        command = [find(argv[0]) or argv[0], *argv[1:]]
        done = subprocess.run(
            command if self._user() else within(self.place.namespace, command),
            env=env,
            cwd=self.directory,
            user=self._user(),
            group=self._user(),
            extra_groups=None if self._user() is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_TIMEOUT,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def _user(self) -> str | None:
        """Return whose rights the server takes, None for our own."""
        return None
