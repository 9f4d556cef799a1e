# SPDX-License-Identifier: Apache-2.0
"""The compressions of the chunked format, each as a stream over parts of an object.

Parts are compressed beside one another where the stream allows it: a zlib stream may be
put together from parts that know nothing of each other, and so may bzip2's. A Zstandard
object is one frame that says how long its data is, as older readers want it.
"""

from __future__ import annotations

import abc
import bz2
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import zstandard
from isal import isal_zlib
from oslo_utils import units

from drivers import blockio
from drivers.backup.options import COMPRESSIONS

NONE, ZLIB, BZ2, ZSTD = "none", "zlib", "bz2", "zstd"

CHUNK = units.Mi
"""Most bytes of data that are handed on at a time, however well they were compressed."""

_LEVEL = 2
"""Of ISA-L: as small as zlib's own 6 within 2 %, and seven times as fast."""

_SAMPLE = 64 * units.Ki
_WORTH = 0.97
"""Part of its length below which data counts as compressible."""

_RAW = -15
_ZLIB_HEADER = b"\x78\x9c"
_ZLIB_END = b"\x03\x00"
"""An empty last block."""

_ADLER = 65521

_ZSTD_SLICE = 256
"""Stored bytes that are decompressed at once: 8 MiB of data, where four bytes are a block."""

_BZ2_SLICE = 4096
"""Stored bytes at once: what follows a stream is copied, and one may be 14 bytes."""

ZSTD_WINDOW = 8 * units.Mi
"""Memory for the data before that a frame refers to: that every decoder has (RFC 8878)."""

_INFLATE_ERROR = cast(type[Exception], isal_zlib.error)  # declared as an instance of it


class Damaged(ValueError):
    """The stored data is no such stream, or an incomplete one."""


@dataclass(frozen=True)
class Part:
    """A part of an object, compressed.

    :param adler: Adler-32 of its data, for zlib.
    """

    data: bytes | memoryview
    length: int
    adler: int = 1


class Encoder(abc.ABC):
    """Makes one object out of its parts."""

    @abc.abstractmethod
    def part(self, data: bytes) -> Part:
        """Compress a part; callable from several threads at once."""

    @abc.abstractmethod
    def joined(self, part: Part) -> bytes | memoryview:
        """Return the next bytes of the object; called in the order of the parts."""

    def end(self) -> bytes:
        """Return the object's end."""
        return b""


def canonical(name: Any) -> str:
    """Return the one name of a compression. :raises ValueError: there is none such."""
    if not isinstance(name, str) or name.lower() not in COMPRESSIONS:
        raise ValueError(f"there is no compression {name!r:.40}")
    return COMPRESSIONS[name.lower()]


def encoder(name: str, length: int) -> Encoder:
    """Return a compressor for an object of ``length`` bytes of data."""
    if name == ZSTD:
        return _Zstd(length)
    kinds: dict[str, type[Encoder]] = {NONE: _Plain, ZLIB: _Zlib, BZ2: _Bz2}
    return kinds[name]()


def decoded(name: str, stored: Iterable[bytes]) -> Iterator[bytes]:
    """Yield an object's data, in parts of at most :data:`CHUNK` bytes.

    :raises Damaged: it is no such stream, it ends too early, or something follows it.
    """
    yield from {NONE: _plain, ZLIB: _inflated, BZ2: _unzipped, ZSTD: _unframed}[name](stored)


def compressible(data: bytes) -> bool:
    """Guess from a sample whether data gets smaller."""
    sample = data[:_SAMPLE]
    return len(isal_zlib.compress(sample, 1)) < len(sample) * _WORTH


class _Plain(Encoder):
    def part(self, data: bytes) -> Part:
        return Part(data, len(data))

    def joined(self, part: Part) -> bytes | memoryview:
        return part.data


class _Bz2(_Plain):
    def part(self, data: bytes) -> Part:
        return Part(bz2.compress(data), len(data))


