# SPDX-License-Identifier: Apache-2.0
"""Check an object again with an independent decoder; damaged data is still refused."""

from __future__ import annotations

import bz2
import json
import os
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import zstandard

from drivers.backup.format import compression, independent_decoders
from drivers.backup.format.compression import Damaged
from drivers.interface.errors import BackupDamaged
from tests.backups import BLOCK, MIB, posix

KINDS = ("zlib", "bz2", "zstd")
ENCODERS = {"zlib": zlib.compress, "bz2": bz2.compress, "zstd": zstandard.compress}

Wrong = Callable[[Iterator[bytes]], Iterator[bytes]]


def refusing(data: Iterator[bytes]) -> Iterator[bytes]:
    yield next(data)
    raise Damaged("it ends too early")


def short(data: Iterator[bytes]) -> Iterator[bytes]:
    chunk = next(data)
    yield chunk[: len(chunk) - len(chunk) // 3]


def long(data: Iterator[bytes]) -> Iterator[bytes]:
    yield from data
    yield b"more"


def other(data: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in data:
        yield b"\1" * len(chunk)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A volume with a tail of zeros in its only object."""
    path = tmp_path / "image"
    text = b"some text that is repeated\n" * 3000
    path.write_bytes((text + random.Random(5).randbytes(4 * BLOCK)).ljust(64 * BLOCK, b"\0"))
    return path


@pytest.fixture
def target(tmp_path: Path, image: Path) -> Path:
    path = tmp_path / "target"
    path.touch()
    os.truncate(path, image.stat().st_size)
    return path


def as_cinder_writes_it(root: Path, row, kind: str, data: bytes) -> Path:
    """Replace the object by another encoder's, and the metadata by unsealed metadata."""
    directory = root / "store" / row["container"]
    [path] = directory.glob("*-00001")
    path.write_bytes(ENCODERS[kind](data))
    metadata = directory / f"{row['service_metadata']}_metadata"
    document = json.loads(metadata.read_bytes())
    for name in ("seal", "sha256file"):
        document.pop(name)
    [facts] = document["objects"][0].values()
    for name in ("crc32", "size"):
        facts.pop(name)
    facts["compression"] = kind
    metadata.write_text(json.dumps(document))
    return path


def broken(monkeypatch: pytest.MonkeyPatch, module, wrong: Wrong) -> None:
    right = module.decoded

    def decoded(name: str, stored: Iterable[bytes]) -> Iterator[bytes]:
        return wrong(iter(right(name, stored)))

    monkeypatch.setattr(module, "decoded", decoded)


def test_an_object_that_ends_in_a_compressible_run_is_restored(tmp_path, rows):
    """As plain zlib.compress makes it of 2 MiB of noise and 1 MiB of zeros."""
    image, target = tmp_path / "image", tmp_path / "target"
    data = random.Random(1).randbytes(2 * MIB) + bytes(MIB)
    for path in (image, target):
        path.write_bytes(data if path is image else b"")
        os.truncate(path, len(data))
    driver, row = posix(tmp_path, backup_file_size=4 * MIB), rows.new()
    rows.back_up(driver, row, image)
    as_cinder_writes_it(tmp_path, row, "zlib", data)

    driver.verify(rows.record(row))
    rows.restore(driver, row, target, new=True)

    assert target.read_bytes() == data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [refusing, short, long, other])
def test_the_second_decoder_saves_a_good_object(
    tmp_path, rows, image, target, kind, wrong, monkeypatch, caplog
):
    driver, row = posix(tmp_path, backup_compression_algorithm=kind), rows.new()
    rows.back_up(driver, row, image)
    [path] = (tmp_path / "store" / row["container"]).glob("*-00001")
    broken(monkeypatch, compression, wrong)

    rows.restore(driver, row, target, new=True)
    restored = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    caplog.clear()
    driver.verify(rows.record(row))
    verified = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    caplog.clear()  # the errors among their arguments refer to the driver, and its threads

    assert target.read_bytes() == image.read_bytes()
    assert len(restored) == len(verified) == 1
    assert path.name in restored[0]
    assert "is not damaged" in restored[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [refusing, short, long, other])
def test_what_both_refuse_is_damaged(tmp_path, rows, image, target, kind, wrong, monkeypatch):
    driver, row = posix(tmp_path, backup_compression_algorithm=kind), rows.new()
    rows.back_up(driver, row, image)
    for module in (compression, independent_decoders):
        broken(monkeypatch, module, wrong)

    with pytest.raises(BackupDamaged, match="-00001 is damaged"):
        driver.verify(rows.record(row))
    with pytest.raises(BackupDamaged, match="-00001 is damaged"):
        rows.restore(driver, row, target)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_that_are_cut_or_changed_stay_refused(tmp_path, rows, image, kind, caplog):
    driver, row, dice = posix(tmp_path), rows.new(), random.Random(kind)
    rows.back_up(driver, row, image)
    path = as_cinder_writes_it(tmp_path, row, kind, image.read_bytes())
    stored = path.read_bytes()
    places = [1, len(stored) - 1, len(stored) - 2, len(stored) - 5]
    for at in [*places, *(dice.randrange(1, len(stored)) for _ in range(4))]:
        changed = bytes([stored[at - 1] ^ 0x5A])
        for wrong in (stored[:at], stored[: at - 1] + changed + stored[at:], stored + changed):
            path.write_bytes(wrong)
            with pytest.raises(BackupDamaged):
                driver.verify(rows.record(row))
    path.write_bytes(stored)
    driver.verify(rows.record(row))

    assert not caplog.records


def test_wrong_bytes_in_the_store_are_not_read_twice_in_vain(tmp_path, rows, image, monkeypatch):
    """A second decoder that finds the data does not help an object with another CRC-32."""
    driver, row = posix(tmp_path, backup_compression_algorithm="bz2"), rows.new()
    rows.back_up(driver, row, image)
    [path] = (tmp_path / "store" / row["container"]).glob("*-00001")
    stored = path.read_bytes()
    path.write_bytes(bz2.compress(image.read_bytes(), 8).ljust(len(stored), b"\0")[: len(stored)])

    with pytest.raises(BackupDamaged, match="-00001 is damaged"):
        driver.verify(rows.record(row))
