# SPDX-License-Identifier: Apache-2.0
"""Write one object of a backup into its store, part by part."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from isal import isal_zlib

from drivers import blockio
from drivers.backup.format import compression, layout, zero_blocks
from drivers.backup.format.compression import Part
from drivers.backup.format.layout import StoredObject
from drivers.backup.stores.object_store import ObjectSink, ObjectStore
from drivers.backup.transfer import extents
from drivers.backup.transfer.limits import TransferLimits
from drivers.backup.transfer.volume_reader import QUEUE_LENGTH, SEGMENT, Segment


@dataclass(frozen=True)
class ObjectTarget:
    """The place of a backup in a store, and the form of its objects.

    :param compression: of its objects, where it makes them smaller.
    :param max_object_size: bytes of a volume in an object.
    """

    store: ObjectStore
    container: str
    prefix: str
    compression: str
    max_object_size: int


class Samples(Protocol):
    """Samples of the data that is stored."""

    def is_compressible(self, start: int, end: int) -> bool:
        """Guess whether a range gets smaller when it is compressed."""


class ObjectWriter:
    """Writes the objects of one backup; they are numbered in the order of their creation.

    :param first: number of the first one.
    """

    def __init__(
        self, target: ObjectTarget, reader: Samples, limits: TransferLimits, first: int
    ) -> None:
        self._target = target
        self._reader = reader
        self._limits = limits
        self._number = first
        self._lock = threading.Lock()

    @property
    def next_number(self) -> int:
        """The number of the next one."""
        return self._number

    def store(
        self, start: int, end: int, segments: Iterable[Segment], *, compress: bool = True
    ) -> Iterator[StoredObject]:
        """Store a part of the volume as one object, or as several if all of it is zero.

        Nothing is written before something in it is not zero: objects of nothing but
        zeros are special ones.

        :param segments: the part, in order.
        :param compress: whether to compress it, if samples get smaller.
        """
        coming = iter(segments)
        leading = start
        for _begin, stop, data in coming:
            if data is not None and not blockio.is_zero(data):
                break
            leading = stop
        else:
            for at in range(start, end, extents.MAX_ZEROS):
                yield self._zeros(at, min(at + extents.MAX_ZEROS, end))
            return
        kind = self._target.compression if compress else compression.NONE
        if kind != compression.NONE and not self._reader.is_compressible(leading, end):
            kind = compression.NONE
        name = self.take_name()
        with self._target.store.writing(self._target.container, name) as sink:
            one = _OpenObject(sink, self._limits, compression.encoder(kind, end - start))
            for at in range(start, leading, SEGMENT):
                one.append(bytes(min(SEGMENT, leading - at)))
            one.append(data)
            for begin, stop, data in coming:
                one.append(bytes(stop - begin) if data is None else data)
            one.finish()
        yield StoredObject(name, start, end - start, kind, one.md5.hexdigest(), one.size, one.crc)

    def _zeros(self, start: int, end: int) -> StoredObject:
        length, name = end - start, self.take_name()
        data = zero_blocks.packed(length)
        with self._target.store.writing(self._target.container, name) as sink:
            sink.write(data)
        md5, crc = zero_blocks.md5(length).hexdigest(), isal_zlib.crc32(data)
        return StoredObject(name, start, length, compression.BZ2, md5, len(data), crc, zeros=True)

    def take_name(self) -> str:
        """Return the name of the next object."""
        with self._lock:
            number, self._number = self._number, self._number + 1
        return layout.object_name(self._target.prefix, number)


class _OpenObject:
    """An object that is being written; its parts are compressed in parallel."""

    def __init__(
        self, sink: ObjectSink, limits: TransferLimits, encoder: compression.Encoder
    ) -> None:
        self._sink = sink
        self._limits = limits
        self._encoder = encoder
        self._parts: deque[Future[Part]] = deque()
        self._hashing: Future[None] | None = None
        self.md5: Any = zero_blocks.md5(0)
        self.size = 0
        self.crc = 0

    def append(self, data: bytes) -> None:
        self._parts.append(self._limits.submit(self._encoder.part, data))
        self._hashed()  # one part after another
        self._hashing = self._limits.submit(self.md5.update, data)
        while len(self._parts) > QUEUE_LENGTH:
            self._write_first()

    def finish(self) -> None:
        while self._parts:
            self._write_first()
        self._write(self._encoder.end())
        self._hashed()

    def _hashed(self) -> None:
        if self._hashing is not None:
            self._hashing.result()

    def _write_first(self) -> None:
        self._write(self._encoder.joined(self._parts.popleft().result()))

    def _write(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        self.crc = isal_zlib.crc32(data, self.crc)
        self._sink.write(data)
