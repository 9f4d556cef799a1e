# SPDX-License-Identifier: Apache-2.0
"""Independent decoders: a second check before a backup object is reported as damaged.

They share no loop, and where possible no library, with :mod:`.compression`: the standard
library's zlib; bz2 in slices; the stream reader of zstandard. That reader accepts frames
that end too early, so the frames' headers are parsed as well (RFC 8878). These decoders are
slower, and as strict.
"""

from __future__ import annotations

import bz2
import hashlib
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, cast

import zstandard

from drivers.backup.format.compression import BZ2, CHUNK, ZLIB, ZSTD, ZSTD_WINDOW, Damaged, sliced

_ZLIB_SLICE = 1024
"""Stored bytes that become 1 MiB of data at most."""

_BZ2_SLICE = 16
"""Stored bytes in which at most one block ends: it may be 46 MB of data."""

_FOLLOWED = 1024
"""Stored bytes whose headers are followed together."""

_SKIPPABLE = 0x184D2A5
"""Magic number of a frame without data, but for its last four bits."""

_CHECKSUM = 4
"""Bytes of a frame's checksum."""

_RLE = 1
"""Type of a block that is one byte, repeated."""


def decoded(name: str, stored: Iterable[bytes]) -> Iterator[bytes]:
    """Yield an object's data, in parts of at most :data:`.compression.CHUNK` bytes.

    :raises Damaged: it is no such stream, it ends too early, or something follows it.
    """
    return sliced(_DECODERS[name](stored), CHUNK)


def is_intact(
    name: str, stored: Iterable[bytes], length: int, md5: str, admit: Callable[[int], None]
) -> bool:
    """Return whether all of an object can be read, with the right length and MD5.

    :param admit: called with the length of each part of the data.
    """
    if name not in _DECODERS:
        return False
    found, size = hashlib.md5(usedforsecurity=False), 0
    try:
        for data in decoded(name, stored):
            size += len(data)
            if size > length:
                return False
            admit(len(data))
            found.update(data)
    except Damaged:
        return False
    return size == length and found.hexdigest() == md5


def _zlib(stored: Iterable[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj()
    for data in sliced(stored, _ZLIB_SLICE):
        if stream.eof:
            raise Damaged("something follows its end")
        try:
            yield stream.decompress(data)
        except zlib.error as error:
            raise Damaged(str(error)) from error
    if not stream.eof:
        raise Damaged("it ends too early")
    if stream.unused_data:
        raise Damaged("something follows its end")


def _bz2(stored: Iterable[bytes]) -> Iterator[bytes]:
    stream: bz2.BZ2Decompressor | None = None
    for data in sliced(stored, _BZ2_SLICE):
        while data:
            stream = stream or bz2.BZ2Decompressor()
            try:
                yield stream.decompress(data)
            except OSError as error:
                raise Damaged(str(error)) from error
            data, stream = (stream.unused_data, None) if stream.eof else (b"", stream)
    if stream is not None:
        raise Damaged("it ends too early")


def _zstd(stored: Iterable[bytes]) -> Iterator[bytes]:
    frames = _Frames(stored)
    try:
        with zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).stream_reader(
            cast(IO[bytes], frames), read_across_frames=True
        ) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from error
    if not frames.are_complete:
        raise Damaged("it ends too early")


_DECODERS: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    ZLIB: _zlib,
    BZ2: _bz2,
    ZSTD: _zstd,
}


class _Frames:
    """Parts of an object as a file that is read to its end; notices whether a frame ends there."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._headers = _headers()
        self._wanted = next(self._headers)
        self._header = b""

    def read(self, _size: int = -1) -> bytes:
        part = next((part for part in self._parts if part), b"")
        for piece in sliced([part], _FOLLOWED):  # a frame may be 9 bytes, and the rest is copied
            self._follow(piece)
        return part

    @property
    def are_complete(self) -> bool:
        """Whether a frame ends where the parts do."""
        return self._wanted.at_boundary and not self._wanted.skipped and not self._header

    def _follow(self, part: bytes) -> None:
        while part:
            wanted = self._wanted
            if wanted.skipped:
                part, skipped = part[wanted.skipped :], min(wanted.skipped, len(part))
                self._wanted = replace(wanted, skipped=wanted.skipped - skipped)
                continue
            rest = wanted.length - len(self._header)
            self._header, part = self._header + part[:rest], part[rest:]
            if len(self._header) == wanted.length:
                self._wanted, self._header = self._headers.send(self._header), b""


@dataclass(frozen=True)
class _Wanted:
    """Bytes of a header that are needed next.

    :param skipped: bytes before them, which do not matter.
    :param at_boundary: whether a frame has ended before them, so that nothing need follow.
    """

    skipped: int
    length: int
    at_boundary: bool = False


def _headers() -> Generator[_Wanted, bytes, None]:
    """Go from header to header of any number of frames."""
    skipped = 0
    while True:
        magic = yield _Wanted(skipped, 4, at_boundary=True)
        if _number(magic) >> 4 == _SKIPPABLE:
            skipped = _number((yield _Wanted(0, 4)))
            continue
        [descriptor] = yield _Wanted(0, 1)
        skipped, is_last = _header_length(descriptor), False
        while not is_last:
            block = _number((yield _Wanted(skipped, 3)))
            is_last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
            skipped = 1 if kind == _RLE else size
        skipped += _CHECKSUM if descriptor & 4 else 0


def _header_length(descriptor: int) -> int:
    """Return the bytes of a frame's header after its descriptor."""
    is_single_segment = bool(descriptor & 0x20)
    window, dictionary = 0 if is_single_segment else 1, (0, 1, 2, 4)[descriptor & 3]
    return window + dictionary + (int(is_single_segment), 2, 4, 8)[descriptor >> 6]


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
