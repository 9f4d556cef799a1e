# SPDX-License-Identifier: Apache-2.0
"""Look at the begin of an image before its volume exists: its format, and the size of its disk."""

from __future__ import annotations

import io
import zlib
from collections.abc import Collection
from typing import Any

from oslo_utils import units

from drivers.image import formats
from drivers.image.unpacking import WINDOW
from drivers.interface.errors import ImageUnacceptable
from drivers.interface.image import Image, ImageService

_LENGTH = 64 * units.Ki
"""Bytes that have the header of most formats."""

_LENGTHS = {"vhdx": 4 * units.Mi}
"""The same for others, by Glance's names."""


def check(
    service: ImageService, context: Any, image: Image, size: int, vmdk_types: Collection[str]
) -> None:
    """Refuse an image that is of another format than it says, or whose disk is too large.

    It is checked once more when it is read as a whole. Of raw data nothing is read.

    :param size: of the volume, in bytes.
    :param vmdk_types: kinds of VMDK that are allowed.
    :raises ImageUnacceptable: has the reason.
    """
    label, declared = f"image {image['id']}", image["disk_format"]
    is_packed = image.get("container_format") == formats.PACKED
    if declared in formats.AS_IT_IS and not is_packed:
        return
    length = _LENGTHS.get(declared, _LENGTH)
    data = service.begin(context, image["id"], length)
    formats.require_begin(data[: formats.HEAD], declared, image.get("container_format"), label)
    if is_packed:
        data = _unpacked(data, length, label)
        if len(data) < formats.HEAD:
            return  # the first member of the package is a short one
    found = formats.require(data[: formats.HEAD], declared, label)
    if found != formats.RAW:
        disk = formats.begun_disk_size(io.BytesIO(data), found, label, vmdk_types)
        formats.require_fits(disk or 0, size, label)


def _unpacked(data: bytes, length: int, label: str) -> bytes:
    try:
        return zlib.decompressobj(WINDOW).decompress(data, length)
    except zlib.error as error:
        raise ImageUnacceptable(f"{label} is not packed by gzip: {error}") from error
