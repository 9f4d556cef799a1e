# SPDX-License-Identifier: Apache-2.0
"""Serve files as network block devices with qemu-nbd, one process for each.

A process survives a restart and a stop of the service: it has a session of its own, and under
systemd a unit of its own (``unit``). A file has its address and its users, so that the next
service finds the process, or starts it again with the same address.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg, types
from oslo_utils import netutils

from drivers import own_directories
from drivers.export import pause, qemu
from drivers.export.launcher import PROGRAM
from drivers.export.unit import Unit
from drivers.interface.errors import (
    RemoveExportException,
    TargetUpdateFailed,
    VolumeBackendAPIException,
    VolumeDriverException,
)
from drivers.interface.export import ExportDriver

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "local_nbd_address",
        default="",
        help="Address on which network block devices are served. Empty: each on a socket "
        "beside the volumes, for consumers on this host.",
    ),
    cfg.Opt(
        "local_nbd_ports",
        type=types.Range(min=1024, max=65535),
        default="10809-11832",
        help="Ports for network block devices, one for each volume that is in use.",
    ),
    cfg.StrOpt(
        "local_nbd_tls",
        default="",
        help="Directory with ca-cert.pem, server-cert.pem and server-key.pem. Consumers then "
        "need a certificate of that authority; without it any "
        "client that reaches a port can read and write the volume, so only a loopback address "
        "of numbers, or localhost, is accepted.",
    ),
    cfg.StrOpt(
        "local_nbd_socket",
        default="/run/holdfast-nbd.sock",
        help="Socket of the unit holdfast-nbd.socket, which starts each server as a unit of its "
        "own, so that attached volumes stay readable while this service is stopped or started "
        "again. Absent or empty: the servers run in the unit of this service, and systemd ends "
        "them with it.",
    ),
]

_SOCKET_PATH = 107
"""Bytes that a socket's path may have."""

_LOCKS = 64
"""Files that exclude other processes; each volume has one of them, for good."""


@dataclass
class ServerState:
    """The stored state of one export.

    :param port: 0 for a socket.
    :param users: the connected consumers.
    """

    port: int = 0
    users: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Served:
    """A file that is served for one kind of access."""

    name: str
    read_only: bool = False

    def __str__(self) -> str:
        return f"{self.name}.ro" if self.read_only else self.name


