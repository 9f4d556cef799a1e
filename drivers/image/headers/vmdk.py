# SPDX-License-Identifier: Apache-2.0
"""VMDK: one file with the whole disk, and a descriptor that names no other one.

A descriptor may list extents in other files, and a parent. QEMU opens the parent wherever its
name stands in the descriptor, and the extents where the header has no capacity. VMware exports
streams whose header is completed by a footer at their end.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Collection
from typing import BinaryIO

from oslo_utils import units

from drivers.image.headers.fields import entries, read, require, require_byte, unpacked
from drivers.interface.errors import ImageUnacceptable

MAGIC = b"KDMV"
_SECTOR = 512
_HEADER = struct.Struct("<4s2I4QI3QB4sH")
_MARKER = struct.Struct("<QII")
_AT_END = 0xFFFFFFFFFFFFFFFF
"""Place of the grain directory where only the footer has it."""

_FOOTER_TYPE, _END_TYPE = 3, 0
_NO_PARENT = "ffffffff"
_DESCRIPTOR_MAX = 20
"""Sectors in which QEMU looks for the descriptor, from the second one of the file."""

_GRAIN_MAX, _CAPACITY_MAX = 64 * units.Mi // _SECTOR, 1 << 54
_ENTRY = "I", "little"
_VERSIONS = (1, 2, 3)
_EXTENT = re.compile(r'(RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)\s+"([^"]*)"(\s+\d+)?')
_SETTING = re.compile(r"[\w.:]+\s*=.*")


def disk_size(file: BinaryIO, label: str, types: Collection[str], *, is_whole: bool = True) -> int:
    """Return the size of the disk, in bytes.

    :param types: values of createType that are allowed.
    :param is_whole: whether the end is there, which may have a footer.
    :raises ImageUnacceptable: it is damaged, of another type, or leads out of itself.
    """
    if read(file, 0, len(MAGIC), label) != MAGIC:
        raise ImageUnacceptable(f"{label} is a VMDK that keeps its data in other files")
    capacity, directory = _header(file, 0, label)
    _check_descriptor(_descriptor(file, label), types, label)
    if directory == _AT_END and is_whole:
        _check_footer(file, capacity, label)
    return capacity * _SECTOR


def require_whole(file: BinaryIO, label: str) -> None:
    """Require that all grains of an image, whose headers were checked, are within it.

    :raises ImageUnacceptable: the image is cut off.
    """
    fields = unpacked(file, 0, _HEADER, label)
    if fields[9] == _AT_END:
        fields = unpacked(file, _footer_at(file), _HEADER, label)
    capacity, grain, count, directory = fields[3], fields[4], fields[7], fields[9]
    tables = entries(file, directory * _SECTOR, -(-capacity // (grain * count)), *_ENTRY, label)
    last = 0
    for table in filter(None, tables):
        last = max(last, *entries(file, table * _SECTOR, count, *_ENTRY, label))
    require_byte(file, last * _SECTOR, label)


def _header(file: BinaryIO, at: int, label: str) -> tuple[int, int]:
    """Check a header; return the sectors of the disk and the place of the grain directory."""
    fields = unpacked(file, at, _HEADER, label)
    magic, version, _flags, capacity, grain, descriptor, length, count = fields[:8]
    require(magic == MAGIC and version in _VERSIONS, label)
    require(0 < capacity < _CAPACITY_MAX and 0 < grain <= _GRAIN_MAX, label)
    require(0 < count <= _SECTOR, label)
    if descriptor != 1 or not length:
        raise ImageUnacceptable(f"{label} is a part of a VMDK: it has no descriptor of its own")
    return int(capacity), int(fields[9])


def _check_footer(file: BinaryIO, capacity: int, label: str) -> None:
    at = _footer_at(file)
    if at < 2 * _SECTOR:
        raise ImageUnacceptable(f"{label} is cut off: its footer is missing")
    markers = (at - _SECTOR, at + _SECTOR)
    before, behind = (unpacked(file, place, _MARKER, label) for place in markers)
    if before[1:] != (0, _FOOTER_TYPE) or behind != (0, 0, _END_TYPE):
        raise ImageUnacceptable(f"{label} is cut off: its footer is missing")
    found, directory = _header(file, at, label)
    require(found == capacity and directory != _AT_END, label)


def _footer_at(file: BinaryIO) -> int:
    """Return the place of the footer: the last sector but one, between two markers."""
    return file.seek(0, os.SEEK_END) - 2 * _SECTOR


def _descriptor(file: BinaryIO, label: str) -> str:
    length = int(_HEADER.unpack(read(file, 0, _HEADER.size, label))[6])
    file.seek(_SECTOR)
    data = file.read(_DESCRIPTOR_MAX * _SECTOR)
    text, _, _ = data.partition(b"\0")
    require(len(text) <= length * _SECTOR and len(text) < len(data), label)
    try:
        return text.decode("ascii")
    except UnicodeDecodeError as error:
        raise ImageUnacceptable(f"{label} has a descriptor that is no text") from error


def _check_descriptor(text: str, types: Collection[str], label: str) -> None:
    extents: list[re.Match[str]] = []
    known: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if extent := _EXTENT.fullmatch(line):
            extents.append(extent)
        elif _SETTING.fullmatch(line):
            name, _, value = line.partition("=")
            known.setdefault(name.strip().lower(), value.strip().strip('"'))
        elif not line.startswith("#"):
            raise ImageUnacceptable(f"{label} has a descriptor with the line {line!r:.80}")
    if "parentfilenamehint" in text.lower() or known.get("parentcid", _NO_PARENT) != _NO_PARENT:
        raise ImageUnacceptable(f"{label} needs a parent: make it a disk of its own, see qemu-img")
    kind = known.get("createtype", "")
    if kind not in types:
        text = f"is a VMDK of the type {kind:.80}, not {' or '.join(types) or 'any'}"
        raise ImageUnacceptable(f"{label} {text} (vmdk_allowed_types)")
    if len(extents) != 1 or extents[0][2] != "SPARSE" or "/" in extents[0][3]:
        raise ImageUnacceptable(f"{label} is a VMDK that keeps its data in other files")
