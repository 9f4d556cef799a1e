# SPDX-License-Identifier: Apache-2.0
"""The objects of a backup in little memory: 54 bytes each, a long list in a temporary file.

A store decides how many objects the metadata of a backup lists, up to millions, which take
half a KiB each as Python objects.
"""

from __future__ import annotations

import os
import struct
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from drivers import blockio
from drivers.backup.format.layout import StoredObject, is_own_name
from drivers.backup.options import COMPRESSIONS
from drivers.backup.stores import local_files

_RECORD = struct.Struct("<QQQIBBQ16s")
"""Offset, length, size, CRC-32, flags, compression, name, MD5."""

_BATCH = 1024
"""Records that are read together."""

_IN_MEMORY = 2048
"""Records of a list without a file."""

_BUCKET = 200_000
"""Names that are compared with one another at a time."""

_SORTED = 200_000
"""Objects that may be out of order; no program writes them so."""

_HAS_SIZE, _ZEROS = 1, 2
_KINDS = sorted(set(COMPRESSIONS.values()))
_NUMBER, _CRC = 1 << 63, 1 << 32


class ObjectList(Sequence[StoredObject]):
    """Objects of one backup, in the order in which they were added.

    :param prefix: of the names of all of them.
    :param directory: for a file without a name; None for the system's.
    """

    def __init__(self, prefix: str, directory: Path | None = None) -> None:
        self._prefix = prefix
        self._directory = directory
        self._count = 0
        self._held = bytearray()
        self._fd: int | None = None
        self._last = 0
        self._is_ordered = True

    @classmethod
    def of(
        cls, prefix: str, objects: Iterable[StoredObject], directory: Path | None = None
    ) -> ObjectList:
        """Return objects as a list of this kind."""
        if isinstance(objects, cls):
            return objects
        made = cls(prefix, directory)
        for one in objects:
            made.add(one)
        return made

    def add(self, one: StoredObject) -> None:
        """Append an object. :raises ValueError: it is no object of this backup."""
        self._is_ordered &= one.offset >= self._last
        self._last = one.offset
        self._held += self._packed(one)
        self._count += 1
        if len(self._held) >= _IN_MEMORY * _RECORD.size:
            self._spill()

    def sort(self) -> None:
        """Put them in the order of their offsets. :raises ValueError: they are many."""
        if self._is_ordered:
            return
        if self._count > _SORTED:
            raise ValueError("its objects are not in the order of their offsets")
        records = sorted(self._records(), key=lambda raw: raw[0])
        self._count, self._is_ordered = 0, True
        self._held.clear()
        for raw in records:
            self._held += _RECORD.pack(*raw)
            self._count += 1
            if len(self._held) >= _IN_MEMORY * _RECORD.size:
                self._spill()

    def has_duplicates(self) -> bool:
        """Return whether two of them have the same name."""
        buckets = [array("Q") for _ in range(self.buckets)]
        for raw in self._records():
            buckets[raw[6] % len(buckets)].append(raw[6])
        return any(len(set(bucket)) < len(bucket) for bucket in buckets)

    @property
    def buckets(self) -> int:
        """Into how many parts names are divided, to have one part in memory at a time."""
        return self._count // _BUCKET + 1

    def names(self, bucket: int, buckets: int) -> Iterator[tuple[int, int | None]]:
        """Yield the names of a part of the objects as :meth:`key`, with their sizes."""
        for raw in self._records():
            if raw[6] % buckets == bucket:
                yield raw[6], raw[2] if raw[4] & _HAS_SIZE else None

    def key(self, name: str) -> int | None:
        """Return a number in place of a name; None for a name that no object of a backup has."""
        if not is_own_name(self._prefix, name) or not name[-1].isdigit():
            return None
        digits = name[len(self._prefix) + 1 :]
        return (len(digits) << 40) + int(digits)

    def name(self, key: int) -> str:
        """Return the name that :meth:`key` stands for."""
        return f"{self._prefix}-{key & ((1 << 40) - 1):0{key >> 40}d}"

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[StoredObject]:
        return map(self._unpacked, self._records())

    @overload
    def __getitem__(self, index: int) -> StoredObject: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StoredObject]: ...
    def __getitem__(self, index: int | slice) -> StoredObject | Sequence[StoredObject]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(self._count))]
        at = range(self._count)[index]
        return self._unpacked(_RECORD.unpack(self._read(at, 1)))

    def _packed(self, one: StoredObject) -> bytes:
        key = self.key(one.name)
        if key is None:
            raise ValueError(f"{one.name!r:.120} is no object of this backup")
        size, crc = one.size or 0, one.crc32 or 0
        if max(one.end, size) >= _NUMBER or crc >= _CRC:
            raise ValueError(f"{one.name!r:.120} has numbers that are too large")
        flags = (one.size is not None) * _HAS_SIZE + one.zeros * _ZEROS
        kind, md5 = _KINDS.index(one.compression), bytes.fromhex(one.md5)
        return _RECORD.pack(one.offset, one.length, size, crc, flags, kind, key, md5)

    def _unpacked(self, raw: tuple[int, int, int, int, int, int, int, bytes]) -> StoredObject:
        offset, length, size, crc, flags, kind, key, md5 = raw
        known = bool(flags & _HAS_SIZE)
        return StoredObject(
            self.name(key),
            offset,
            length,
            _KINDS[kind],
            md5.hex(),
            size if known else None,
            crc if known else None,
            bool(flags & _ZEROS),
        )

    def _records(self) -> Iterator[tuple[int, int, int, int, int, int, int, bytes]]:
        for first in range(0, self._count, _BATCH):
            yield from _RECORD.iter_unpack(self._read(first, _BATCH))

    def _read(self, first: int, count: int) -> bytes:
        """Return some records; all of those in one batch are in the file, or in memory."""
        begin, filed = first * _RECORD.size, self._count * _RECORD.size - len(self._held)
        if self._fd is not None and begin < filed:
            return os.pread(self._fd, min(count * _RECORD.size, filed - begin), begin)
        return bytes(self._held[begin - filed : begin - filed + count * _RECORD.size])

    def _spill(self) -> None:
        directory = self._directory or Path(tempfile.gettempdir())
        with local_files.explained(directory):
            if self._fd is None:
                with tempfile.TemporaryFile(dir=directory) as file:
                    self._fd = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._fd)
            begin = self._count * _RECORD.size - len(self._held)
            blockio.write_at(self._fd, bytes(self._held), begin)
        self._held.clear()
