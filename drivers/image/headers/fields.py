# SPDX-License-Identifier: Apache-2.0
"""Read fields of a header that may be cut off."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from drivers.interface.errors import ImageUnacceptable


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
