# SPDX-License-Identifier: Apache-2.0
"""Start servers of network block devices outside of the service's unit (``holdfast-nbd``).

A service manager ends all processes of a unit that stops, so a server that the worker starts
itself ends with the worker's unit. systemd starts this program for each connection to
``holdfast-nbd.socket``, as a unit of its own, with the connection as its standard input.
One request stands on the connection, in JSON, in one line:

===================  ======================================================================
request              does
===================  ======================================================================
``{"start": […]}``   runs qemu-nbd with these arguments; the server stays in the unit
``{"resume": […]}``  answers, waits until the client hangs up, sends SIGCONT to these pids
===================  ======================================================================

The client passes the file that holds its lock along: another worker that finds the lock free
finds the server, too. It needs nothing but the standard library, to start fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from typing import Any

PROGRAM = "qemu-nbd"

START_TIMEOUT = 30
"""Seconds that a server has to start."""

_REQUEST = 65536
"""Bytes that a request has at most."""


def main() -> int:
    """Serve the connection that is the standard input."""
    if not stat.S_ISSOCK(os.fstat(sys.stdin.fileno()).st_mode):
        sys.stderr.write("holdfast-nbd: started by systemd, by connections to its socket\n")
        return os.EX_USAGE
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as connection:
        request, held = _receive(connection)
        try:
            if "start" in request:
                _answer(connection, run(request["start"]))
            elif "resume" in request:
                _resume(connection, [int(pid) for pid in request["resume"]])
        finally:
            for fd in held:
                os.close(fd)
    return 0


def run(arguments: list[str]) -> dict[str, Any]:
    """Run qemu-nbd; when this returns, it listens or has failed.

    It runs in a session of its own: a signal to the process group of its starter, such as
    Ctrl-C, does not reach it.

    :returns: ``returncode`` and ``output``; ``problem`` where it could not be run.
    """
    try:
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=START_TIMEOUT,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"problem": str(error)}
    output = done.stderr.decode(errors="replace").strip()
    return {"returncode": done.returncode, "output": output}


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the request, and the descriptors that came along."""
    data, held, _, _ = socket.recv_fds(connection, _REQUEST, 1)
    while not data.endswith(b"\n") and (more := connection.recv(_REQUEST)):
        data += more
    return json.loads(data or b"{}"), list(held)


def _answer(connection: socket.socket, answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the client has gone
        connection.sendall(json.dumps(answer).encode() + b"\n")


def _resume(connection: socket.socket, pids: list[int]) -> None:
    _answer(connection, {})
    with contextlib.suppress(OSError):
        while connection.recv(1):
            pass
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGCONT)
