# SPDX-License-Identifier: Apache-2.0
"""Which hashes of the data a restore and a verification compute."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.format import object_check
from drivers.backup.posix import PosixDriver
from drivers.interface.errors import BackupDamaged
from tests.backups import BLOCK, Rows, posix
from tests.unit.drivers.backup.test_bad_input import files, unsealed


@pytest.fixture
def volume(tmp_path: Path, target: Path) -> Path:
    """A volume without zeros."""
    path = tmp_path / "volume"
    path.write_bytes(random.Random(3).randbytes(target.stat().st_size))
    return path


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[PosixDriver]:
    """A driver whose objects have several chunks."""
    options = {"backup_compression_algorithm": "none", "backup_file_size": 1024 * BLOCK}
    made = posix(tmp_path, **options)
    yield made
    vars(made).clear()  # its threads end with its parts, which errors of objects hold as well
    gc.collect()


@pytest.fixture
def row(driver: PosixDriver, rows: Rows, volume: Path) -> dict[str, Any]:
    row = rows.new()
    rows.back_up(driver, row, volume)
    return row


@pytest.fixture
def no_md5(monkeypatch):
    def refused(_length: int) -> Any:
        raise AssertionError("an MD5 is computed")

    monkeypatch.setattr(object_check.zero_blocks, "md5", refused)


@pytest.fixture
def changed(tmp_path, row, monkeypatch):
    """Change a byte; the CRC-32 of the object does not say so."""
    path = files(tmp_path, row) / f"{row['service_metadata']}-00001"
    data = bytearray(path.read_bytes())
    data[5 * BLOCK] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(object_check.VerifyingReader, "_check_stored", lambda *_: None)
    return data


def test_a_sealed_backup_is_restored_without_its_md5(driver, rows, row, volume, target, no_md5):
    rows.restore(driver, row, target)

    assert target.read_bytes() == volume.read_bytes()


def test_a_verification_computes_it(driver, rows, row, no_md5):
    with pytest.raises(AssertionError, match="an MD5 is computed"):
        driver.verify(rows.record(row))


def test_a_backup_without_a_seal_is_restored_with_it(tmp_path, driver, rows, row, target, no_md5):
    unsealed(tmp_path, row, lambda document: None)
    with pytest.raises(AssertionError, match="an MD5 is computed"):
        rows.restore(driver, row, target)


def test_a_changed_byte_is_found(driver, rows, row, target, changed):
    with pytest.raises(BackupDamaged, match="block 0 or one after it has another SHA-256"):
        rows.restore(driver, row, target)


def test_everything_behind_it_is_restored_past_damage(driver, rows, row, target, changed):
    found: list[Any] = []
    with target.open("r+b") as file:
        driver.restore(rows.record(row), "v", file, True, damage=found)

    assert len(found) == 1
    assert target.read_bytes() == changed
