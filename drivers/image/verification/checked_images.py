# SPDX-License-Identifier: Apache-2.0
"""An image service for drivers that copy images by themselves: it checks their data, too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO

from drivers.image.checked_download import checked
from drivers.image.pieces import as_bytes, handed_over
from drivers.interface.image import ImageService
from drivers.interface.pace import Pace

_LONGEST = 1 << 63
"""Bytes of an image whose size the service does not know; a driver has limits of its own."""


class CheckedImages:
    """All methods are those of the service, but downloads fail at data that is not as described.

    :param service: the image service.
    """

    def __init__(self, service: ImageService) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def download(
        self, context: Any, image_id: str, data: BinaryIO | None = None
    ) -> Iterator[bytes] | None:
        """Read an image; see :func:`drivers.image.checked_download.checked`."""
        image = self._service.show(context, image_id)
        pieces = checked(self._service, context, image, _LONGEST, Pace())
        chunks = itertools.chain.from_iterable(map(as_bytes, pieces))
        return handed_over(chunks, data)
