# SPDX-License-Identifier: Apache-2.0
"""Read and write a volume as a consumer does, through its connection info.

A driver whose protocol is not here is tested without its data, unless
``--device module:callable`` names the function that opens its volumes: called with the
connection info, it returns a :class:`Device`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

SECTOR = 512
"""Bytes; QEMU's tools read whole ones."""


class Device(Protocol):
    """A connected volume."""

    def size(self) -> int:
        """Return bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return the content."""

    def write(self, offset: int, data: bytes) -> None:
        """Write, and return when it is kept."""


class LocalFile:
    """A path on this host: protocol ``local``."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._path = Path(info["data"]["device_path"])

    def size(self) -> int:
        with self._path.open("rb") as device:
            return device.seek(0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        with self._path.open("rb") as device:
            device.seek(offset)
            return device.read(length)

    def write(self, offset: int, data: bytes) -> None:
        with self._path.open("r+b") as device:
            device.seek(offset)
            device.write(data)
            device.flush()
            os.fsync(device.fileno())


class NetworkBlockDevice:
    """Protocol ``nbd``, through libnbd's and QEMU's clients, which no server of ours uses."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._uri = info["data"]["uri"]

    def size(self) -> int:
        return int(run("nbdinfo", "--size", self._uri))

    def read(self, offset: int, length: int) -> bytes:
        return read_by_qemu(self._node(), offset, length)

    def write(self, offset: int, data: bytes) -> None:
        write_by_qemu(self._uri, "raw", offset, data)

    def _node(self) -> dict[str, Any]:
        address, _, query = self._uri.partition("?socket=")
        export = address.rpartition("/")[2]
        if query:
            server = {"type": "unix", "path": query}
            return {"driver": "nbd", "export": export, "server": server}
        host, _, port = address.split("/")[2].rpartition(":")
        server = {"type": "inet", "host": host, "port": port}
        return {"driver": "nbd", "export": export, "server": server}


PROTOCOLS: dict[str, Callable[[Mapping[str, Any]], Device]] = {
    "local": LocalFile,
    "nbd": NetworkBlockDevice,
}


def read_by_qemu(node: Mapping[str, Any], offset: int, length: int) -> bytes:
    """Return a part of what a block node of QEMU reads."""
    start = offset - offset % SECTOR
    size = -(-(offset + length - start) // SECTOR) * SECTOR
    window = {"driver": "raw", "offset": start, "size": size, "file": node}
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, "data")
        run("qemu-img", "convert", "-O", "raw", f"json:{json.dumps(window)}", str(target))
        return target.read_bytes()[offset - start :][:length]


def write_by_qemu(place: str, form: str, offset: int, data: bytes) -> None:
    """Write into a file or an address of that format, and return when it is kept."""
    with tempfile.NamedTemporaryFile() as source:
        source.write(data)
        source.flush()
        command = f"write -s {source.name} {offset} {len(data)}"
        run("qemu-io", "-f", form, "-c", command, "-c", "flush", place)


def run(*command: str) -> str:
    """Return the output of a program that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
