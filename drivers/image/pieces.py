# SPDX-License-Identifier: Apache-2.0
"""The data of an open disk, piece by piece, with its holes as such."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from oslo_utils import units

from drivers.blockio import BlockFile
from drivers.interface.image import Hole, Piece

_ZEROS = bytes(4 * units.Mi)

_HOLE = units.Gi
"""Bytes of one hole at most, so that progress is reported and a cancellation is noticed."""


def pieces(source: BlockFile, length: int) -> Iterator[Piece]:
    """Yield a disk from its begin to its end.

    :param length: bytes of a piece of data, at most.
    """
    at = 0
    for start, end in source.data_extents(0, source.size):
        yield from holes(start - at)
        at = start
        while at < end:
            data = source.read(at, min(length, end - at))
            if not data:
                return  # it has become shorter
            yield data
            at += len(data)
    yield from holes(source.size - at)


def holes(length: int) -> Iterator[Hole]:
    """Yield a range of zeros."""
    while length > 0:
        yield Hole(min(length, _HOLE))
        length -= _HOLE


def length_of(piece: Piece) -> int:
    """Return the number of bytes of a piece."""
    return piece.length if isinstance(piece, Hole) else len(piece)


def as_bytes(piece: Piece) -> Iterator[bytes]:
    """Yield a piece as data, for those that know no holes."""
    if not isinstance(piece, Hole):
        yield piece
        return
    for at in range(0, piece.length, len(_ZEROS)):
        left = piece.length - at
        yield _ZEROS if left >= len(_ZEROS) else _ZEROS[:left]


def handed_over(chunks: Iterator[bytes], data: BinaryIO | None) -> Iterator[bytes] | None:
    """Return the chunks of a download, or write them into a file where there is one."""
    if data is None:
        return chunks
    for chunk in chunks:
        data.write(chunk)
    return None
