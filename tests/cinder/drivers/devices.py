# SPDX-License-Identifier: Apache-2.0
"""Read and write volumes that Cinder's drivers connect, as their consumers do.

For ``--device tests.cinder.drivers.devices:opened`` of the conformance suite.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conformance import devices
from tests.conformance.devices import Device

SUDO = "sudo"
"""How os-brick becomes root; the tests put another program of that name before it."""


class ShareFile:
    """A raw or QCOW2 file on a share that is mounted: protocol ``nfs``."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        data = info["data"]
        share = hashlib.md5(data["export"].encode(), usedforsecurity=False).hexdigest()
        self._path = Path(info["mount_point_base"], share, data["name"])
        self._format = data["format"]

    def size(self) -> int:
        told = json.loads(devices.run("qemu-img", "info", "-U", "--output=json", str(self._path)))
        return int(told["virtual-size"])

    def read(self, offset: int, length: int) -> bytes:
        node = {"driver": self._format, "file": {"driver": "file", "filename": str(self._path)}}
        return devices.read_by_qemu(node, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        devices.write_by_qemu(str(self._path), self._format, offset, data)


class CephImage:
    """An image of a Ceph pool: protocol ``rbd``."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._pool, _, self._name = info["data"]["name"].partition("/")
        self.size()

    def _do(self, work: Any) -> Any:
        import rados
        import rbd

        with (
            rados.Rados(conffile="") as cluster,
            cluster.open_ioctx(self._pool) as pool,
            rbd.Image(pool, self._name) as image,
        ):
            return work(image)

    def size(self) -> int:
        return int(self._do(lambda image: image.size()))

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._do(lambda image: image.read(offset, length)))

    def write(self, offset: int, data: bytes) -> None:
        self._do(lambda image: image.write(data, offset))


class HostDisk:
    """A disk that this host attaches by os-brick, as a hypervisor does: ``iscsi``, ``nvmeof``."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._data = info["data"]
        self._initiator = _brick().InitiatorConnector.factory(info["driver_volume_type"], SUDO)

    @contextlib.contextmanager
    def _attached(self, flags: int) -> Iterator[int]:
        found = self._initiator.connect_volume(self._data)
        try:
            device = os.open(found["path"], flags)
            try:
                yield device
                if flags != os.O_RDONLY:
                    os.fsync(device)
            finally:
                os.close(device)
        finally:
            self._initiator.disconnect_volume(self._data, found)

    def size(self) -> int:
        with self._attached(os.O_RDONLY) as device:
            return os.lseek(device, 0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        with self._attached(os.O_RDONLY) as device:
            return os.pread(device, length, offset)

    def write(self, offset: int, data: bytes) -> None:
        with self._attached(os.O_RDWR) as device:
            os.pwrite(device, data, offset)


def host_connector() -> dict[str, Any]:
    """Return the properties of this host as an initiator."""
    found = _brick().get_connector_properties(SUDO, "127.0.0.1", False, False)
    return dict(found)


def _brick() -> Any:
    """Import os-brick, whose library of locks wants a directory."""
    import os_brick
    from os_brick.initiator import connector
    from oslo_config import cfg

    os_brick.setup(cfg.CONF)
    cfg.CONF.set_override("lock_path", tempfile.gettempdir(), "os_brick")
    return connector


def opened(info: Mapping[str, Any]) -> Device:
    """Return the device behind connection info."""
    kinds: dict[str, Any] = {
        "nfs": ShareFile,
        "rbd": CephImage,
        "iscsi": HostDisk,
        "nvmeof": HostDisk,
    }
    return kinds[info["driver_volume_type"]](info)  # type: ignore[no-any-return]
