# SPDX-License-Identifier: Apache-2.0
"""Serve files as network block devices with qemu-nbd, one process for each.

A process survives a restart of the service. A file has its address and its users, so that the
next service finds the process, or starts it again with the same address. systemd ends all
processes of a unit, so after a restart by systemd the process is started again.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg, types
from oslo_utils import netutils

from drivers import own_directories
from drivers.export import pause, qemu
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
]

_SOCKET_PATH = 107
"""Bytes that a socket's path may have."""

_LOCKS = 64
"""Files that exclude other processes; each volume has one of them, for good."""


@dataclass
class State:
    """The stored state of one export.

    :param port: 0 for a socket.
    :param users: the connected consumers.
    """

    port: int = 0
    users: list[str] = field(default_factory=list)


class NbdExport(ExportDriver):
    """Network block devices of one backend.

    :param directory: holds their state files and their sockets.
    :param address: where to listen; empty for sockets.
    :param ports: of which each device gets one.
    :param tls: directory of certificates, empty for none.
    """

    OPTS: ClassVar[list[cfg.Opt]] = OPTS
    protocol: ClassVar[str] = "nbd"
    multiattach: ClassVar[bool] = True  # one process serves all consumers of a volume

    def __init__(
        self, directory: Path, address: str = "", ports: range = range(0), tls: str = ""
    ) -> None:
        self._directory = directory
        self._address = address
        self._ports = ports
        self._tls = tls

    def check(self) -> None:
        """Check that the program is installed and the addresses can be used."""
        if shutil.which(qemu.PROGRAM) is None:
            text = f"{qemu.PROGRAM} is not installed (Debian: qemu-utils, Fedora: qemu-img)"
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

    def ensure(self, name: str, path: str) -> None:
        """Start a server unless there is one."""
        with self._locked(name):
            if self._server(name) is None:
                self._start(name, path, self._state(name))

    def is_up(self, name: str) -> bool:
        """Return whether there is a server."""
        return self._server(name) is not None

    def connect(self, name: str, who: str) -> Mapping[str, Any]:
        """Note a consumer and return the address.

        :returns: ``export`` and ``format``; ``socket``, or ``host`` and ``port``; ``uri``.
        """
        with self._locked(name):
            state = self._state(name)
            if who not in state.users:
                state.users.append(who)
                self._keep(name, state)
            return self._where(name, state.port)

    def disconnect(self, name: str, who: str | None) -> None:
        """Forget a consumer; the server ends with the last one."""
        with self._locked(name):
            state = self._state(name)
            state.users = [user for user in state.users if user != who and who is not None]
            if state.users:
                self._keep(name, state)
            else:
                self._remove(name)

    def remove(self, name: str) -> None:
        """End the server and forget everything about it."""
        with self._locked(name):
            self._remove(name)

    def grown(self, name: str, path: str) -> None:
        """Start the server again, which reads a size only once; not while a client is connected."""
        with self._locked(name):
            server = self._server(name)
            if server is None:
                return
            if server.clients():
                text = f"{name} has grown; connected clients have to connect again to see it"
                raise TargetUpdateFailed(text)
            self._end(name, server)
            self._start(name, path, self._state(name))

    def held(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Stop the servers for a moment."""
        servers = [self._server(name) for name in names]
        return pause.paused([server for server in servers if server is not None])

    def _start(self, name: str, path: str, state: State) -> None:
        """:raises VolumeBackendAPIException: nothing is left of the try."""
        self._check_socket(name)
        arguments = qemu.arguments(name, self._file(name, "pid"), self._tls)
        try:
            for port in self._candidates(name, state.port):
                state.port = port
                # Before: a process that is killed here finds the server that it started.
                self._keep(name, state)
                if qemu.start([*arguments, *self._listen(name, port), path], name):
                    return
        except VolumeBackendAPIException:
            self._forget(name)
            raise
        self._forget(name)
        text = f"no port of {self._ports.start}-{self._ports.stop - 1} on {self._address} is free"
        raise VolumeBackendAPIException(f"{name} cannot be served: {text}")

    def _candidates(self, name: str, old: int) -> Iterator[int]:
        if not self._address:
            yield 0
            return
        if old:
            yield old
        # Each volume begins elsewhere, so that one seldom takes another's old port.
        begin = zlib.crc32(name.encode()) % max(1, len(self._ports))
        yield from self._ports[begin:]
        yield from self._ports[:begin]

    def _listen(self, name: str, port: int) -> list[str]:
        if not port:
            return [f"--socket={self._file(name, 'sock')}"]
        return [f"--bind={self._address}", f"--port={port}"]

    def _where(self, name: str, port: int) -> dict[str, Any]:
        where: dict[str, Any] = {"export": name, "format": "raw"}
        if not port:
            socket = str(self._file(name, "sock"))
            return {**where, "socket": socket, "uri": f"nbd+unix:///{name}?socket={socket}"}
        scheme = "nbds" if self._tls else "nbd"
        host = netutils.escape_ipv6(self._address)
        uri = f"{scheme}://{host}:{port}/{name}"
        return {**where, "host": self._address, "port": port, "uri": uri}

    def _check_socket(self, name: str) -> None:
        socket = self._file(name, "sock")
        if not self._address and len(os.fsencode(socket)) > _SOCKET_PATH:
            text = f"the path of its socket is longer than {_SOCKET_PATH} bytes: {socket}"
            raise VolumeBackendAPIException(f"{name} cannot be served: {text}")

    def _server(self, name: str) -> qemu.QemuNbdServer | None:
        return qemu.find(self._file(name, "pid"))

    def _remove(self, name: str) -> None:
        server = self._server(name)
        if server is not None:
            self._end(name, server)
        self._forget(name)

    def _end(self, name: str, server: qemu.QemuNbdServer) -> None:
        if not server.end():
            text = f"{qemu.PROGRAM} of {name}, process {server.pid}, does not end"
            raise RemoveExportException(text)

    def _state(self, name: str) -> State:
        try:
            return State(**json.loads(self._file(name, "json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):  # none yet, or torn by a crash
            return State()

    def _keep(self, name: str, state: State) -> None:
        fresh = self._file(name, "json.new")
        fresh.write_text(json.dumps(asdict(state)))
        fresh.replace(self._file(name, "json"))

    def _forget(self, name: str) -> None:
        for kind in ("pid", "sock", "json.new", "json"):
            self._file(name, kind).unlink(missing_ok=True)

    def _file(self, name: str, kind: str) -> Path:
        if os.sep in name or name.startswith("."):
            raise VolumeDriverException(f"{name!r} is no plain file name")
        return self._directory / f"{name}.{kind}"

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Exclude other processes from this volume's export."""
        number = zlib.crc32(name.encode()) % _LOCKS
        with (self._directory / f"lock.{number:02}").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


def _is_loopback(address: str) -> bool:
    """Return whether only this host reaches an address; other names may lead anywhere."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
