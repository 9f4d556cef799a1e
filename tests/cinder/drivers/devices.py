# SPDX-License-Identifier: Apache-2.0
"""Read and write volumes that Cinder's drivers connect, with QEMU's and Ceph's tools.

For ``--device tests.cinder.drivers.devices:opened`` of the conformance suite.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conformance.devices import SECTOR, Device


class ShareFile:
    """A raw or QCOW2 file on a share that is mounted: protocol ``nfs``."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        data = info["data"]
        share = hashlib.md5(data["export"].encode(), usedforsecurity=False).hexdigest()
        self._path = Path(info["mount_point_base"], share, data["name"])
        self._format = data["format"]

    def size(self) -> int:
        told = json.loads(_run("qemu-img", "info", "-U", "--output=json", str(self._path)))
        return int(told["virtual-size"])

    def read(self, offset: int, length: int) -> bytes:
        start = offset - offset % SECTOR
        size = -(-(offset + length - start) // SECTOR) * SECTOR
        node = {"driver": self._format, "file": {"driver": "file", "filename": str(self._path)}}
        window = {"driver": "raw", "offset": start, "size": size, "file": node}
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch, "data")
            _run("qemu-img", "convert", "-O", "raw", f"json:{json.dumps(window)}", str(target))
            return target.read_bytes()[offset - start :][:length]

    def write(self, offset: int, data: bytes) -> None:
        with tempfile.NamedTemporaryFile() as source:
            source.write(data)
            source.flush()
            command = f"write -s {source.name} {offset} {len(data)}"
            _run("qemu-io", "-f", self._format, "-c", command, "-c", "flush", str(self._path))


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
        return int(json.loads(_run("qemu-img", "info", "--output=json", self._url))["virtual-size"])

    def read(self, offset: int, length: int) -> bytes:
        start = offset - offset % SECTOR
        size = -(-(offset + length - start) // SECTOR) * SECTOR
        node = {"driver": "raw", "offset": start, "size": size, "file": {"filename": self._url}}
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch, "data")
            _run("qemu-img", "convert", "-O", "raw", f"json:{json.dumps(node)}", str(target))
            return target.read_bytes()[offset - start :][:length]

    def write(self, offset: int, data: bytes) -> None:
        with tempfile.NamedTemporaryFile() as source:
            source.write(data)
            source.flush()
            command = f"write -s {source.name} {offset} {len(data)}"
            _run("qemu-io", "-f", "raw", "-c", command, "-c", "flush", self._url)


def opened(info: Mapping[str, Any]) -> Device:
    """Return the device behind connection info."""
    kinds: dict[str, Any] = {"nfs": ShareFile, "rbd": CephImage, "iscsi": IscsiDisk}
    return kinds[info["driver_volume_type"]](info)  # type: ignore[no-any-return]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
