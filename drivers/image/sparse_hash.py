# SPDX-License-Identifier: Apache-2.0
"""A hash of a disk with holes, which costs as much as its data.

SHA-512 over the blocks that are not zero, each with its place before it, and over the length.
Zeros are left out whether they are a hole or not, and however the data is cut, so that all
copies of a disk have the same hash.
"""

from __future__ import annotations

import hashlib

from oslo_utils import units

from drivers import blockio
from drivers.interface.image import Hole, Piece

NAME = "sparse-sha512"
"""The ``os_hash_algo`` of images with this hash."""

_BLOCK = 64 * units.Ki
_ZEROS = bytes(_BLOCK)


class SparseHash:
    """Hashes pieces of a disk, from its begin to its end."""

    def __init__(self) -> None:
        self._hash = hashlib.sha512(usedforsecurity=False)
        self._at = 0
        self._open = b""
        """The begin of a block whose end is not known yet; it stands at ``_at``."""

    def update(self, piece: Piece) -> None:
        """Add the next piece."""
        if not isinstance(piece, Hole):
            self._add(self._open + piece)
            return
        begun = min(piece.length, -len(self._open) % _BLOCK)
        self._add(self._open + _ZEROS[:begun])
        blocks, rest = divmod(piece.length - begun, _BLOCK)
        self._at += blocks * _BLOCK
        self._open += _ZEROS[:rest]

    def hexdigest(self) -> str:
        """Return the hash of the pieces so far."""
        whole = self._hash.copy()
        if not blockio.is_zero(self._open):
            whole.update(_place(self._at) + self._open + _ZEROS[len(self._open) :])
        whole.update(_place(self._at + len(self._open)))
        return whole.hexdigest()

    def _add(self, data: bytes) -> None:
        end = len(data) - len(data) % _BLOCK
        for start in range(0, end, _BLOCK):
            block = data[start : start + _BLOCK]
            if not blockio.is_zero(block):
                self._hash.update(_place(self._at + start))
                self._hash.update(block)
        self._at, self._open = self._at + end, data[end:]


def _place(offset: int) -> bytes:
    return offset.to_bytes(8, "big")