class _Zlib(Encoder):
    """Deflated parts, each flushed to a whole byte, in one stream (RFC 1950)."""

    def __init__(self) -> None:
        self._adler = 1
        self._begun = False

    def part(self, data: bytes) -> Part:
        return _deflated_zeros(len(data)) if blockio.is_zero(data) else _deflated(data)

    def joined(self, part: Part) -> bytes:
        self._adler = _adler_of_both(self._adler, part.adler, part.length)
        if self._begun:
            return bytes(part.data)
        self._begun = True
        return _ZLIB_HEADER + part.data

    def end(self) -> bytes:
        head = b"" if self._begun else _ZLIB_HEADER
        return head + _ZLIB_END + self._adler.to_bytes(4, "big")


class _Zstd(Encoder):
    """One frame; the library uses several threads by itself."""

    def __init__(self, length: int) -> None:
        self._frame = zstandard.ZstdCompressor(threads=-1).compressobj(size=length)

    def part(self, data: bytes) -> Part:
        return Part(data, len(data))

    def joined(self, part: Part) -> bytes:
        return bytes(self._frame.compress(part.data))

    def end(self) -> bytes:
        return bytes(self._frame.flush())


@functools.lru_cache(maxsize=4)
def _deflated_zeros(length: int) -> Part:
    return _deflated(bytes(length))


def _deflated(data: bytes) -> Part:
    stream = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    packed = stream.compress(data) + stream.flush(isal_zlib.Z_SYNC_FLUSH)
    return Part(packed, len(data), isal_zlib.adler32(data))


def _adler_of_both(first: int, second: int, length: int) -> int:
    """Return the Adler-32 of two parts, the second of which is ``length`` bytes long."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + length * ((first & 0xFFFF) - 1)
    return (high % _ADLER) << 16 | low % _ADLER


def _plain(stored: Iterable[bytes]) -> Iterator[bytes]:
    return sliced(stored, CHUNK)


def _inflated(stored: Iterable[bytes]) -> Iterator[bytes]:
    stream = isal_zlib.decompressobj()
    for data in stored:
        if stream.eof and data:
            raise Damaged("something follows its end")
        yield from _inflated_part(stream, data)
        if stream.unused_data:
            raise Damaged("something follows its end")
    if not stream.eof:
        raise Damaged("it ends too early")


def _inflated_part(stream: Any, data: bytes) -> Iterator[bytes]:
    """Yield everything that a stream can make of a part.

    A full chunk may have been cut at its size: then more data may be held back in the
    stream, even when the part is used up. Only a shorter chunk says that it was all.
    """
    is_full = True
    while data or is_full:
        try:
            chunk = stream.decompress(data, CHUNK)
        except _INFLATE_ERROR as error:
            raise Damaged(str(error)) from error
        if chunk:
            yield chunk
        elif len(stream.unconsumed_tail) == len(data):
            return
        is_full, data = len(chunk) == CHUNK, stream.unconsumed_tail


def _unzipped(stored: Iterable[bytes]) -> Iterator[bytes]:
    stream, begun = bz2.BZ2Decompressor(), False
    for data in sliced(stored, _BZ2_SLICE):
        while data or not stream.needs_input:
            if stream.eof:
                data, stream, begun = stream.unused_data + data, bz2.BZ2Decompressor(), False
                if not data:
                    break
            try:
                chunk = stream.decompress(data, CHUNK)
            except (OSError, EOFError) as error:
                raise Damaged(str(error)) from error
            begun, data = True, b""
            if chunk:
                yield chunk
    if begun and not stream.eof:
        raise Damaged("it ends too early")


def _unframed(stored: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress frames, in slices: no method of the library limits the data of a call and
    also reports where a frame ends.
    """
    decoder, frame = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW), None
    for data in sliced(stored, _ZSTD_SLICE):
        while data:
            frame = frame or decoder.decompressobj()
            try:
                chunk = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise Damaged(str(error)) from error
            yield from sliced([chunk], CHUNK)
            data = b""
            if frame.eof:
                data, frame = frame.unused_data, None
    if frame is not None:
        raise Damaged("it ends too early")


def sliced(parts: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Yield parts in slices of at most ``length`` bytes."""
    for part in parts:
        for at in range(0, len(part), length):
            yield part[at : at + length]
