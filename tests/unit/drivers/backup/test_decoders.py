# SPDX-License-Identifier: Apache-2.0
"""Every decoder reads the streams of every encoder of its kind, however they are cut.

Sizes of parts of the data are made small for most tests: then an object has many places
where data is held back, without being large.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import random
import zlib

import pytest
import zstandard
from isal import isal_zlib
from zlib_ng import zlib_ng

from drivers.backup.format import compression, independent_decoders
from drivers.backup.format.compression import Damaged
from tests.unit.drivers.backup.streams import CASES, ENCODERS, KIB, MIB, cuts, own, parts_of, shapes

SMALL = 4096
DECODERS = [
    pytest.param(compression, id="first"),
    pytest.param(independent_decoders, id="second"),
]
SIZES = (SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 3 * SMALL, 3 * SMALL + 1, 20_000)

_MAGIC = {"bz2": b"BZh", "zstd": (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")}

ONE_SHOT = {
    "zlib": (zlib.decompress, zlib_ng.decompress, isal_zlib.decompress),
    "bz2": (bz2.decompress,),
    "zstd": (
        zstandard.ZstdDecompressor().decompress,
        lambda stored: zstandard.ZstdDecompressor().decompressobj().decompress(stored),
        lambda stored: b"".join(zstandard.ZstdDecompressor().read_to_iter(stored)),
    ),
}


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "CHUNK", SMALL)
    monkeypatch.setattr(independent_decoders, "CHUNK", SMALL)


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.usefixtures("_small_chunks")
def test_each_shape_cut_in_each_way_comes_back(kind: str, name: str) -> None:
    dice, encode = random.Random(f"{kind} {name}"), ENCODERS[kind][name]
    for shape, data in {"empty": b"", "byte": b"x", **shapes(dice, dice.choice(SIZES))}.items():
        stored = encode(data)
        for parts, decoder in itertools.product(
            cuts(dice, stored), (compression, independent_decoders)
        ):
            chunks = list(decoder.decoded(kind, parts))

            assert b"".join(chunks) == data, (shape, len(parts), decoder)
            assert max(map(len, chunks), default=0) <= SMALL, shape


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.usefixtures("_small_chunks")
def test_a_stream_cut_at_any_byte_comes_back(decoder, kind: str) -> None:
    dice = random.Random(kind)
    for encode in ENCODERS[kind].values():
        data = dice.randbytes(dice.randrange(200)) + bytes(dice.choice((0, 1, SMALL, 3 * SMALL)))
        stored = encode(data)
        for at in dice.sample(range(len(stored) + 1), min(60, len(stored))):
            assert b"".join(decoder.decoded(kind, [stored[:at], stored[at:]])) == data


@pytest.mark.parametrize(
    ("noise", "zeros"),
    [(5 * MIB, MIB), (MIB, MIB - 1), (MIB // 2, 3 * MIB + 1), (0, MIB), (MIB, 0), (700, MIB)],
)
def test_noise_and_zeros_come_back_in_chunks_of_full_size(noise: int, zeros: int) -> None:
    data = random.Random(noise).randbytes(noise) + bytes(zeros)
    streams = {"zlib": zlib.compress(data, 1), "zstd": zstandard.compress(data)}
    if noise < KIB:
        streams["bz2"] = bz2.compress(data)
    for kind, stored in streams.items():
        for length in (64 * KIB, MIB, len(stored)):
            chunks = list(compression.decoded(kind, parts_of(stored, length)))

            assert b"".join(chunks) == data, (kind, length)
            assert max(map(len, chunks)) <= MIB


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ENCODERS)
def test_one_that_ends_too_early_is_refused_at_each_byte(decoder, kind: str) -> None:
    data = random.Random(1).randbytes(30) + bytes(3000)
    for name, encode in ENCODERS[kind].items():
        stored = encode(data)
        for end in range(1, len(stored)):
            try:
                found = b"".join(decoder.decoded(kind, [stored[:end]]))
            except Damaged:
                continue
            # Some of its frames are a good stream of less data: its length tells.
            assert kind != "zlib", (name, end)
            assert stored[end:].startswith(_MAGIC[kind]), (name, end)
            assert data.startswith(found)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ENCODERS)
def test_bytes_after_the_end_are_refused(decoder, kind: str) -> None:
    for encode in ENCODERS[kind].values():
        stored = encode(b"data" * 50)
        for more in (b"\0", b"x", b"ab", b"\x28\xb5", b"BZ", b"more than one header has"):
            for parts in ([stored + more], [stored, more], parts_of(stored + more, 1)):
                with pytest.raises(Damaged):
                    list(decoder.decoded(kind, parts))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ENCODERS)
def test_a_changed_bit_is_refused_or_harmless(decoder, kind: str) -> None:
    """Bits that fill up a byte have no meaning; every other one is under a checksum."""
    data = random.Random(2).randbytes(60) + bytes(500)
    encode = {
        "zlib": ENCODERS["zlib"]["zlib 6"],
        "bz2": ENCODERS["bz2"]["level 9"],
        "zstd": ENCODERS["zstd"]["size True checksum True"],
    }[kind]
    stored, refused = encode(data), 0
    for bit in range(8 * len(stored)):
        changed = bytearray(stored)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert b"".join(decoder.decoded(kind, [bytes(changed)])) == data, bit
        except Damaged:
            refused += 1
    assert refused > 7.5 * len(stored)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("zlib", b""),
        ("zlib", gzip.compress(b"data", mtime=0)),
        ("zlib", zlib.compress(b"data")[2:-4]),
        ("zlib", zlib.compress(b"one") + zlib.compress(b"two")),
        *((kind, b"no such stream at all") for kind in ENCODERS),
    ],
)
def test_another_format_is_refused(decoder, kind: str, stored: bytes) -> None:
    """Cinder's objects have one zlib stream each: no member of gzip, and no second stream."""
    with pytest.raises(Damaged):
        list(decoder.decoded(kind, [stored]))


@pytest.mark.parametrize("kind", ["zlib", "bz2", "zstd"])
@pytest.mark.parametrize("part", [1000, 64 * KIB])
def test_every_decoder_of_the_kind_reads_the_workers_streams(kind: str, part: int) -> None:
    dice = random.Random(part)
    for size in (1, 999, 1000, 1001, 5000) if part == 1000 else (part + 1,):
        for shape, data in shapes(dice, size).items():
            stored = own(kind, part)(data)
            for decompress in ONE_SHOT[kind]:
                assert decompress(stored) == data, (shape, size)


@pytest.mark.parametrize("kind", ["zlib", "bz2", "zstd"])
def test_a_bomb_is_read_in_small_parts(kind: str) -> None:
    data = bytes(8 * MIB)
    stored = {"zlib": zlib.compress, "bz2": bz2.compress, "zstd": zstandard.compress}[kind](data)
    for decoder in (compression, independent_decoders):
        assert max(map(len, decoder.decoded(kind, [stored]))) <= MIB
