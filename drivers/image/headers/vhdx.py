# SPDX-License-Identifier: Apache-2.0
"""VHDX: regions, of which one has the metadata with the size of the disk and its parent."""

from __future__ import annotations

import struct
import uuid
from typing import BinaryIO

from oslo_utils import units

from drivers.image.headers.fields import read, require
from drivers.interface.errors import ImageUnacceptable

_REGIONS_AT = 192 * units.Ki
"""Place of the first table of regions, which is the one that QEMU reads."""

_TABLE, _TABLE_MAGIC = struct.Struct("<4sIII"), b"regi"
_REGION = struct.Struct("<16sQII")
_METADATA, _METADATA_MAGIC = struct.Struct("<8sHH20s"), b"metadata"
_ITEM = struct.Struct("<16sIIII")
_ENTRIES_MAX = 2047
_SIZE_MAX = 64 * units.Ti

_METADATA_REGION = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_PARENT = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_HAS_PARENT = 2


def disk_size(file: BinaryIO, label: str) -> int:
    """Return the size of the disk, in bytes.

    :raises ImageUnacceptable: it is damaged, or needs its parent.
    """
    regions = _entries(file, _REGIONS_AT, _TABLE, _TABLE_MAGIC, 2, _REGION, label)
    require(_METADATA_REGION in regions, label)
    at = int(regions[_METADATA_REGION][0])
    items = _entries(file, at, _METADATA, _METADATA_MAGIC, 2, _ITEM, label)
    require({_PARAMETERS, _SIZE} <= items.keys(), label)
    flags = struct.unpack("<II", read(file, at + items[_PARAMETERS][0], 8, label))[1]
    if flags & _HAS_PARENT or _PARENT in items:
        raise ImageUnacceptable(f"{label} needs a parent: it is a differencing VHDX")
    (size,) = struct.unpack("<Q", read(file, at + items[_SIZE][0], 8, label))
    require(0 < size <= _SIZE_MAX and size % 512 == 0, label)
    return int(size)


def _entries(
    file: BinaryIO,
    at: int,
    head: struct.Struct,
    magic: bytes,
    count_field: int,
    entry: struct.Struct,
    label: str,
) -> dict[bytes, tuple[int, ...]]:
    """Return the entries of a table by their ids; each id stands for one of them."""
    fields = head.unpack(read(file, at, head.size, label))
    require(fields[0] == magic and fields[count_field] <= _ENTRIES_MAX, label)
    data = read(file, at + head.size, fields[count_field] * entry.size, label)
    found: dict[bytes, tuple[int, ...]] = {}
    for name, *values in entry.iter_unpack(data):
        require(name not in found, label)
        found[name] = tuple(values)
    return found
