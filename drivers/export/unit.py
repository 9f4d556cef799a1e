# SPDX-License-Identifier: Apache-2.0
"""Where servers of exports run: in units of their own, or as processes of the worker's unit.

Both give a server a session of its own. Only a unit of its own survives a stop of the worker
under systemd, which ends all processes of the unit.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from drivers.export import launcher

LOG = logging.getLogger(__name__)

_TIMEOUT = launcher.START_TIMEOUT + 15
"""Seconds to wait for an answer: systemd starts the launcher first."""

_GUARD = 'echo; read _; kill -CONT "$@" 2>/dev/null'


class Unit:
    """Starts processes that outlive the worker.

    :param path: socket of ``holdfast-nbd.socket``; empty, or absent, for none.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path

    def check(self) -> None:
        """Log a warning where systemd would end the servers together with the worker."""
        if "INVOCATION_ID" not in os.environ:
            return
        if self.listens():
            return
        LOG.warning(
            "servers of exported volumes end with this unit, and so do their guests' disks: enable "
            "holdfast-nbd.socket (local_nbd_socket = %s does not answer)",
            self._path,
        )

    def listens(self) -> bool:
        """Return whether systemd listens on the socket."""
        if not self._path:
            return False
        try:
            return stat.S_ISSOCK(os.stat(self._path).st_mode) and os.access(self._path, os.W_OK)
        except OSError:
            return False

    def start(self, arguments: Sequence[str], held: int) -> dict[str, Any]:
        """Run qemu-nbd. :returns: as :func:`launcher.run`."""
        connection = self._connected()
        if connection is None:
            return launcher.run(list(arguments))
        with connection:
            try:
                return _ask(connection, {"start": list(arguments)}, [held])
            except (OSError, ValueError) as error:
                # It may run or not: a second one is not started beside it.
                text = f"the launcher behind {self._path} failed"
                return {"problem": f"{text}, see journalctl -u 'holdfast-nbd@*': {error}"}

    @contextlib.contextmanager
    def resuming(self, pids: Sequence[int]) -> Iterator[None]:
        """Have another process send SIGCONT to processes, should this one be killed."""
        connection = self._connected()
        if connection is None:
            with _guard(pids):
                yield
            return
        with connection:
            _ask(connection, {"resume": list(pids)}, [])
            yield

    def _connected(self) -> socket.socket | None:
        if not self._path:
            return None
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_TIMEOUT)
            connection.connect(self._path)
        except OSError:
            connection.close()
            return None
        return connection


def _ask(connection: socket.socket, request: dict[str, Any], held: list[int]) -> dict[str, Any]:
    data = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(connection, [data], held)
    connection.sendall(data[sent:])
    with connection.makefile("rb") as answers:
        answer = json.loads(answers.readline())
    assert isinstance(answer, dict)
    return answer


@contextlib.contextmanager
def _guard(pids: Sequence[int]) -> Iterator[None]:
    command = ["/bin/sh", "-c", _GUARD, "guard", *map(str, pids)]
    # In a session of its own: a signal to our process group does not reach it.
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdout.readline()  # the guard runs
            yield
        finally:
            process.stdin.close()
