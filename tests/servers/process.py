# SPDX-License-Identifier: Apache-2.0
"""Programs that tests start: each in its own session, none outlives us."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from tests.servers.place import LOOPBACK, within

# Below the kernel's ephemeral range: a client that retries against a stopped server
# could otherwise be given that very port and connect to itself.
PORTS = range(15000, 32000)

PATIENCE = "HOLDFAST_TEST_PATIENCE"
"""The variable by which every time limit of the tests is multiplied, for slow machines."""

_reserved: dict[int, socket.socket] = {}


class Launched(Protocol):
    """The part of ``subprocess.Popen`` that a process uses."""

    @property
    def pid(self) -> int:
        """The id of the process."""

    def poll(self) -> int | None:
        """Return the exit status, None while the process runs."""

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit status.

        :raises subprocess.TimeoutExpired: the process still runs.
        """


class Process:
    """A running program and all its children.

    It leads its own session, as under systemd, so a signal to its group reaches the
    whole family only. A watcher kills the family when we die ourselves,
    even by SIGKILL, since the pipe on which it waits then closes.

    :param log: where its output goes.
    :param user: whose rights it takes, if we are root.
    :param namespace: the network namespace in which it runs, None for ours.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self.log = log
        self.namespace = namespace
        with log.open("ab") as output:
            self._process = self._launch(list(argv), output, env, cwd, user)
        self.pid = self._process.pid
        script = 'read -r _; kill -s KILL -- "-$1" 2>/dev/null'
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", script, "watcher", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _launch(
        self,
        argv: list[str],
        output: IO[bytes],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        user: str | None,
    ) -> Launched:
        if self.namespace is not None and user is not None:  # root alone may enter one
            argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv]
            user = None
        return subprocess.Popen(
            within(self.namespace, argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
        )

    @property
    def returncode(self) -> int | None:
        """The exit status of the program itself, None while it runs."""
        return self._process.poll()

    def family(self) -> list[int]:
        """Return the process ids of the program and its children that still run."""
        self._process.poll()
        return [pid for pid, parents in _ancestry().items() if self.pid in parents]

    def send(self, number: signal.Signals, *, family: bool = False) -> None:
        """Send a signal to the program, or to all its children as well."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if family else os.kill)(self.pid, number)

    def wait(self, timeout: float) -> int:
        """Wait for the end of the program and return its exit status."""
        return self._process.wait(patient(timeout))

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 20.0) -> None:
        """Ask for an end, kill after a while, and check that no process is left."""
        if self._process.poll() is None:
            self.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patient(timeout))
        self.kill()

    def kill(self) -> None:
        """End the whole family at once, and check that no process is left."""
        family = self.family()
        self.send(signal.SIGKILL, family=True)
        for pid in family:  # children may lead groups of their own, PostgreSQL's do
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(patient(10))
        until(lambda: not alive(family), 60, f"the end of processes {family}")
        self._watcher.kill()
        self._watcher.communicate()

    def tail(self, lines: int = 30) -> str:
        """Return the end of its output, for a message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def alive(pids: Collection[int]) -> list[int]:
    """Return which of these processes are not yet dead."""
    return sorted(pid for pid in set(pids) if _living(Path(f"/proc/{pid}/stat")))


def patient(seconds: float) -> float:
    """Return a time limit as long as this machine needs it: ``HOLDFAST_TEST_PATIENCE`` times."""
    return seconds * float(os.environ.get(PATIENCE, "1"))


def until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Wait until a condition holds.

    :raises TimeoutError: it did not hold in time; the text names the condition.
    """
    timeout = patient(timeout)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a loopback port that no process uses, never the same one twice.

    The port is reserved for the life of this process, also while its server is stopped:
    test runs on one machine, and the workers of each, choose at the same time. The UDP
    port of the same number is the reservation, which the kernel ends with the process.
    """
    while True:
        port = random.choice(PORTS)
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket() as candidate:
            try:
                reservation.bind(("127.0.0.1", port))
                candidate.bind(("127.0.0.1", port))
            except OSError:
                reservation.close()
                continue
        _reserved[port] = reservation
        return port


def listens(port: int) -> bool:
    """Return whether a loopback port accepts connections."""
    return LOOPBACK.listens(port)


def _ancestry() -> dict[int, set[int]]:
    """Return each living process with itself, its group and all its ancestors."""
    parents: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        if (known := _living(stat)) is not None:
            parents[int(stat.parent.name)] = known
    found = {}
    for pid in parents:
        line = {pid}
        ancestor = pid
        while ancestor in parents:
            line |= set(parents[ancestor])
            ancestor = parents[ancestor][0]
        found[pid] = line
    return found


def _living(stat: Path) -> tuple[int, int] | None:
    """Return the parent and the group of a process, None of one that is dead."""
    try:
        text = stat.read_text()
    except OSError:
        return None
    # The name in the second field may hold blanks; the last ")" ends it.
    state, parent, group = text.rpartition(")")[2].split()[:3]
    return None if state in "ZX" else (int(parent), int(group))
