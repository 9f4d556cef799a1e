# SPDX-License-Identifier: Apache-2.0
"""The option for the size of a block changes; older backups are restored all the same."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from drivers.backup.format import block_hashes
from drivers.backup.format.block_hashes import BlockHashes
from drivers.interface.errors import BackupDamaged, BackupDriverException
from tests.backups import BLOCK, Rows, posix
from tests.unit.drivers.backup.test_bad_input import change, files, unsealed


@pytest.fixture
def other(tmp_path: Path):
    """A driver whose blocks are larger than those of the stored backup."""
    return posix(tmp_path, backup_sha_block_size_bytes=2 * BLOCK)


def as_cinder(root: Path, row) -> None:
    unsealed(root, row, lambda document: None)


class TestOption:
    @pytest.mark.parametrize("sealed", [True, False])
    def test_another_one_today_spoils_no_backup(
        self, tmp_path, rows, volume, target, other, sealed
    ):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        with open(volume, "r+b") as file:
            file.seek(9 * BLOCK)
            file.write(b"changed")
        row = rows.new(full)
        rows.back_up(driver, row, volume)
        if not sealed:
            as_cinder(tmp_path, full)
            as_cinder(tmp_path, row)

        other.verify(rows.record(row))
        rows.restore(other, row, target)
        assert target.read_bytes() == volume.read_bytes()

    def test_links_of_a_chain_may_differ(self, tmp_path, rows, volume, target, other):
        driver, full, twin = posix(tmp_path), rows.new(), rows.new()
        rows.back_up(other, full, volume)
        rows.back_up(driver, twin, volume)
        with open(volume, "r+b") as file:
            file.seek(3 * BLOCK)
            file.write(b"changed")
        row = rows.new(twin)
        rows.back_up(driver, row, volume)
        row["parent_id"] = full["id"]
        as_cinder(tmp_path, full)
        unsealed(tmp_path, row, lambda document: document.update(parent_id=full["id"]))

        for one in (driver, other, posix(tmp_path, backup_sha_block_size_bytes=4 * BLOCK)):
            one.verify(rows.record(row))
            rows.restore(one, row, target)
            assert target.read_bytes() == volume.read_bytes()

    def test_damage_is_still_found(self, tmp_path, rows, volume, target, other):
        driver, row = posix(tmp_path, backup_compression_algorithm="none"), rows.new()
        rows.back_up(driver, row, volume)
        as_cinder(tmp_path, row)
        first = files(tmp_path, row) / f"{row['service_metadata']}_sha256file"
        text = bytearray(first.read_bytes())
        at = text.index(b'"sha256s": ["') + 13 + 67 * 5
        text[at : at + 64] = hashlib.sha256(b"other").hexdigest().encode()
        first.write_bytes(text)

        with pytest.raises(BackupDamaged, match="has another SHA-256"):
            other.verify(rows.record(row))
        with pytest.raises(BackupDamaged, match="has another SHA-256"):
            rows.restore(other, row, target)

    def test_a_block_larger_than_what_is_read_at_a_time(self, tmp_path, rows, target):
        volume, size = tmp_path / "large", target.stat().st_size
        volume.write_bytes(random.Random(3).randbytes(size))
        blocks = {"backup_sha_block_size_bytes": 384 * BLOCK, "backup_file_size": 768 * BLOCK}
        for kind in ("none", "zlib"):
            driver, row = posix(tmp_path, backup_compression_algorithm=kind, **blocks), rows.new()
            rows.back_up(driver, row, volume)
            as_cinder(tmp_path, row)
            posix(tmp_path).verify(rows.record(row))
            rows.restore(posix(tmp_path), row, target)
            assert target.read_bytes() == volume.read_bytes()


class TestHashFile:
    @pytest.mark.parametrize("size", [0, -BLOCK, True, "4096", 4096.0, None, 2**31 + 1])
    def test_a_block_of_no_size_is_refused(self, tmp_path, rows: Rows, volume, target, size):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        as_cinder(tmp_path, row)

        def edit(data: bytes) -> bytes:
            return json.dumps({**json.loads(data), "chunk_size": size}).encode()

        change(tmp_path, row, "_sha256file", edit)
        with pytest.raises(BackupDriverException, match=r"_sha256file .* its blocks are"):
            driver.verify(rows.record(row))
        with pytest.raises(BackupDriverException, match=r"_sha256file .* its blocks are"):
            rows.restore(driver, row, target)

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_size_may_stand_before_or_after_the_hashes(self, tmp_path, order):
        zero, one = (hashlib.sha256(data).hexdigest() for data in (bytes(512), b"one"))
        document = {"chunk_size": 512, "sha256s": [zero, one, zero]}
        text = json.dumps(dict([*document.items()][::order]), indent=2).encode()
        with BlockHashes.in_temporary_file(tmp_path) as found:
            block_hashes.parse([text[:50], text[50:]], found, "it")
            assert (found.block_size, found.count) == (512, 3)
            assert found.read(0, 3).hex() == zero + one + zero