class NbdExport(ExportDriver):
    """Network block devices of one backend.

    :param directory: holds their state files and their sockets.
    :param address: where to listen; empty for sockets.
    :param ports: of which each device gets one.
    :param tls: directory of certificates, empty for none.
    :param unit: where the servers run.
    """

    OPTS: ClassVar[list[cfg.Opt]] = OPTS
    protocol: ClassVar[str] = "nbd"
    multiattach: ClassVar[bool] = True  # one process serves all consumers of a volume

    def __init__(
        self,
        directory: Path,
        address: str = "",
        ports: range = range(0),
        tls: str = "",
        unit: Unit | None = None,
    ) -> None:
        self._directory = directory
        self._address = address
        self._ports = ports
        self._tls = tls
        self._unit = unit or Unit()

    def check(self) -> None:
        """Check that the program is installed and the addresses can be used."""
        if shutil.which(PROGRAM) is None:
            text = f"{PROGRAM} is not installed (Debian: qemu-utils, Fedora: qemu-img)"
            raise VolumeBackendAPIException(text)
        if self._address and not self._tls and not _is_loopback(self._address):
            text = "would serve volumes to every client that reaches it: set local_nbd_tls as well"
            raise VolumeBackendAPIException(f"local_nbd_address = {self._address} {text}")
        if self._tls and not (Path(self._tls) / "server-cert.pem").is_file():
            raise VolumeBackendAPIException(f"local_nbd_tls = {self._tls} has no server-cert.pem")
        try:
            own_directories.make(self._directory, strict=True)
        except OSError as error:
            text = f"{self._directory} cannot be made: {error.strerror}"
            raise VolumeBackendAPIException(text) from error
        found = [qemu.find(path) for path in self._directory.glob("*.pid")]
        pause.resume([server for server in found if server is not None])
        self._unit.check()

    def ensure(self, name: str, path: str, *, read_only: bool = False) -> None:
        """Start a server unless there is one."""
        with self._locked(name) as lock:
            served = Served(name, read_only)
            if self._server(served) is None:
                self._start(served, path, self._state(served), lock)

    def is_up(self, name: str) -> bool:
        """Return whether there is a server."""
        return any(self._server(served) is not None for served in _both(name))

    def noted(self, name: str) -> Sequence[bool]:
        """Read the state files."""
        return [served.read_only for served in _both(name) if self._state(served).users]

    def consumers(self, name: str) -> Sequence[str]:
        """Read the state files."""
        return [user for served in _both(name) for user in self._state(served).users]

    def connect(self, name: str, who: str, *, read_only: bool = False) -> Mapping[str, Any]:
        """Note a consumer and return the address.

        :returns: ``export`` and ``format``; ``socket``, or ``host`` and ``port``; ``uri``.
        """
        with self._locked(name):
            served = Served(name, read_only)
            state = self._state(served)
            if who not in state.users:
                state.users.append(who)
                self._keep(served, state)
            return self._where(served, state.port)

    def disconnect(self, name: str, who: str | None) -> None:
        """Forget a consumer; the server ends with the last one."""
        self._revoke(name, lambda user: who is None or user == who)

    def remove(self, name: str, *, keep: Collection[str | None] = ()) -> None:
        """Forget the other consumers; a server that has none left ends, with its files."""
        self._revoke(name, lambda user: None not in keep and user not in keep)

    def _revoke(self, name: str, goes: Callable[[str], bool]) -> None:
        with self._locked(name):
            for served in _both(name):
                state = self._state(served)
                users = [user for user in state.users if not goes(user)]
                if not users:
                    self._remove(served)
                elif users != state.users:
                    state.users = users
                    self._keep(served, state)

    def grown(self, name: str, path: str) -> None:
        """Start the server again, which reads a size only once; not while a client is connected."""
        with self._locked(name) as lock:
            servers = [(served, self._server(served)) for served in _both(name)]
            if any(server is not None and server.clients() for _, server in servers):
                text = f"{name} has grown; connected clients have to connect again to see it"
                raise TargetUpdateFailed(text)
            for served, server in servers:
                if server is not None:
                    self._end(served, server)
                    self._start(served, path, self._state(served), lock)

    def held(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Stop the servers for a moment."""
        servers = [self._server(Served(name)) for name in names]  # the others write nothing
        found = [server for server in servers if server is not None]
        return pause.paused(found, self._unit)

    def _start(self, served: Served, path: str, state: ServerState, lock: int) -> None:
        """:raises VolumeBackendAPIException: nothing is left of the try."""
        self._check_socket(served)
        arguments = qemu.arguments(
            served.name, self._file(served, "pid"), self._tls, read_only=served.read_only
        )
        try:
            for port in self._candidates(served, state.port):
                state.port = port
                # Before: a process that is killed here finds the server that it started.
                self._keep(served, state)
                command = [*arguments, *self._listen(served, port), "--", path]
                if qemu.start(command, served.name, self._unit, lock):
                    return
        except VolumeBackendAPIException:
            self._remove(served)  # it may run although its launcher did not answer
            raise
        self._forget(served)
        text = f"no port of {self._ports.start}-{self._ports.stop - 1} on {self._address} is free"
        raise VolumeBackendAPIException(f"{served.name} cannot be served: {text}")

    def _candidates(self, served: Served, old: int) -> Iterator[int]:
        if not self._address:
            yield 0
            return
        if old:
            yield old
        # Each volume begins elsewhere, so that one seldom takes another's old port.
        begin = zlib.crc32(str(served).encode()) % max(1, len(self._ports))
        yield from self._ports[begin:]
        yield from self._ports[:begin]

    def _listen(self, served: Served, port: int) -> list[str]:
        if not port:
            return [f"--socket={self._file(served, 'sock')}"]
        return [f"--bind={self._address}", f"--port={port}"]

    def _where(self, served: Served, port: int) -> dict[str, Any]:
        name = served.name
        where: dict[str, Any] = {"export": name, "format": "raw"}
        if served.read_only:
            where["access_mode"] = "ro"
        if not port:
            socket = str(self._file(served, "sock"))
            return {**where, "socket": socket, "uri": f"nbd+unix:///{name}?socket={socket}"}
        scheme = "nbds" if self._tls else "nbd"
        host = netutils.escape_ipv6(self._address)
        uri = f"{scheme}://{host}:{port}/{name}"
        return {**where, "host": self._address, "port": port, "uri": uri}

    def _check_socket(self, served: Served) -> None:
        socket = self._file(served, "sock")
        if not self._address and len(os.fsencode(socket)) > _SOCKET_PATH:
            text = f"the path of its socket is longer than {_SOCKET_PATH} bytes: {socket}"
            raise VolumeBackendAPIException(f"{served.name} cannot be served: {text}")

    def _server(self, served: Served) -> qemu.QemuNbdServer | None:
        pid_file = self._file(served, "pid")
        found = qemu.find(pid_file)
        if found is None and self._file(served, "json").exists():
            return qemu.search(pid_file)  # it was being started when its starter was killed
        return found

    def _remove(self, served: Served) -> None:
        server = self._server(served)
        if server is not None:
            self._end(served, server)
        self._forget(served)

    def _end(self, served: Served, server: qemu.QemuNbdServer) -> None:
        if not server.end():
            text = f"{PROGRAM} of {served.name}, process {server.pid}, does not end"
            raise RemoveExportException(text)

    def _state(self, served: Served) -> ServerState:
        try:
            return ServerState(**json.loads(self._file(served, "json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):  # none yet, or torn by a crash
            return ServerState()

    def _keep(self, served: Served, state: ServerState) -> None:
        fresh = self._file(served, "json.new")
        fresh.write_text(json.dumps(asdict(state)))
        fresh.replace(self._file(served, "json"))

    def _forget(self, served: Served) -> None:
        for kind in ("pid", "sock", "json.new", "json"):
            self._file(served, kind).unlink(missing_ok=True)

    def _file(self, served: Served, kind: str) -> Path:
        if os.sep in served.name or served.name.startswith("."):
            raise VolumeDriverException(f"{served.name!r} is no plain file name")
        return self._directory / f"{served}.{kind}"

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[int]:
        """Exclude other processes from this volume's export; gives the lock's descriptor."""
        number = zlib.crc32(name.encode()) % _LOCKS
        with (self._directory / f"lock.{number:02}").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield held.fileno()


def _both(name: str) -> tuple[Served, Served]:
    return Served(name), Served(name, read_only=True)


def _is_loopback(address: str) -> bool:
    """Return whether only this host reaches an address; other names may lead anywhere."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
