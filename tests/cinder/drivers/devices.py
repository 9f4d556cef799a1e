# SPDX-License-Identifier: Apache-2.0
"""Read and write volumes that Cinder's drivers connect, with QEMU's and Ceph's tools.

For ``--device tests.cinder.drivers.devices:opened`` of the conformance suite.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conformance import devices
from tests.conformance.devices import Device


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


class IscsiDisk:
    """A logical unit of a target, by QEMU's own initiator: protocol ``iscsi``."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        data = info["data"]
        user = f"{data['auth_username']}%{data['auth_password']}@"
        unit = f"{data['target_iqn']}/{data['target_lun']}"
        self._url = f"iscsi://{user}{data['target_portal']}/{unit}"

    def size(self) -> int:
        return int(
            json.loads(devices.run("qemu-img", "info", "--output=json", self._url))["virtual-size"]
        )

    def read(self, offset: int, length: int) -> bytes:
        return devices.read_by_qemu({"filename": self._url}, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        devices.write_by_qemu(self._url, "raw", offset, data)


def opened(info: Mapping[str, Any]) -> Device:
    """Return the device behind connection info."""
    kinds: dict[str, Any] = {"nfs": ShareFile, "rbd": CephImage, "iscsi": IscsiDisk}
    return kinds[info["driver_volume_type"]](info)  # type: ignore[no-any-return]
