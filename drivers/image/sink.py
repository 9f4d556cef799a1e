# SPDX-License-Identifier: Apache-2.0
"""Replace a volume's data by an image's, from its first byte to its last."""

from __future__ import annotations

import errno
import os

from oslo_utils import units

from drivers.blockio import BlockFile

_ZEROED_TOGETHER = 64 * units.Mi


class ImageSink:
    """Writes data to a volume in order; after :meth:`finish` it holds nothing else.

    :param size: of the volume, in bytes; a device may be longer.
    """

    def __init__(self, volume: BlockFile, size: int) -> None:
        self._volume = volume
        self._size = size
        self._at = 0
        self.is_zero = volume.discard()
        """Whether the old data is gone, so that zeros need not be written."""

    def write(self, data: bytes) -> None:
        """Write further data. :raises OSError: it does not fit, or the disk failed."""
        if self._at + len(data) > self._size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.is_zero:
            self._volume.write_data(self._at, data)
        else:
            self._volume.write(self._at, data)
        self._at += len(data)

    def skip(self, length: int) -> None:
        """Skip data that was written to the volume by other means."""
        self._at += length

    def finish(self) -> None:
        """Write zeros over old data behind the image, and flush everything to the disk."""
        while not self.is_zero and self._at < self._size:
            length = min(_ZEROED_TOGETHER, self._size - self._at)
            self._volume.zero(self._at, length)
            self._at += length
        self._volume.flush()
