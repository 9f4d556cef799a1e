# SPDX-License-Identifier: Apache-2.0
"""VHD: a dynamic disk, which begins with its footer, or a fixed one, which ends with it.

A differencing disk needs its parent. QEMU would read it as a dynamic one, with zeros in place of
the parent's data. The disk is as large as the footer says (``current_size`` of QEMU).
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from oslo_utils import units

from drivers.image.headers.fields import read, require, unpacked
from drivers.interface.errors import ImageUnacceptable

_SECTOR = 512
_MAGIC, _TABLE_MAGIC = b"conectix", b"cxsparse"
_FOOTER = struct.Struct(">8s2IQI4s2H4s2QHBBII")
_CHECKSUM_AT = 64
_TABLE = struct.Struct(">8s2QIII")
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_SIZE_MAX = 2040 * units.Gi
"""Bytes of a disk, as for QEMU."""


def disk_size(file: BinaryIO, label: str) -> int:
    """Return the size of the disk, in bytes.

    :raises ImageUnacceptable: it is damaged, or needs its parent.
    """
    if read(file, 0, len(_MAGIC), label) == _MAGIC:
        kind, size, place = _footer(read(file, 0, _SECTOR, label), label)
        if kind == _DIFFERENCING:
            raise ImageUnacceptable(f"{label} needs a parent: it is a differencing VHD")
        require(kind == _DYNAMIC, label)
        _check_table(file, place, size, label)
        return size
    length = file.seek(0, os.SEEK_END)
    footer = read(file, max(0, length - _SECTOR), _SECTOR, label)
    if not footer.startswith(_MAGIC):
        raise ImageUnacceptable(f"{label} is said to be vhd, but it is raw, or cut off at its end")
    kind, size, _ = _footer(footer, label)
    require(kind == _FIXED and size <= length - _SECTOR, label)
    return size


def _footer(data: bytes, label: str) -> tuple[int, int, int]:
    """Check a footer; return the kind of disk, its size, and the place of its table."""
    fields = _FOOTER.unpack_from(data)
    place, size, kind, checksum = fields[3], fields[10], fields[14], fields[15]
    others = sum(data) - sum(data[_CHECKSUM_AT : _CHECKSUM_AT + 4])
    require(checksum == ~others & 0xFFFFFFFF, label)
    require(0 < size <= _SIZE_MAX and size % _SECTOR == 0, label)
    return int(kind), int(size), int(place)


def _check_table(file: BinaryIO, place: int, size: int, label: str) -> None:
    magic, _, _, _, entries, block = unpacked(file, place, _TABLE, label)
    require(magic == _TABLE_MAGIC, label)
    require(block >= _SECTOR and block & (block - 1) == 0 and entries * block >= size, label)
