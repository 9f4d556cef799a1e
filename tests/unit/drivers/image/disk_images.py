# SPDX-License-Identifier: Apache-2.0
"""Images of each format, as programs write them, and transports that read them."""

from __future__ import annotations

import gzip
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from drivers.image.directory import DirectoryImages
from drivers.image.image_transfer import ImageTransport
from drivers.image.qemu_img import ConversionLimits
from drivers.interface.pace import Pace
from tests.conformance.places import require_programs

MIB = 1024**2
SIZE = 8 * MIB
"""Bytes of the volume."""

DISK = b"disk" * (MIB // 4) + bytes(MIB) + b"end." * 128
"""A disk in an image."""

_AT_END = struct.pack("<Q", (1 << 64) - 1)

WRITTEN = {
    "qcow2": ("qcow2", "qcow2", ""),
    "vmdk": ("vmdk", "vmdk", "subformat=monolithicSparse"),
    "vmdk stream": ("vmdk", "vmdk", "subformat=streamOptimized"),
    "vhd": ("vhd", "vpc", "subformat=dynamic,force_size=on"),
    "vhd fixed": ("vhd", "vpc", "subformat=fixed,force_size=on"),
    "vhdx": ("vhdx", "vhdx", "subformat=dynamic"),
    "vdi": ("vdi", "vdi", ""),
    "ploop": ("ploop", "parallels", ""),
}
"""By a name: Glance's name of the format, QEMU's name, and its options."""


class Place:
    """A directory with an image service and a volume that is full of old data."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.images = DirectoryImages(SimpleNamespace(image_directory=str(path / "images")))
        limits = ConversionLimits()
        self.transport = ImageTransport(self.images, path / "aside", limits, **options)
        self.volume = path / "volume"
        self.volume.write_bytes(b"old!" * (SIZE // 4))

    def fetch(self, data: bytes, disk_format: str, **known: Any) -> bytes:
        """Write an image into the volume; return the volume's data."""
        (self.path / "data").write_bytes(data)
        with (self.path / "data").open("rb") as file:
            image = self.images.create(None, {"disk_format": disk_format, **known}, file)
        with self.volume.open("r+b", buffering=0) as file:
            self.transport.fetch(None, image, file, SIZE, "v1", Pace())
        return self.volume.read_bytes()

    def written(self, name: str, disk: bytes = DISK) -> bytes:
        """Return a disk as qemu-img writes it in a format."""
        _, program_name, options = WRITTEN[name]
        return self.converted(program_name, options, disk)

    def converted(self, program_name: str, options: str, disk: bytes = DISK) -> bytes:
        """Return a disk as qemu-img writes it with options."""
        require_programs("qemu-img")
        source, target = self.path / "source", self.path / "target"
        source.write_bytes(disk)
        command = ["qemu-img", "convert", "-f", "raw", "-O", program_name]
        command += ["-o", options] if options else []
        subprocess.run([*command, source, target], check=True, capture_output=True)
        return target.read_bytes()


def patched(at: int, data: bytes) -> Callable[[bytes], bytes]:
    """Return a function that puts data into an image at a place; below 0 from its end."""

    def patch(image: bytes) -> bytes:
        begin = at if at >= 0 else len(image) + at
        return image[:begin] + data + image[begin + len(data) :]

    return patch


def with_footer(image: bytes) -> bytes:
    """Return a VMDK as VMware exports it: a footer has the place of the grain directory."""
    marker, header = struct.pack("<QII", 1, 0, 3), image[:512]
    end = marker.ljust(512, b"\0") + header + bytes(512)
    return patched(56, _AT_END)(image) + end


def vhd_summed(image: bytes, at: int) -> bytes:
    """Return a VHD whose footer at a place has the checksum of its content."""
    begin = at if at >= 0 else len(image) + at
    footer = bytearray(image[begin : begin + 512])
    footer[64:68] = bytes(4)
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    return patched(begin, bytes(footer))(image)


def packed(data: bytes) -> bytes:
    """Return data as gzip packs it."""
    return gzip.compress(data, 1)
