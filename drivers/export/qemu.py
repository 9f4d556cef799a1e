# SPDX-License-Identifier: Apache-2.0
"""Processes of qemu-nbd: start one, find it again, end it.

It writes its pid into a file before it reports that it has started, so a process that comes
later finds it, even when the one who started it was killed meanwhile. It runs in a session
of its own, and under systemd in a unit of its own where ``holdfast-nbd.socket`` listens.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.export.launcher import PROGRAM
from drivers.export.unit import Unit
from drivers.interface.errors import VolumeBackendAPIException

_STOP = 10
"""How long to wait for the end of a server, in seconds."""
_GENTLE = 10
"""How often it is asked to end before it is killed."""

_IN_USE = "Address already in use"
_PID_FILE = b"--pid-file="


@dataclass(frozen=True)
class QemuNbdServer:
    """A running process."""

    pid: int

    def clients(self) -> int:
        """Return how many connections it has; it listens on one socket."""
        sockets = 0
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{self.pid}/fd"):
                with contextlib.suppress(OSError):
                    sockets += os.readlink(entry.path).startswith("socket:")
        return max(0, sockets - 1)

    def send(self, number: int) -> None:
        """Send a signal; one that has ended gets none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> bool:
        """End it, gently at first, and say whether it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        # A server that has just started may be deaf to a first SIGTERM: it sleeps on.
        signals = [signal.SIGTERM] * _GENTLE + [signal.SIGKILL]
        try:
            for number in signals:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
                wait = _STOP if number == signal.SIGKILL else _STOP / _GENTLE
                if select.select([handle], [], [], wait)[0]:
                    return True
            return False
        finally:
            os.close(handle)


def arguments(name: str, pid_file: Path, tls: str, *, read_only: bool = False) -> list[str]:
    """Return the part of the command that says how to serve.

    The format is named: guessed, a guest could write a header into its volume that
    makes the server open other files of this host.
    """
    found = [
        "--fork",
        "--persistent",
        "--format=raw",
        "--shared=0",  # any number of connections
        "--discard=unmap",
        "--detect-zeroes=unmap",
        f"--export-name={name}",
        f"{_PID_FILE.decode()}{pid_file}",
    ]
    if read_only:
        found.append("--read-only")
    if tls:
        credentials = f"tls-creds-x509,id=tls,endpoint=server,verify-peer=yes,dir={tls}"
        found += ["--object", credentials, "--tls-creds=tls"]
    return found


def start(arguments: list[str], name: str, unit: Unit, held: int) -> bool:
    """Start a server; when this returns it listens.

    :param unit: where it is started.
    :param held: descriptor of the lock, which is held until the server listens.
    :returns: False where its address is taken.
    :raises VolumeBackendAPIException: it does not start for another reason.
    """
    done = unit.start(arguments, held)
    if "problem" in done:
        raise VolumeBackendAPIException(
            f"{PROGRAM} cannot be started for {name}: {done['problem']}"
        )
    if done["returncode"] == 0:
        return True
    output = done["output"]
    if _IN_USE in output:
        return False
    reason = output.splitlines()[-1] if output else f"it ended with {done['returncode']}"
    raise VolumeBackendAPIException(f"{PROGRAM} does not serve {name}: {reason}")


def find(pid_file: Path) -> QemuNbdServer | None:
    """Return the process that a file names, None where it is no server of ours (any more)."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return None
    # The number may be another process's by now; only ours names this file.
    return QemuNbdServer(pid) if _serves(pid, pid_file) else None


def search(pid_file: Path) -> QemuNbdServer | None:
    """Find the server of a file that is not there (yet), among all processes."""
    return next((QemuNbdServer(pid) for pid in _pids() if _serves(pid, pid_file)), None)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _serves(pid: int, pid_file: Path) -> bool:
    """Return whether a process is a server that was started with this file."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    named = [part.removeprefix(_PID_FILE) for part in command if part.startswith(_PID_FILE)]
    wanted = os.path.realpath(os.fsencode(pid_file))
    # Compared without links: the directory may be configured by another path since.
    return any(os.path.realpath(path) == wanted for path in named)
