# SPDX-License-Identifier: Apache-2.0
"""Replace a volume's data by an image's, from its first byte to its last."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from drivers import block_copy
from drivers.blockio import BlockFile
from drivers.image.pieces import length_of
from drivers.interface.errors import ImageSignatureVerificationException
from drivers.interface.image import Hole, Piece
from drivers.interface.pace import Pace


class ImageSink:
    """Writes data to a volume in order; after :meth:`finish` it holds nothing else.

    :param size: of the volume, in bytes; a device may be longer, and reads as zeros there.
    """

    def __init__(self, volume: BlockFile, size: int) -> None:
        self._volume = volume
        self._size = size
        self._at = 0
        self.is_zero = volume.discard()
        """Whether the old data is gone, so that zeros need not be written."""

    def write(self, piece: Piece) -> None:
        """Write further data. :raises OSError: it does not fit, or the disk failed."""
        length = length_of(piece)
        if self._at + length > self._size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if isinstance(piece, Hole):
            if not self.is_zero:
                self._volume.clear(self._at, length)
        elif self.is_zero:
            self._volume.write_data(self._at, piece)
        else:
            self._volume.write(self._at, piece)
        self._at += length

    def skip(self, length: int) -> None:
        """Skip data that was written to the volume by other means."""
        self._at += length

    def remove(self, pace: Pace) -> None:
        """Write zeros over the data of the image, and flush them to the disk."""
        block_copy.clear(0, self._at, self._volume, pace)
        with pace.waiting():
            self._volume.flush()

    def finish(self, pace: Pace) -> None:
        """Erase old data behind the image, and flush everything to the disk."""
        if not self.is_zero:
            block_copy.erase_from(self._at, self._volume, pace)
        with pace.waiting():
            self._volume.flush()


def stream(data: Iterator[Piece], volume: BlockFile, size: int, pace: Pace) -> None:
    """Write an image's data over a volume, and none of it where its signature is wrong.

    :param size: of the volume, in bytes.
    """
    with pace.waiting():
        sink = ImageSink(volume, size)
    try:
        for piece in data:
            with pace.waiting():
                sink.write(piece)
    except ImageSignatureVerificationException:
        sink.remove(pace)
        raise
    sink.finish(pace)
