# SPDX-License-Identifier: Apache-2.0
"""A consumer of a network block device: a few requests of the protocol, one at a time.

A program for each request would be too slow to write while something else happens.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from types import TracebackType

from drivers.export.qemu import QemuNbdServer

_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_READ, _WRITE, _DISCONNECT = 0, 1, 2


class Disk:
    """A connection to one export on a socket of this host."""

    def __init__(self, path: str, export: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(path)
        magic, options, _flags = struct.unpack(">8s8sH", self._receive(18))
        assert (magic, options) == (b"NBDMAGIC", b"IHAVEOPT")
        name = export.encode()
        # Fixed handshake, no padding; then the export's name, which ends the handshake.
        self._socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, len(name)) + name)
        self.size, _flags = struct.unpack(">QH", self._receive(10))

    def __enter__(self) -> Disk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.sendall(_REQUEST.pack(0x25609513, 0, _DISCONNECT, 0, 0, 0))
        self._socket.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return data."""
        self._ask(_READ, offset, length)
        return self._receive(length)

    def write(self, offset: int, data: bytes) -> None:
        """Write data; it is acknowledged when this returns."""
        self._ask(_WRITE, offset, len(data), data)

    def _ask(self, kind: int, offset: int, length: int, data: bytes = b"") -> None:
        self._socket.sendall(_REQUEST.pack(0x25609513, 0, kind, 1, offset, length) + data)
        magic, error, _handle = _REPLY.unpack(self._receive(_REPLY.size))
        assert (magic, error) == (0x67446698, 0), f"error {error}"

    def _receive(self, length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            part = self._socket.recv(length - len(found))
            assert part, "the server has gone"
            found += part
        return bytes(found)


def servers(folder: Path) -> list[QemuNbdServer]:
    """Return every server of a directory: they outlive the service that started them."""
    place = os.fsencode(folder)
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu-nbd" in command[0] and any(place in part for part in command):
            found.append(QemuNbdServer(int(name)))
    return found
