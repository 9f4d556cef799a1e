# SPDX-License-Identifier: Apache-2.0
"""Exclude a second service of the same host and database on a machine.

Locks and journal are below the state path, so they do not exclude a service that has the same
host name by mistake and a state path of its own. A socket in the abstract namespace does: the
first service binds a name made of host and database, and the kernel frees it when the last of
its processes has ended. The namespace belongs to a network namespace: services in containers
with networks of their own are not excluded.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from flows.errors import ProcessStopping

LOG = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two attempts."""

_CREDENTIALS = struct.Struct("3i")


class HostFence:
    """The socket of one service; made before its processes fork, which share it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def hold(self, service: str, state_path: str, stopping: threading.Event) -> None:
        """Wait until no other service of the same name runs, and exclude others from now on.

        :param service: the name, unique to a host and its database.
        :raises ProcessStopping: the process stops before.
        """
        address = b"\0holdfast-" + hashlib.sha256(service.encode()).hexdigest()[:40].encode()
        if self._try_hold(address):
            return
        holder = _holder(address)
        if holder == os.getpid():
            return  # two services of one process, in tests
        LOG.warning(
            "another process still serves %s: %s; this one (%d, state path %s) waits for its end",
            *(service, _named(holder), os.getpid(), state_path),
        )
        while not self._try_hold(address):
            if stopping.wait(PAUSE):
                raise ProcessStopping(f"another process still serves {service}")

    def _try_hold(self, address: bytes) -> bool:
        try:
            self._socket.bind(address)
        except OSError as error:
            if error.errno == errno.EINVAL:  # a process that shares the socket has bound it
                return bool(self._socket.getsockname() == address)
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        self._socket.listen(128)  # others ask the kernel for the listener; it accepts no connection
        return True


def _holder(address: bytes) -> int | None:
    """Return the process that has bound an address; None where it has gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(address)
            found = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return None
    return int(_CREDENTIALS.unpack(found)[0])


def _named(process: int | None) -> str:
    if process is None:
        return "a process that does not answer"
    read: Callable[[], bytes] = Path(f"/proc/{process}/cmdline").read_bytes
    try:
        command = read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return f"process {process}"
    return f"process {process} ({command[:200]})"
