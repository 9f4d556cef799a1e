# SPDX-License-Identifier: Apache-2.0
"""Read an image, and compare its format, length and hash with its description."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from drivers.image import formats, sparse_hash
from drivers.image.hashes.hash_threads import HashThreads
from drivers.image.pieces import length_of
from drivers.interface.errors import ImageCopyFailure, ImageUnacceptable
from drivers.interface.image import Hole, Image, ImageService, Piece
from drivers.interface.pace import Pace


def checked(
    service: ImageService, context: Any, image: Image, limit: int, pace: Pace
) -> Iterator[Piece]:
    """Yield an image's data; check its format at once, its length and hash at the end.

    Data in the container format ``compressed`` is yielded as it is. An image that was written with
    holes has them; the head of every image is data.

    :param limit: number of bytes that it may have.
    :raises ImageUnacceptable: it has another format than described, or is longer than the limit.
    :raises ImageCopyFailure: it has another length or hash than described.
    """
    with _DataHash(image) as hashed:
        yield from _hashed(service, context, image, limit, pace, hashed)
        with pace.waiting():
            hashed.finish()
    hashed.check()


def _hashed(
    service: ImageService, context: Any, image: Image, limit: int, pace: Pace, hashed: _DataHash
) -> Iterator[Piece]:
    """Yield an image's data, which is hashed meanwhile; check its format and length."""
    expected, done = image.get("size"), 0
    limit = min(n for n in (expected, limit) if n is not None) or 1
    chunks = head_first(_data(service, context, image))
    while True:
        with pace.waiting():
            chunk = next(chunks, b"")
            hashed.update(chunk)
        if not chunk:
            break
        if not done:
            assert isinstance(chunk, bytes)
            head = chunk[: formats.HEAD]
            said = image["disk_format"], image.get("container_format")
            formats.require_begin(head, *said, f"image {image['id']}")
        done += length_of(chunk)
        if done > limit:
            raise ImageUnacceptable(f"image {image['id']} has more than {limit} bytes")
        yield chunk
        if not isinstance(chunk, Hole):
            pace.moved(len(chunk))
        pace.progress(done / limit)
    if expected is not None and done != expected:
        raise ImageCopyFailure(f"image {image['id']} has {done} bytes, not {expected}")


def head_first(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Join the first pieces until they show the format, however short the service makes them."""
    head = b""
    for piece in pieces:
        if isinstance(piece, Hole):
            begun = min(piece.length, formats.HEAD - len(head))
            head += bytes(begun)
            if piece.length > begun:
                yield head
                yield Hole(piece.length - begun)
                yield from pieces
                return
        else:
            head += piece
        if not piece or len(head) >= formats.HEAD:
            break
    yield head
    yield from pieces


class _DataHash(HashThreads):
    """Compares an image's data with the strongest known hash of it."""

    def __init__(self, image: Image) -> None:
        self._image_id = image["id"]
        name, wanted = str(image.get("os_hash_algo")), image.get("os_hash_value")
        self._hash: Any = None
        if name == sparse_hash.NAME and wanted:
            self._hash = sparse_hash.SparseHash()
        else:
            if name not in hashlib.algorithms_available or not wanted:
                name, wanted = "md5", image.get("checksum")
            if wanted:
                self._hash = hashlib.new(name, usedforsecurity=False)
        self._name, self._wanted = name, wanted
        super().__init__([] if self._hash is None else [self._hash])

    def check(self) -> None:
        """:raises ImageCopyFailure: names both hashes."""
        if self._hash is not None and self._hash.hexdigest() != self._wanted:
            found = f"{self._name} {self._hash.hexdigest()}, not {self._wanted}"
            raise ImageCopyFailure(f"image {self._image_id} was changed on its way: it has {found}")


def _data(service: ImageService, context: Any, image: Image) -> Iterator[Piece]:
    """Return an image's data, with holes if its hash leaves them out."""
    if service.keeps_holes and image.get("os_hash_algo") == sparse_hash.NAME:
        return service.download_sparse(context, image["id"])
    data = service.download(context, image["id"])
    assert data is not None
    return iter(data)
