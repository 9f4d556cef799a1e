# SPDX-License-Identifier: Apache-2.0
"""Formats of images that become volumes, and the checks before a program reads one.

An image may name other files of the host, as its backing file or its data; QEMU would read
them. Such an image is refused before any of QEMU's tools sees it, and so is one of another format
than its metadata names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import BinaryIO, cast

from drivers.disk_formats import HEAD, recognised
from drivers.image.headers import ploop, qcow2, qcow2_tables, vdi, vhd, vhdx, vmdk
from drivers.image.headers.fields import HeaderIncomplete, ImageBegin
from drivers.interface.errors import ImageUnacceptable

__all__ = [
    "HEAD",
    "begun_disk_size",
    "disk_size",
    "recognised",
    "require",
    "require_begin",
    "require_fits",
    "require_whole",
]

RAW, PACKED = "raw", "compressed"
"""A disk as it is; the container format of an image that gzip packed as a whole."""

_GZIP = b"\x1f\x8b"

_VMDK, _VPC = "vmdk", "vpc"

_SHOWN: dict[str, tuple[str, ...]] = {
    "raw": (RAW,),
    "iso": (RAW,),
    "ami": (RAW, "qcow2"),
    "qcow2": ("qcow2",),
    "vmdk": (_VMDK,),
    "vhd": (_VPC, RAW),  # a fixed one is recognised by its end
    "vhdx": ("vhdx",),
    "vdi": ("vdi",),
    "ploop": ("parallels",),
}
"""By Glance's name of a format: what the first bytes may show, by QEMU's names."""

_DISK_SIZES: dict[str, Callable[[BinaryIO, str], int]] = {
    "qcow2": qcow2.disk_size,
    "vhdx": vhdx.disk_size,
    "vdi": vdi.disk_size,
    "parallels": ploop.disk_size,
    _VPC: vhd.disk_size,
}

CONVERTED = frozenset(_SHOWN) - {"raw", "iso", "ami"}
"""Formats that are never raw data, by Glance's names."""

_WHOLE: dict[str, Callable[[BinaryIO, str], None]] = {
    "qcow2": qcow2_tables.require_whole,
    "vdi": vdi.require_whole,
    "parallels": ploop.require_whole,
    _VMDK: vmdk.require_whole,
}
"""Formats of which QEMU reads zeros behind the end of the file."""

AS_IT_IS = ("raw", "iso")
"""Formats whose data is the disk, by Glance's names."""

READ = frozenset(_SHOWN)
"""Formats that are read, by Glance's names."""


def require_begin(head: bytes, declared: str, container: str | None, label: str) -> None:
    """Refuse data that is not as its metadata says, by its first bytes.

    :raises ImageUnacceptable: it is of another format, or not packed.
    """
    if container != PACKED:
        require(head, declared, label)
    elif not head.startswith(_GZIP):
        raise ImageUnacceptable(f"{label} is said to be packed by gzip, but it is not")


def require(head: bytes, declared: str, label: str) -> str:
    """Refuse a disk of another format than its metadata names.

    :returns: the format by QEMU's name.
    :raises ImageUnacceptable: names both formats.
    """
    found = recognised(head)
    if found not in _SHOWN.get(declared, ()):
        raise ImageUnacceptable(f"{label} is said to be {declared}, but it is {found}")
    return _VPC if declared == "vhd" else found


def disk_size(
    file: BinaryIO, program_name: str, label: str, vmdk_types: Collection[str] = ()
) -> int:
    """Check the header of an image that is not raw; return the size of the disk, in bytes.

    :param program_name: of the format, for qemu-img.
    :param vmdk_types: kinds of VMDK that are allowed.
    :raises ImageUnacceptable: it is of another format, or leads out of itself.
    """
    if program_name == _VMDK:
        return vmdk.disk_size(file, label, vmdk_types)
    return _DISK_SIZES[program_name](file, label)


def require_whole(file: BinaryIO, program_name: str, label: str) -> None:
    """Require that nothing was cut off an image whose header was checked.

    :raises ImageUnacceptable: its tables lead behind its end.
    """
    if program_name in _WHOLE:
        _WHOLE[program_name](file, label)


def begun_disk_size(
    file: BinaryIO, program_name: str, label: str, vmdk_types: Collection[str] = ()
) -> int | None:
    """Check the header of an image like :func:`disk_size`, while only its begin is there.

    :returns: None where the header is not complete yet.
    :raises ImageUnacceptable: likewise.
    """
    begin = cast(BinaryIO, ImageBegin(file))
    try:
        if program_name == _VMDK:
            return vmdk.disk_size(begin, label, vmdk_types, is_whole=False)
        return _DISK_SIZES[program_name](begin, label)
    except HeaderIncomplete:
        return None


def require_fits(disk: int, size: int, label: str) -> None:
    """Require that a disk is not larger than the volume. :raises ImageUnacceptable: it is."""
    if disk > size:
        text = f"holds a disk of {disk} bytes, the volume has {size}"
        raise ImageUnacceptable(f"{label} {text}")
