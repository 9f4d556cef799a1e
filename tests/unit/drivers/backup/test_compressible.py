# SPDX-License-Identifier: Apache-2.0
"""Whether an object is compressed: the sample is no larger than needed; and zeros as bzip2."""

from __future__ import annotations

import bz2
import functools
import hashlib
import os
import random
import threading
from types import SimpleNamespace

import pytest

from drivers.backup.format import zero_blocks
from drivers.backup.transfer.limits import TransferLimits
from drivers.backup.transfer.volume_reader import VolumeReader
from tests.backups import MIB, posix

LARGE = 1999994880
"""Bytes of the largest object by default."""


NOISE = random.Random(5).randbytes(MIB)


@functools.cache
def repeated(what: bytes) -> bytes:
    """Return a text that fills a block."""
    return what * MIB


class Mixed:
    """A volume of noise, with text in one part; its reads are recorded."""

    def __init__(self, begin: int = 0, end: int = 0, what: bytes = b"a text ") -> None:
        self._noise = NOISE
        self._what = repeated(what)
        self._text = range(begin, end)
        self.reads: list[int] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append(length)
        return (self._what if offset in self._text else self._noise)[:length]


def compressible(volume: Mixed, length: int) -> bool:
    limits = TransferLimits(1, 1)
    return VolumeReader(volume, 32768, limits, threading.Event()).is_compressible(0, length)


@pytest.mark.parametrize("what", [b"a text ", b"\0"])
@pytest.mark.parametrize("length", [16 * MIB, 50 * MIB, LARGE])
def test_a_tenth_that_gets_smaller_is_found_anywhere(length, what):
    tenth = length // 10
    for begin in range(0, length - tenth, tenth // 2):
        assert compressible(Mixed(begin, begin + tenth, what), length)


@pytest.mark.parametrize("length", [1, MIB, 16 * MIB, 50 * MIB, LARGE])
def test_noise_costs_a_small_part_of_it(length):
    volume = Mixed()
    assert not compressible(volume, length)
    assert len(volume.reads) <= 512
    assert sum(volume.reads) <= max(65536, length // 16)


def test_the_first_place_that_gets_smaller_ends_it():
    volume = Mixed(0, MIB)
    assert compressible(volume, LARGE)
    assert len(volume.reads) == 1


def test_a_mixed_volume_takes_less_than_it_is(tmp_path, rows, target):
    volume, size = tmp_path / "mixed", 32 * MIB
    with open(volume, "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
        file.seek(9 * MIB // 2)
        file.write((b"line of a text that repeats\n" * (MIB // 8))[: 3 * MIB])
    driver, row = posix(tmp_path, backup_file_size=size), rows.new()
    rows.back_up(driver, row, volume)
    [one] = (tmp_path / "store" / row["container"]).glob("*-00001")
    assert one.stat().st_size < size - 2 * MIB
    os.truncate(target, size)
    rows.restore(driver, row, target)
    assert target.read_bytes() == volume.read_bytes()


@pytest.mark.parametrize("length", [0, 1, MIB - 1, MIB, 15 * MIB + 1, 16 * MIB, 33 * MIB])
def test_zeros_are_packed_without_compressing_a_mib(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Their length is that of a hole, so each has another one."""
    compressed: list[int] = []

    def compress(data: bytes) -> bytes:
        compressed.append(len(data))
        return bz2.compress(data)

    monkeypatch.setattr(zero_blocks, "bz2", SimpleNamespace(compress=compress))
    zero_blocks.packed.cache_clear()
    stored = zero_blocks.packed(length)

    assert sum(compressed) < MIB
    assert bz2.decompress(stored) == bytes(length)
    assert zero_blocks.md5(length).digest() == hashlib.md5(bytes(length)).digest()


def test_zeros_are_packed_as_in_earlier_backups() -> None:
    """A restore recognizes them by their bytes."""
    assert zero_blocks.packed(32 * MIB) == 2 * bz2.compress(bytes(16 * MIB))
