# SPDX-License-Identifier: Apache-2.0
"""Detect the format of a file without a program that its content could exploit.

A qcow2 image may name other files of the host as its backing file or its data file;
QEMU would read them. Such an image is refused before any of QEMU's tools sees it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from oslo_utils import units

from drivers.disk_formats import HEAD, recognised
from drivers.interface.errors import ImageUnacceptable

__all__ = ["HEAD", "Qcow2", "qcow2", "recognised", "require"]

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_EXTENSION = struct.Struct(">II")
_DATA_FILE_NAME = 0x44415441

_DIRTY, _COMPRESSION, _EXTENDED_L2 = 1 << 0, 1 << 3, 1 << 4
_HARMLESS = _DIRTY | _COMPRESSION | _EXTENDED_L2
_CLUSTER_BITS = range(9, 22)
_L1_MAX = 32 * units.Mi
"""Bytes that the first table of a qcow2 image may have, as for QEMU."""


@dataclass(frozen=True)
class Qcow2:
    """A qcow2 image that may be converted.

    :param virtual_size: of the disk in it, in bytes.
    """

    virtual_size: int


def require(head: bytes, declared: str, label: str) -> None:
    """Refuse an image of another format than its metadata names.

    :raises ImageUnacceptable: names both formats.
    """
    found = recognised(head)
    if found != declared:
        raise ImageUnacceptable(f"{label} is said to be {declared}, but it is {found}")


def qcow2(file: BinaryIO, label: str) -> Qcow2:
    """Check the header of a qcow2 image.

    :raises ImageUnacceptable: it is none, or one that leads out of itself.
    """
    head = file.read(64 * 1024)
    require(head, "qcow2", label)
    try:
        return _qcow2(head, label)
    except struct.error as error:
        raise ImageUnacceptable(f"{label} is cut off in its header") from error


def _qcow2(head: bytes, label: str) -> Qcow2:
    (_, version, backing, _, cluster_bits, size, crypt, l1_size, *_rest) = _V2.unpack_from(head)
    if version not in (2, 3):
        raise ImageUnacceptable(f"{label} is qcow2 of version {version}, not 2 or 3")
    if backing:
        raise ImageUnacceptable(f"{label} has a backing file: make it one of its own, see qemu-img")
    if crypt:
        raise ImageUnacceptable(f"{label} is encrypted")
    if cluster_bits not in _CLUSTER_BITS or l1_size * 8 > _L1_MAX:
        raise ImageUnacceptable(f"{label} has a header that makes no sense")
    if version == 3:
        _check_features(head, label)
    return Qcow2(size)


def _check_features(head: bytes, label: str) -> None:
    incompatible, _, _, _, length = _V3.unpack_from(head, _V2.size)
    if incompatible & ~_HARMLESS:
        text = "keeps its data in another file, is damaged, or needs an unknown feature"
        raise ImageUnacceptable(f"{label} {text} (features {incompatible:#x})")
    at = length
    while True:
        kind, size = _EXTENSION.unpack_from(head, at)
        if kind == _DATA_FILE_NAME:
            raise ImageUnacceptable(f"{label} names another file for its data")
        if kind == 0:
            return
        at += _EXTENSION.size + -(-size // 8) * 8
