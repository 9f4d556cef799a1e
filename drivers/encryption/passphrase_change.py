# SPDX-License-Identifier: Apache-2.0
"""Give an encrypted volume another passphrase; its data stays as it is.

The header opens with one of both passphrases at each moment. Each write has one of these effects:

1. a new slot for the second passphrase is filled, to which no header points yet;
2. the header points to it: both passphrases open the volume;
3. the header points to the first slot no longer;
4. that slot is overwritten.

LUKS2 has two copies of its header, with checksums, of which one is whole at each moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from drivers import disk_formats
from drivers.blockio import BlockFile
from drivers.encryption import luks_header
from drivers.encryption.luks_format import LuksFormat
from drivers.interface.errors import VolumeBackendAPIException

_BLOCK = 4096
"""Bytes that are written together, where one of them has changed."""


def change(
    file: BinaryIO, wanted: LuksFormat | None, old: bytes, new: bytes, size: int, path: Path
) -> bool:
    """Replace a passphrase of a volume; where it has no header yet, put one before its data.

    Idempotent: an interrupted change is completed.

    :param file: the volume, open for reading and writing.
    :param old: without an end of line, as ``new``.
    :param wanted: the format of a volume that has no header; None: it stays without.
    :param size: of the volume, in bytes.
    :param path: of a file that is made and removed; an old one is replaced.
    :returns: False where the volume has another format, as qcow2; nothing was changed.
    :raises WrongPassphrase: neither opens it; nothing was changed.
    :raises VolumeBackendAPIException: the header cannot be used or changed.
    """
    if old == new:
        return True
    volume = BlockFile(file)
    begin = volume.read(0, min(size, luks_header.LONGEST))
    if not begin.startswith(luks_header.MAGIC):
        if disk_formats.recognised(begin[: disk_formats.HEAD]) != "raw":
            return False
        if wanted is not None:
            # The magic is in the first block: without it, the next attempt makes a header anew.
            made = luks_header.new(wanted, new, size, path).data
            _write(volume, begin, made, _BLOCK, len(made))
            _write(volume, begin, made, 0, _BLOCK)
        return True
    both = begin
    if not luks_header.opens(begin, new, size, path):
        both = luks_header.with_passphrase(begin, old, new, size, path)
        _write(volume, begin, both, _headers(both)[-1], len(both))
        _write_headers(volume, begin, both)
    alone = luks_header.without_passphrase(both, old, size, path)
    _write_headers(volume, both, alone)
    _write(volume, both, alone, _headers(alone)[-1], len(alone))
    return True


def _write_headers(volume: BlockFile, before: bytes, after: bytes) -> None:
    bounds = _headers(after)
    for start, end in zip(bounds, bounds[1:], strict=False):
        _write(volume, before, after, start, end)


def _headers(data: bytes) -> list[int]:
    """Return the offsets at which each copy of a header begins, and where the last one ends."""
    if int.from_bytes(data[6:8], "big") == 1:
        return [0, _BLOCK]
    length = int.from_bytes(data[8:16], "big")
    if not 0 < 2 * length <= len(data):
        raise VolumeBackendAPIException(f"the header of LUKS2 has {length} bytes")
    return [0, length, 2 * length]


def _write(volume: BlockFile, before: bytes, after: bytes, start: int, end: int) -> None:
    """Write the blocks of a range that have changed, and make them survive a power failure."""
    changed = [
        at
        for at in range(start, end, _BLOCK)
        if before[at : min(end, at + _BLOCK)] != after[at : min(end, at + _BLOCK)]
    ]
    for at in changed:
        volume.write(at, after[at : min(end, at + _BLOCK)])
    if changed:
        volume.flush()
