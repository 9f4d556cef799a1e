# SPDX-License-Identifier: Apache-2.0
"""VDI: a dynamic or fixed disk without a parent or a link to another image."""

from __future__ import annotations

import struct
from typing import BinaryIO

from oslo_utils import units

from drivers.image.headers.fields import require, require_byte, unpacked
from drivers.interface.errors import ImageUnacceptable

_HEADER = struct.Struct("<64xI8xI280xI4xQI4xI4x32x16s16s")
_DATA = struct.Struct("<344xI40xI")
"""The place of the data, and the number of blocks there."""

_SIGNATURE = 0xBEDA107F
_KINDS = (1, 2)
_SECTOR, _BLOCK = 512, units.Mi
_NONE = bytes(16)


def disk_size(file: BinaryIO, label: str) -> int:
    """Return the size of the disk, in bytes.

    :raises ImageUnacceptable: it is damaged, or needs another image.
    """
    fields = unpacked(file, 0, _HEADER, label)
    signature, kind, sector, size, block, blocks, link, parent = fields
    require(signature == _SIGNATURE, label)
    if kind not in _KINDS or link != _NONE or parent != _NONE:
        raise ImageUnacceptable(f"{label} needs another image: it is no VDI of its own")
    require(sector == _SECTOR and block == _BLOCK and 0 < size <= blocks * block, label)
    return -(-int(size) // _SECTOR) * _SECTOR


def require_whole(file: BinaryIO, label: str) -> None:
    """Require that all blocks of an image, whose header was checked, are within it.

    :raises ImageUnacceptable: the image is cut off.
    """
    at, blocks = unpacked(file, 0, _DATA, label)
    require_byte(file, at + blocks * _BLOCK - 1, label)
