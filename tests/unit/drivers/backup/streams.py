# SPDX-License-Identifier: Apache-2.0
"""Data of every shape, every encoder of a kind, and ways of cutting a stream into parts."""

from __future__ import annotations

import bz2
import functools
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import zstandard
from isal import isal_zlib
from zlib_ng import zlib_ng

from drivers.backup.format import compression

Encode = Callable[[bytes], bytes]

KIB, MIB = 1024, 1024**2


def file_system(dice: random.Random, size: int) -> bytes:
    """Like an ext4 image: a superblock, tables of inodes, directories, files, and free blocks."""
    image = bytearray(size)
    image[1024:1050] = struct.pack("<6IH", 8192, size // KIB, 0, 9, 77, 1, 0xEF53)
    for number in range(size // 8 // 128):
        inode = struct.pack("<HHIIIII", 0o100644, 0, number * 37, 1700000000, number, 0, 1)
        image[4096 + number * 128 : 4096 + number * 128 + len(inode)] = inode
    for begin in range(size // 4, size // 2, 16 * KIB):
        kind = dice.randrange(3)
        names = b"".join(b"\x0c\x00\x08\x01file%05d" % dice.randrange(99999) for _ in range(300))
        body = (dice.randbytes(9000), names, b"log: nothing happened\n" * 500)[kind]
        image[begin : begin + len(body)] = body
    return bytes(image[:size])


def text(dice: random.Random, size: int) -> bytes:
    words = [dice.randbytes(dice.randrange(1, 5)).hex().encode() for _ in range(200)]
    return b" ".join(dice.choice(words) for _ in range(size // 4))[:size]


def shapes(dice: random.Random, size: int) -> dict[str, bytes]:
    """Return data of about a size, in every shape."""
    noise = dice.randbytes(size)
    return {
        "zeros": bytes(size),
        "noise": noise,
        "text": text(dice, size),
        "period": (b"abc" * (size // 3 + 1))[:size],
        "noise, zeros": noise[: size // 2] + bytes(size - size // 2),
        "zeros, noise": bytes(size - size // 2) + noise[: size // 2],
        "noise, one zero": noise[:-1] + b"\0",
        "noise, text, zeros": noise[: size // 3] + text(dice, size // 3) + bytes(size // 3),
        "mixed": b"".join(
            noise[at : at + 700] + bytes(dice.randrange(3000)) for at in range(0, size // 2, 700)
        ),
        "file system": file_system(dice, size),
    }


def own(kind: str, part: int) -> Encode:
    """Return the worker's encoder, with parts of a size."""

    def encode(data: bytes) -> bytes:
        encoder = compression.encoder(kind, len(data))
        parts = (data[at : at + part] for at in range(0, len(data), part))
        return b"".join(bytes(encoder.joined(encoder.part(one))) for one in parts) + encoder.end()

    return encode


def _flushed(module, mode: int) -> Encode:
    def encode(data: bytes) -> bytes:
        stream = module.compressobj(2)
        parts = [
            stream.compress(data[at : at + 5000]) + stream.flush(mode)
            for at in range(0, len(data), 5000)
        ]
        return b"".join(parts) + stream.flush()

    return encode


def _deflated(level: int, window: int, memory: int, strategy: int) -> Encode:
    def encode(data: bytes) -> bytes:
        stream = zlib.compressobj(level, zlib.DEFLATED, window, memory, strategy)
        return stream.compress(data) + stream.flush()

    return encode


def _zlibs() -> dict[str, Encode]:
    found: dict[str, Encode] = {}
    for module, levels in ((zlib, 10), (isal_zlib, 4), (zlib_ng, 10)):
        for level in range(levels):
            name = f"{module.__name__} {level}"
            found[name] = functools.partial(module.compress, level=level)
    for module in (zlib, isal_zlib, zlib_ng):
        for mode in (module.Z_SYNC_FLUSH, module.Z_FULL_FLUSH):
            found[f"{module.__name__} flushed {mode}"] = _flushed(module, mode)
    for strategy in (zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED):
        found[f"strategy {strategy}"] = _deflated(6, 15, 8, strategy)
    for window in range(9, 16):
        found[f"window {window}"] = _deflated(6, window, 1 + window % 9, 0)
    return found | {f"own {part}": own("zlib", part) for part in (3000, 64 * KIB, MIB)}


def _bz2_streams(data: bytes) -> bytes:
    return b"".join(bz2.compress(data[at : at + 30000], 1) for at in range(0, len(data), 30000))


def _bz2s() -> dict[str, Encode]:
    levels = {f"level {n}": functools.partial(bz2.compress, compresslevel=n) for n in (1, 5, 9)}
    return {**levels, "streams": _bz2_streams, "own 3000": own("bz2", 3000), "own": own("bz2", MIB)}


def _zstd_frames(data: bytes) -> bytes:
    """Frames of many sizes, an empty one, and one to be skipped, as pzstd writes them."""
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"\x12\0\0\0"
    frames = [zstandard.compress(data[at : at + 30000]) for at in range(0, len(data), 30000)]
    return skipped + b"".join(frames) + zstandard.compress(b"") + skipped


def _zstd_streamed(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor().compressobj()
    parts = [
        stream.compress(data[at : at + 5000]) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for at in range(0, len(data), 5000)
    ]
    return b"".join(parts) + stream.flush()


def _zstds() -> dict[str, Encode]:
    found: dict[str, Encode] = {
        f"level {level}": zstandard.ZstdCompressor(level=level).compress
        for level in (-5, 1, 3, 9, 19)
    }
    for size in (True, False):
        for checksum in (True, False):
            compressor = zstandard.ZstdCompressor(
                write_content_size=size, write_checksum=checksum, threads=0
            )
            found[f"size {size} checksum {checksum}"] = compressor.compress
    return {
        **found,
        "frames": _zstd_frames,
        "streamed": _zstd_streamed,
        "own 3000": own("zstd", 3000),
        "own": own("zstd", MIB),
    }


ENCODERS: dict[str, dict[str, Encode]] = {"zlib": _zlibs(), "bz2": _bz2s(), "zstd": _zstds()}

CASES = [(kind, name) for kind, encoders in ENCODERS.items() for name in encoders]


def parts_of(stored: bytes, length: int) -> list[bytes]:
    return [stored[at : at + length] for at in range(0, len(stored), length)]


def cuts(dice: random.Random, stored: bytes) -> Iterator[list[bytes]]:
    """Yield a stream as a whole, in equal parts, and cut at random places, with empty parts."""
    yield [stored]
    yield parts_of(stored, dice.choice((1, 2, 7) if len(stored) < 2000 else (64, 1000, 4096)))
    places = sorted(dice.randrange(len(stored) + 1) for _ in range(8))
    yield [
        stored[begin:end] for begin, end in zip([0, *places], [*places, len(stored)], strict=True)
    ]
