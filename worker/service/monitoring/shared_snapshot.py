# SPDX-License-Identifier: Apache-2.0
"""The last snapshot of one process, in memory that it shares with its supervisor.

The process writes, the listener reads, and neither waits for the other. The memory is made
before the fork and outlives the process: the next process of the same number finds in it the
counters of its predecessor.
"""

from __future__ import annotations

import json
import logging
import mmap
import struct
import zlib
from typing import Any

from oslo_utils import units

LOG = logging.getLogger(__name__)

HALF = 512 * units.Ki
"""Bytes of one of the two places; only pages that were written take memory."""

_TRIES = 4
_HEAD = struct.Struct("=II")
_FIRST = mmap.PAGESIZE


class SharedSnapshot:
    """Two places for a snapshot: the writer fills one while readers use the other."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _FIRST + 2 * HALF)
        self._is_too_large = False

    def write(self, snapshot: dict[str, Any]) -> None:
        """Replace the snapshot; one that is too large leaves the former one."""
        data = json.dumps(snapshot, separators=(",", ":")).encode()
        if len(data) > HALF - _HEAD.size:
            if not self._is_too_large:
                LOG.error("a snapshot for monitoring has %d bytes, and is not shown", len(data))
            self._is_too_large = True
            return
        place = 1 - self._memory[0]
        start = _FIRST + place * HALF
        self._memory[start + _HEAD.size : start + _HEAD.size + len(data)] = data
        self._memory[start : start + _HEAD.size] = _HEAD.pack(len(data), zlib.crc32(data))
        self._memory[0] = place

    def read(self) -> dict[str, Any] | None:
        """Return the snapshot; None before the first one."""
        for _try in range(_TRIES):  # a writer that is faster twice in a row
            start = _FIRST + self._memory[0] * HALF
            size, checksum = _HEAD.unpack_from(self._memory, start)
            if not size:
                return None
            first = start + _HEAD.size
            data = self._memory[first : first + min(size, HALF)]
            if zlib.crc32(data) == checksum:
                found: dict[str, Any] = json.loads(data)
                return found
        return None
