# SPDX-License-Identifier: Apache-2.0
"""Write a volume or a file into an image, and verify that it arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from oslo_utils import units

from drivers.blockio import BlockFile
from drivers.interface.errors import ImageCopyFailure
from drivers.interface.image import Image, ImageService, ImageStatus, Placement
from drivers.interface.pace import Pace

_CHUNK = 4 * units.Mi
"""Bytes that are read from a volume at a time."""


def send(
    service: ImageService,
    context: Any,
    image: Image,
    source: BlockFile,
    pace: Pace,
    placement: Placement,
) -> None:
    """Write data into an image without data, and compare it with the service's description.

    :raises ImageCopyFailure: the image does not have the data.
    """
    sent = _Sent(source, pace)
    known = service.update(context, image["id"], {}, sent.chunks(), **placement)
    wrong = known.get("checksum") not in (None, sent.md5.hexdigest())
    if (
        known.get("status") != ImageStatus.ACTIVE
        or wrong
        or known.get("size") not in (None, sent.size)
    ):
        text = f"{known.get('status')}, {known.get('size')} bytes, {known.get('checksum')}"
        wanted = f"{sent.size} bytes, {sent.md5.hexdigest()}"
        raise ImageCopyFailure(f"image {image['id']} did not arrive: it is {text}; {wanted}")


class _Sent:
    """Reads a volume or file for an image service; counts and hashes the data."""

    def __init__(self, source: BlockFile, pace: Pace) -> None:
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._source = source
        self._pace = pace

    def chunks(self) -> Iterator[bytes]:
        while True:
            with self._pace.waiting():
                chunk = self._source.read(self.size, _CHUNK)
                self.md5.update(chunk)
            if not chunk:
                return
            self.size += len(chunk)
            yield chunk
            self._pace.tell(min(1.0, self.size / max(1, self._source.size)))
