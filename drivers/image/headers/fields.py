# SPDX-License-Identifier: Apache-2.0
"""Read fields of a header that may be cut off."""

from __future__ import annotations

import os
import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any, BinaryIO

from oslo_utils import units

from drivers.interface.errors import ImageUnacceptable

_TOGETHER = 64 * units.Ki
"""Bytes of a table that are read at a time."""


class HeaderIncomplete(Exception):
    """A field that is read is not there yet."""


class ImageBegin:
    """The begin of an image whose rest has not come yet, to be read as a file.

    :param file: with all that has come.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seek(self, at: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place. :raises HeaderIncomplete: it is the end."""
        if whence != os.SEEK_SET:
            raise HeaderIncomplete
        return self._file.seek(at)

    def read(self, length: int) -> bytes:
        """Read exactly this many bytes. :raises HeaderIncomplete: there are less."""
        data = self._file.read(length)
        if len(data) < length:
            raise HeaderIncomplete
        return data


def read(file: BinaryIO, at: int, length: int, label: str) -> bytes:
    """Read exactly this many bytes. :raises ImageUnacceptable: the image ends before."""
    try:
        file.seek(at)
        data = file.read(length)
    except (OSError, OverflowError, ValueError) as error:
        raise ImageUnacceptable(f"{label} has no byte {at}") from error
    if len(data) < length:
        raise ImageUnacceptable(f"{label} is cut off in its header")
    return data


def unpacked(file: BinaryIO, at: int, fields: struct.Struct, label: str) -> tuple[Any, ...]:
    """Read fields. :raises ImageUnacceptable: the image ends before."""
    return fields.unpack(read(file, at, fields.size, label))


def require(sensible: bool, label: str) -> None:
    """:raises ImageUnacceptable: a field has a value that no program writes."""
    if not sensible:
        raise ImageUnacceptable(f"{label} has a header that makes no sense")


def entries(
    file: BinaryIO, at: int, count: int, kind: str, byteorder: str, label: str
) -> Iterator[int]:
    """Yield the entries of a table. :raises ImageUnacceptable: the image ends before the table.

    :param kind: of an entry, as for ``array``.
    """
    size, at_once = array(kind).itemsize, _TOGETHER // array(kind).itemsize
    for first in range(0, count, at_once):
        length = size * min(at_once, count - first)
        part = array(kind, read(file, at + size * first, length, label))
        if byteorder != sys.byteorder:
            part.byteswap()
        yield from part


def require_byte(file: BinaryIO, place: int, label: str) -> None:
    """:raises ImageUnacceptable: the image ends before a byte to which its tables lead."""
    if place >= file.seek(0, os.SEEK_END):
        raise ImageUnacceptable(f"{label} is cut off: it has no byte {place}")
