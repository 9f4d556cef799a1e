# SPDX-License-Identifier: Apache-2.0
"""Headers and tables of qcow2 that lie: they lead to no other file, and take little time."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.interface.errors import ImageUnacceptable
from tests.hostile.images.conftest import MIB
from tests.hostile.images.test_data import Fetch, qcow2
from tests.length import examples

_COPIED = 1 << 63
_DATA_FILE = 0x44415441
_L1_SIZE, _L1_OFFSET, _TABLE_CLUSTERS, _SNAPSHOTS, _FEATURES, _END = 36, 40, 56, 60, 72, 104
"""Places of fields; the last is that of the extensions."""

Lie = Callable[["Image"], None]


class Image:
    """An image whose fields are to be changed."""

    def __init__(self, data: bytes, secret: Path) -> None:
        self.data = bytearray(data)
        self.l1 = self.number(_L1_OFFSET)
        self.l2 = self.number(self.l1) & 0x00FFFFFFFFFFFE00
        name = os.fsencode(secret)
        self.extension = struct.pack(">II", _DATA_FILE, len(name))
        self.extension += name.ljust(-(-len(name) // 8) * 8, b"\0") + bytes(8)

    def number(self, at: int) -> int:
        return int(struct.unpack_from(">Q", self.data, at)[0])

    def put(self, at: int, data: bytes) -> None:
        self.data[at : at + len(data)] = data

    def put4(self, at: int, number: int) -> None:
        self.put(at, struct.pack(">I", number))

    def put8(self, at: int, *numbers: int) -> None:
        self.put(at, struct.pack(f">{len(numbers)}Q", *numbers))


def old_version(image: Image, begin: bytes) -> None:
    image.put4(4, 2)
    image.put(_FEATURES, begin + image.extension)


LIES: dict[str, Lie] = {
    "a first table that names itself": lambda i: i.put8(i.l1, i.l1 | _COPIED),
    "a second table that names itself": lambda i: i.put8(i.l2, *[i.l2 | _COPIED] * 512),
    "clusters behind the end": lambda i: i.put8(i.l2, *[(1 << 50) | _COPIED] * 512),
    "a first table outside": lambda i: i.put8(_L1_OFFSET, 1 << 60),
    "a huge first table": lambda i: i.put4(_L1_SIZE, 4 * MIB),
    "a huge table of references": lambda i: i.put4(_TABLE_CLUSTERS, 0xFFFFFFFF),
    "many snapshots": lambda i: (i.put4(_SNAPSHOTS, 65536), i.put8(_SNAPSHOTS + 4, 65536))[0],
    "a header without an end": lambda i: i.put4(100, 0xFFFFFFF8),
    "a data file": lambda i: (i.put(_END, i.extension), i.put8(_FEATURES, 4))[0],
    "a data file without its feature": lambda i: i.put(_END, i.extension),
    "a data file in an old version": lambda i: old_version(i, b""),
    "features in an old version": lambda i: old_version(i, struct.pack(">QQQQ", 4, 0, 0, 0)),
    "data behind the end": lambda i: i.data.extend(i.extension * 1000),
    "half of it": lambda i: i.data.__delitem__(slice(len(i.data) // 2, None)),
}


@pytest.fixture
def image(tmp_path: Path) -> Image:
    secret = tmp_path / "secret"
    secret.write_bytes(b"TOP SECRET" * 100_000)
    disk = b"abcd" * (MIB // 4) + random.Random(1).randbytes(MIB)
    return Image(qcow2(tmp_path / "i", disk).read_bytes(), secret)


def harmless(fetch: Fetch, volume: Path, data: bytes) -> None:
    """Require that an image is refused, or leaves nothing of another file in the volume."""
    old = b"old!" * 64
    volume.write_bytes(old * (volume.stat().st_size // len(old)))
    try:
        fetch(data, "qcow2")
    except ImageUnacceptable:
        assert b"SECRET" not in volume.read_bytes()
    else:
        found = volume.read_bytes()
        assert b"SECRET" not in found and old not in found


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_leads_nowhere(
    fetch: Fetch, volume: Path, image: Image, lie: str
) -> None:
    LIES[lie](image)

    harmless(fetch, volume, bytes(image.data))


def test_damaged_tables_lead_nowhere(fetch: Fetch, volume: Path, image: Image) -> None:
    dice, whole = random.Random(5), bytes(image.data)
    for _ in range(examples(200) // 10):
        image.data[:] = whole
        for _ in range(dice.randint(1, 12)):
            places = (dice.randrange(8, 112), image.l1 + dice.randrange(16))
            image.data[dice.choice((*places, image.l2 + dice.randrange(4096)))] = dice.randrange(
                256
            )
        harmless(fetch, volume, bytes(image.data))


def test_an_image_in_an_image_is_data(
    fetch: Fetch, volume: Path, image: Image, tmp_path: Path
) -> None:
    LIES["a data file"](image)
    nested = qcow2(tmp_path / "outer", bytes(image.data))

    fetch(nested, "qcow2")

    assert volume.read_bytes()[: len(image.data)] == image.data
