# SPDX-License-Identifier: Apache-2.0
"""Write a volume or a file into an image, and verify that it arrived."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Iterator
from typing import Any, TypeVar

from oslo_utils import units

from drivers.blockio import BlockFile
from drivers.image.hashes.hash_threads import HashThreads
from drivers.image.pieces import as_bytes, length_of, pieces
from drivers.image.sparse_hash import SparseHash
from drivers.interface.errors import ImageCopyFailure
from drivers.interface.image import Hole, Image, ImageService, ImageStatus, Piece, Placement
from drivers.interface.pace import Pace

_AnyPiece = TypeVar("_AnyPiece", bytes, Piece)

_GZIP = 16 + zlib.MAX_WBITS
"""Window of zlib that writes the header of gzip."""

_CHUNK = 4 * units.Mi
"""Bytes that are read from a volume at a time."""


def send(
    service: ImageService,
    context: Any,
    image: Image,
    source: BlockFile,
    pace: Pace,
    placement: Placement,
    *,
    packed: bool = False,
) -> None:
    """Write data into an image without data, and compare it with the service's description.

    :param packed: whether the image is to have the data as gzip packs it.
    :raises ImageCopyFailure: the image does not have the data.
    """
    is_sparse = service.keeps_holes and not packed and _has_holes(source)
    with _Sent(source, pace, is_sparse, packed) as sent:
        if is_sparse:
            known = service.upload_sparse(context, image["id"], sent.pieces(), **placement)
        else:
            known = service.update(context, image["id"], {}, sent.chunks(), **placement)
        with pace.waiting():
            sent.finish()
    arrived = (
        known.get("status") == ImageStatus.ACTIVE
        and known.get("size") in (None, sent.size)
        and known.get(sent.hash_field) in (None, sent.hash.hexdigest())
    )
    if not arrived:
        found = known.get(sent.hash_field)
        text = f"{known.get('status')}, {known.get('size')} bytes, {found}"
        wanted = f"{sent.size} bytes, {sent.hash.hexdigest()}"
        raise ImageCopyFailure(
            f"image {image['id']} did not arrive as it was sent: it has {text}; sent were {wanted}"
        )


def _has_holes(source: BlockFile) -> bool:
    extents = source.data_extents(0, source.size)
    return source.size > 0 and next(extents, None) != (0, source.size)


def _packed(data: Iterator[bytes]) -> Iterator[bytes]:
    """Yield data as gzip packs it, without a name or a time: equal data gives equal images."""
    packer = zlib.compressobj(level=zlib.Z_BEST_SPEED, wbits=_GZIP)
    for chunk in data:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


class _Sent(HashThreads):
    """Reads a volume or file for an image service; counts and hashes the data.

    :param is_sparse: whether the service takes holes; the hash leaves them out, too.
    :param is_packed: whether the data is packed by gzip.
    """

    def __init__(self, source: BlockFile, pace: Pace, is_sparse: bool, is_packed: bool) -> None:
        self.size = 0
        self.hash_field = "os_hash_value" if is_sparse else "checksum"
        self.hash: Any = SparseHash() if is_sparse else hashlib.md5(usedforsecurity=False)
        super().__init__([self.hash])
        self._source = source
        self._pace = pace
        self._is_packed = is_packed

    def pieces(self) -> Iterator[Piece]:
        return self._counted(pieces(self._source, _CHUNK))

    def chunks(self) -> Iterator[bytes]:
        data = itertools.chain.from_iterable(map(as_bytes, pieces(self._source, _CHUNK)))
        return self._counted(_packed(data) if self._is_packed else data)

    def _counted(self, data: Iterator[_AnyPiece]) -> Iterator[_AnyPiece]:
        while True:
            with self._pace.waiting():
                piece = next(data, None)
                if piece is not None:
                    self.update(piece)
            if piece is None:
                return
            self.size += length_of(piece)
            yield piece
            if not isinstance(piece, Hole):
                self._pace.moved(len(piece))
            self._pace.progress(min(1.0, self.size / max(1, self._source.size)))
