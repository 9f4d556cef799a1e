# SPDX-License-Identifier: Apache-2.0
"""ploop, the format of Parallels and Virtuozzo: one file, which names no other one."""

from __future__ import annotations

import struct
from typing import BinaryIO

from drivers.image.headers.fields import entries, require, require_byte, unpacked

_HEADER = struct.Struct("<16s5IQ")
_OLD, _MAGICS = b"WithoutFreeSpace", (b"WithoutFreeSpace", b"WithouFreSpacExt")
_VERSION = 2
_SECTOR, _TABLE_AT = 512, 64


def disk_size(file: BinaryIO, label: str) -> int:
    """Return the size of the disk, in bytes. :raises ImageUnacceptable: it is damaged."""
    magic, version, _, _, cluster, entries, sectors = unpacked(file, 0, _HEADER, label)
    if magic == _OLD:
        sectors &= 0xFFFFFFFF
    require(magic in _MAGICS and version == _VERSION, label)
    require(0 < sectors <= entries * cluster, label)
    return int(sectors) * _SECTOR


def require_whole(file: BinaryIO, label: str) -> None:
    """Require that all clusters of an image, whose header was checked, are within it.

    :raises ImageUnacceptable: the image is cut off.
    """
    magic, _, _, _, cluster, count, _ = unpacked(file, 0, _HEADER, label)
    last = max(entries(file, _TABLE_AT, count, "I", "little", label), default=0)
    require_byte(file, last * (1 if magic == _OLD else cluster) * _SECTOR, label)
