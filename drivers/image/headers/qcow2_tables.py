# SPDX-License-Identifier: Apache-2.0
"""qcow2: refuse an image whose tables lead behind its end, as its end has been cut off.

QEMU reads zeros there. As many entries are read as the disk has clusters, however often the first
table names the same second one.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import BinaryIO

from drivers.image.headers.fields import entries, require_byte, unpacked

_HEADER = struct.Struct(">4xI12xIQ4xIQ")
_FEATURES_AT, _FEATURES = 72, struct.Struct(">Q")
_EXTENDED_L2 = 1 << 4
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED, _ZERO = 1 << 62, 1
_WORD, _ORDER = "Q", "big"


def require_whole(file: BinaryIO, label: str) -> None:
    """Require that all tables and clusters of an image, whose header was checked, are within it.

    :raises ImageUnacceptable: the image is cut off.
    """
    version, bits, size, count, at = unpacked(file, 0, _HEADER, label)
    features = unpacked(file, _FEATURES_AT, _FEATURES, label)[0] if version > 2 else 0
    words = 2 if features & _EXTENDED_L2 else 1
    length = (1 << bits) // 8
    used = min(count, -(-size * words // (length << bits)))
    last = 0
    for table in entries(file, at, used, _WORD, _ORDER, label):
        if table & _OFFSET:
            found = entries(file, table & _OFFSET, length, _WORD, _ORDER, label)
            places = (_place(entry, bits) for entry in islice(found, 0, None, words))
            last = max(last, *places)
    require_byte(file, last, label)


def _place(entry: int, bits: int) -> int:
    """Return the first byte of a cluster; 0 for one without data."""
    if entry & _COMPRESSED:
        return entry & ((1 << (62 - (bits - 8))) - 1)
    return 0 if entry & _ZERO else entry & _OFFSET
