# SPDX-License-Identifier: Apache-2.0
"""Limits for the objects of a backup, which a store may have made larger than any real ones.

A limit follows from the row of the backup, or from sealed metadata that was compared with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oslo_utils import units

from drivers.interface.errors import BackupDamaged
from drivers.interface.records import Record

_LARGEST_VOLUME = 256 * units.Ki
"""GiB of a volume whose row does not have its size."""

_SPARE = units.Gi
"""Bytes that a device may be longer than its volume, besides twice its size."""

_SPARE_OBJECTS = 1000
"""Objects above the number in the row, to report the difference rather than the limit."""

_UNKNOWN_OBJECTS = 250_000
"""Objects of a backup whose number is not in its row; one that is being made is made anew."""

_SMALLEST_BLOCK = 512

_FEED = 64 * units.Ki
"""Bytes that a parser is given at least, so that it does not search its rest again and again."""


@dataclass(frozen=True)
class Bounds:
    """Limits for a backup.

    :param objects: number of objects in its metadata.
    :param end: offset at which the data of its objects ends, in bytes.
    """

    objects: int
    end: int

    @classmethod
    def of(cls, backup: Record, *, is_made: bool) -> Bounds:
        """Return the limits that follow from a row.

        :param is_made: whether the row has the number of objects.
        """
        size = backup.size if isinstance(backup.size, int) and backup.size > 0 else None
        end = 2 * (size or _LARGEST_VOLUME) * units.Gi + _SPARE
        count = backup.object_count
        if is_made and isinstance(count, int) and count >= 0:
            return cls(count + _SPARE_OBJECTS, end)
        return cls(_UNKNOWN_OBJECTS, end)

    def blocks(self, block_size: int) -> int:
        """Return the largest number of blocks; the smallest size counts where it is unknown."""
        return -(-self.end // (block_size or _SMALLEST_BLOCK))


ANY = Bounds(2**31, 2**62)
"""For text that no store has changed."""


def limited(parts: Iterable[bytes], limit: int, label: str) -> Iterator[bytes]:
    """Yield the parts of an object. :raises BackupDamaged: they have more bytes than the limit."""
    size = 0
    for part in parts:
        size += len(part)
        if size > limit:
            raise BackupDamaged(f"{label} is damaged: it has more than {limit} bytes")
        yield part


def joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield small parts together."""
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= _FEED:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
