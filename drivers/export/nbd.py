# SPDX-License-Identifier: Apache-2.0
"""Serve a file as a network block device with qemu-nbd, one process for each.

The processes live on when the service restarts. Each has a file with its pid and
the address in a directory, so a later service finds it, or starts it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivers.interface.errors import RemoveExportException, VolumeBackendAPIException
from drivers.interface.export import ExportDriver

PROGRAM = "qemu-nbd"
_START = 10.0
_STOP = 10.0
"""How long to wait for a server's start and end, in seconds."""

_CLIENTS = 16
"""Connections at once; a client may open several to one device."""


class NbdExport(ExportDriver):
    """Network block devices of one backend.

    :param directory: what is known of them, and their sockets.
    :param address: where to listen, each on a port of its own; empty for sockets.
    """

    def __init__(self, directory: Path, address: str = "") -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self._address = address

    def check(self) -> None:
        """:raises VolumeBackendAPIException: the program is not installed."""
        if shutil.which(PROGRAM) is None:
            text = f"{PROGRAM} is not installed (Debian: qemu-utils, Fedora: qemu-img)"
            raise VolumeBackendAPIException(text)

    def ensure(self, name: str, path: str) -> Mapping[str, Any]:
        """Serve a file unless it is served already, and return where.

        :returns: ``export``, and ``unix_socket`` or ``host`` and ``port``; ``uri``.
        """
        with self._locked():
            known = self._known(name)
            if known is not None:
                return dict(known["where"])
            self._forget(name)
            return self._start(name, path)

    def is_up(self, name: str) -> bool:
        """Say whether a device is served."""
        return self._known(name) is not None

    def remove(self, name: str) -> None:
        """Stop serving; absence is success. :raises RemoveExportException: it does not end."""
        with self._locked():
            known = self._known(name)
            if known is not None:
                self._end(name, known["pid"])
            self._forget(name)

    def _start(self, name: str, path: str) -> dict[str, Any]:
        where, arguments = self._where(name)
        pid_file = self._file(name, "pid")
        command = [PROGRAM, "--format=raw", "--persistent", f"--shared={_CLIENTS}", "--fork"]
        command += [f"--export-name={name}", f"--pid-file={pid_file}", "--discard=unmap"]
        done = subprocess.run(
            [*command, "--cache=none" if _direct(path) else "--cache=writeback", *arguments, path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_START,
            check=False,
        )
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip().splitlines()
            reason = told[-1] if told else f"status {done.returncode}"
            raise VolumeBackendAPIException(f"{PROGRAM} does not serve {name}: {reason}")
        pid = int(pid_file.read_text())
        state = {"pid": pid, "born": _born(pid), "where": where}
        self._file(name, "json").write_text(json.dumps(state))
        return where

    def _where(self, name: str) -> tuple[dict[str, Any], list[str]]:
        if not self._address:
            place = str(self._file(name, "sock"))
            uri = f"nbd+unix:///{name}?socket={place}"
            return {"export": name, "unix_socket": place, "uri": uri}, [f"--socket={place}"]
        port = _free_port(self._address)
        uri = f"nbd://{self._address}:{port}/{name}"
        where = {"export": name, "host": self._address, "port": port, "uri": uri}
        return where, [f"--bind={self._address}", f"--port={port}"]

    def _known(self, name: str) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads(self._file(name, "json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        # The pid may be another program's by now; when a process began tells them apart.
        return state if _born(state["pid"]) == state["born"] else None

    def _end(self, name: str, pid: int) -> None:
        deadline = time.monotonic() + _STOP
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while _born(pid) is not None:
            if time.monotonic() > deadline:
                raise RemoveExportException(f"{PROGRAM} of {name}, process {pid}, does not end")
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)

    def _forget(self, name: str) -> None:
        for kind in ("json", "pid", "sock"):
            self._file(name, kind).unlink(missing_ok=True)

    def _file(self, name: str, kind: str) -> Path:
        return self._directory / f"{name}.{kind}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude other processes: two servers of one file would both think they own it."""
        place = self._directory / ".lock"
        with place.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


def _born(pid: int) -> str | None:
    """Return when a process began, None where there is none or it only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def _direct(path: str) -> bool:
    """Say whether the file system takes direct input and output; tmpfs does not."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
