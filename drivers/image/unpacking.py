# SPDX-License-Identifier: Apache-2.0
"""Unpack images in the container format ``compressed``, while they come.

Each member of the data is unpacked in small pieces, so that data which unpacks to more than it
may takes neither memory nor room.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from oslo_utils import units

from drivers.image.pieces import as_bytes
from drivers.interface.errors import ImageUnacceptable
from drivers.interface.image import Piece

_CHUNK = 4 * units.Mi
_STEP = 16 * units.Ki
"""Bytes that zlib is given at a time: it copies the rest of them at the end of each member."""

WINDOW = 16 + zlib.MAX_WBITS
"""Window of zlib that reads the header and the checksum of gzip."""


def unpacked(packed: Iterator[Piece], label: str, limit: int) -> Iterator[bytes]:
    """Yield the data that gzip has packed.

    :param limit: number of bytes that it may have.
    :raises ImageUnacceptable: it has more, is damaged, or ends in the middle.
    """
    member, done = _Member(), 0
    for piece in packed:
        for data in _steps(piece):
            try:
                for chunk in member.unpack(data):
                    done += len(chunk)
                    if done > limit:
                        raise ImageUnacceptable(f"{label} unpacks to more than {limit} bytes")
                    yield chunk
            except zlib.error as error:
                raise ImageUnacceptable(f"{label} is not packed by gzip: {error}") from error
    if not member.at_end:
        raise ImageUnacceptable(f"{label} is cut off: its gzip data has no end")


def _steps(piece: Piece) -> Iterator[bytes]:
    for data in as_bytes(piece):
        for at in range(0, len(data), _STEP):
            yield data[at : at + _STEP]


class _Member:
    """A member of gzip data, followed by others, or by zeros to the end."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(WINDOW)
        self._has_more = False
        self.at_end = False

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data or self._has_more:
            if self.at_end:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._zlib, self.at_end = zlib.decompressobj(WINDOW), False
            chunk = self._zlib.decompress(data, _CHUNK)
            if chunk:
                yield chunk
            self.at_end = self._zlib.eof
            self._has_more = len(chunk) == _CHUNK and not self.at_end
            data = self._zlib.unused_data if self.at_end else self._zlib.unconsumed_tail
