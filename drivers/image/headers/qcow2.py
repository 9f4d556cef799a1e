# SPDX-License-Identifier: Apache-2.0
"""qcow2: refuse images that name other files, such as a backing file or a data file."""

from __future__ import annotations

import struct
from typing import BinaryIO

from oslo_utils import units

from drivers.image.headers.fields import require
from drivers.interface.errors import ImageUnacceptable

_HEAD = 64 * units.Ki
_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_EXTENSION = struct.Struct(">II")
_DATA_FILE_NAME = 0x44415441

_DIRTY, _COMPRESSION, _EXTENDED_L2 = 1 << 0, 1 << 3, 1 << 4
_HARMLESS = _DIRTY | _COMPRESSION | _EXTENDED_L2
_CLUSTER_BITS = range(9, 22)
_L1_MAX = 32 * units.Mi
"""Bytes that the first table of a qcow2 image may have, as for QEMU."""


def disk_size(file: BinaryIO, label: str) -> int:
    """Return the size of the disk, in bytes.

    :raises ImageUnacceptable: the header is damaged, or leads out of the image.
    """
    file.seek(0)
    try:
        return _disk_size(file.read(_HEAD), label)
    except struct.error as error:
        raise ImageUnacceptable(f"{label} is cut off in its header") from error


def _disk_size(head: bytes, label: str) -> int:
    (_, version, backing, _, cluster_bits, size, crypt, l1_size, *_rest) = _V2.unpack_from(head)
    if version not in (2, 3):
        raise ImageUnacceptable(f"{label} is qcow2 of version {version}, not 2 or 3")
    if backing:
        raise ImageUnacceptable(f"{label} has a backing file: make it one of its own, see qemu-img")
    if crypt:
        raise ImageUnacceptable(f"{label} is encrypted")
    require(cluster_bits in _CLUSTER_BITS and l1_size * 8 <= _L1_MAX, label)
    if version == 3:
        _check_features(head, label)
    return int(size)


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
