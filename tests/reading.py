# SPDX-License-Identifier: Apache-2.0
"""Read parts of a file: volumes are GiB long, and most of them holes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_STEP = 1024**2


def part(path: str | Path, length: int, offset: int = 0) -> bytes:
    """Return ``length`` bytes from ``offset``, both in bytes; fewer at the end of the file."""
    with open(path, "rb") as file:
        return os.pread(file.fileno(), length, offset)


def blocks(path: str | Path, size: int = _STEP, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Return the offsets and data of the blocks that are not all zero.

    :param size: of a block, in bytes; holes are skipped, not read.
    :param start: where to begin, a multiple of ``size``.
    """
    with open(path, "rb") as file:
        at, end = start, os.fstat(file.fileno()).st_size
        while at < end:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # a hole up to the end
                return
            at = data - data % size
            stop = os.lseek(file.fileno(), data, os.SEEK_HOLE)
            while at < stop:
                block = os.pread(file.fileno(), size, at)
                if block.strip(b"\0"):
                    yield at, block
                at += size
