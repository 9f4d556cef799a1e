# SPDX-License-Identifier: Apache-2.0
"""Zeros without reading them: their hashes, and an object full of them.

A volume is mostly zeros. An object of nothing else is a few bytes of bzip2, whatever
the volume's compression is: Cinder goes by the metadata of each object.
"""

from __future__ import annotations

import bz2
import functools
import hashlib
import threading
from typing import Any

from oslo_utils import units

MAX_LENGTH = 512 * units.Mi
"""Bytes of zeros in an object that is compared with a packed one; others are decompressed."""

_LARGE = 16 * units.Mi
"""Bytes of zeros in one stream, of those that are many."""

_STEP = units.Mi
"""Bytes between two states of the hash that are kept, and in each stream of the rest.

Holes end anywhere, and a MiB takes 10 ms to compress.
"""

_ZEROS = bytes(_STEP)


class _Md5:
    """MD5 of any number of zeros; computed values are cached."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._states = [hashlib.md5(usedforsecurity=False)]

    def of(self, length: int) -> Any:
        """Return the state after ``length`` zeros, to continue with."""
        whole, rest = divmod(length, _STEP)
        with self._guard:
            while len(self._states) <= whole:
                state = self._states[-1].copy()
                state.update(_ZEROS)
                self._states.append(state)
            state = self._states[whole].copy()
        state.update(memoryview(_ZEROS)[:rest])
        return state


md5 = _Md5().of
"""Return a copy of the MD5 after a number of zeros."""


@functools.lru_cache(maxsize=8)
def sha256(length: int) -> bytes:
    """Return the SHA-256 of a block of zeros."""
    whole, rest = divmod(length, _STEP)
    state = hashlib.sha256()
    for _ in range(whole):
        state.update(_ZEROS)
    state.update(memoryview(_ZEROS)[:rest])
    return state.digest()


_PACKED_LARGE = bytes.fromhex(
    "425a683931415926535952853e25008080c000c000000820003080291a0100d20100e2ee48a70a120a50a7c4a0"
)
_PACKED_STEP = bytes.fromhex(
    "425a683931415926535938571ce50008084000c0040008200030cc0529a60806c4201e2ee48a70a12070ae39ca"
)
"""A large stream and one of a step. To compress them takes 0.2 s in each process."""


@functools.lru_cache(maxsize=64)
def packed(length: int) -> bytes:
    """Return ``length`` zeros as bzip2: streams one after another, which are one stream."""
    large, rest = divmod(length, _LARGE)
    steps, rest = divmod(rest, _STEP)
    found = _PACKED_LARGE * large + _PACKED_STEP * steps
    return found + bz2.compress(bytes(rest)) if rest or not found else found
