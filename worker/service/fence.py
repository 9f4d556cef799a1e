# SPDX-License-Identifier: Apache-2.0
"""Exclude a second service of the same host and database on a machine.

Locks and journal are below the state path, so they do not exclude a service that has the same
host name by mistake and a state path of its own. Sockets in the abstract namespace do: the
first service binds names made of host and database, and the kernel frees them when the last of
its processes has ended. The namespace belongs to a network namespace: services in containers
with networks of their own are not excluded.

There are two names. The address of the database is known before the database answers; but two
configurations may write the same address in different ways. The database's own name for itself
is the same for both. (The UUID of the service's row would not do: it follows from the host, and
is the same in the databases of two installations.)
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

import sqlalchemy as sa
from oslo_db import exception as db_exception

from flows.errors import ProcessStopping
from worker.db.database import Database

LOG = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds between two attempts."""

NAMES = 2
"""Names that a service holds."""

_CREDENTIALS = struct.Struct("3i")

_MYSQL = "SELECT CONCAT(@@hostname, ':', @@port, @@datadir, ' ', DATABASE())"
_IDENTITY = {
    "sqlite": "SELECT file FROM pragma_database_list WHERE name = 'main'",
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "postgresql": "SELECT system_identifier || ' ' || current_database() FROM pg_control_system()",
}
"""Queries for a name that a database has however it is addressed, and no other one has."""


def identity_of(database: Database) -> str:
    """Return the database's own name for itself; its address where it has none.

    :raises Unavailable: the database did not answer.
    """
    query = sa.text(_IDENTITY[database.engine.dialect.name])
    try:
        found = database.read(lambda connection: connection.execute(query).scalar_one())
    except db_exception.DBError as error:
        LOG.debug("the name of the database is unknown: %s", error)
        return database.shown
    return str(found or database.shown)


class HostFence:
    """The sockets of one service; made before its processes fork, which share them."""

    def __init__(self) -> None:
        self._sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(NAMES)]

    def hold(self, service: str, state_path: str, stopping: threading.Event) -> None:
        """Wait until no other service of the same name runs, and exclude others from now on.

        :param service: one of the names, unique to a host and its database.
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
        if any(one.getsockname() == address for one in self._sockets):
            return True
        for one in self._sockets:
            try:
                one.bind(address)
            except OSError as error:
                if error.errno == errno.EINVAL:  # it has a name, maybe from another process
                    if one.getsockname() == address:
                        return True
                    continue
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
            one.listen(128)  # others ask the kernel for the listener; it accepts none
            return True
        raise ValueError(f"a service holds no more than {NAMES} names")


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
