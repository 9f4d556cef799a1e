# SPDX-License-Identifier: Apache-2.0
"""Restored data is identical: sparse volumes, chains, deletions, all compressions."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.backup.format import compression
from tests.backups import BLOCK, MIB, Metadata, Rows, posix, scribble
from tests.length import examples

KINDS = ("zlib", "bz2", "zstd", "none")


def blank(path: Path, size: int, *, new: bool, dice: random.Random) -> Path:
    """Make a target: of zeros, or of noise."""
    path.unlink(missing_ok=True)
    if new:
        path.touch()
    else:
        path.write_bytes(dice.randbytes(size))
    os.truncate(path, size)
    return path


class TestChains:
    @settings(
        max_examples=examples(20),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), length=st.integers(1, 10))
    def test_every_backup_that_is_left_comes_back(self, seed: int, kind: str, length: int) -> None:
        dice = random.Random(seed)
        size = dice.randrange(1, 3 * MIB)
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            driver, rows = posix(root, backup_compression_algorithm=kind), Rows()
            volume, kept = root / "volume", {}
            for number in range(length):
                scribble(volume, dice, size, writes=dice.randrange(4))
                parents = [None, *kept.values()] if dice.random() < 0.2 else [*kept.values()][-1:]
                parent = dice.choice(parents or [None])
                row = rows.new(parent)
                rows.back_up(driver, row, volume)
                kept[number] = row
                shutil.copyfile(volume, root / f"as-{number}")
            for number in reversed(range(length)):
                row = kept[number]
                needed = any(other["parent_id"] == row["id"] for other in kept.values())
                if not needed and dice.random() < 0.3:
                    driver.delete_backup(rows.record(row))
                    del kept[number]
            for number, row in kept.items():
                new = dice.random() < 0.5
                goal = blank(root / "target", size, new=new, dice=dice)
                rows.restore(driver, row, goal, new)
                assert goal.read_bytes() == (root / f"as-{number}").read_bytes(), number
                driver.verify(rows.record(row))
            for row in reversed([*kept.values()]):
                driver.delete_backup(rows.record(row))
            assert [*(root / "store").iterdir()] == []
            assert [*(root / "work").iterdir()] == []

    def test_an_incremental_holds_only_what_changed(self, tmp_path, rows, volume):
        driver = posix(tmp_path, backup_compression_algorithm="none")
        full = rows.new()
        rows.back_up(driver, full, volume)
        with open(volume, "r+b") as file:
            file.seek(10 * BLOCK + 7)
            file.write(b"changed")
        row = rows.new(full)
        rows.back_up(driver, row, volume)
        [size] = [
            one.stat().st_size for one in (tmp_path / "store" / row["container"]).glob("*-0000*")
        ]
        assert (size, row["object_count"]) == (BLOCK, 1)

    def test_nothing_changed_is_a_backup_without_objects(self, tmp_path, rows, volume, target):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        row = rows.new(full)
        rows.back_up(driver, row, volume)
        assert row["object_count"] == 0
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()

    def test_zeros_over_data_are_a_change(self, tmp_path, rows, volume, target):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        os.truncate(volume, 0)
        os.truncate(volume, target.stat().st_size)
        row = rows.new(full)
        rows.back_up(driver, row, volume)
        for new in (True, False):
            os.truncate(target, 0)
            os.truncate(target, volume.stat().st_size)
            rows.restore(driver, row, target, new)
            assert not any(target.read_bytes())

    def test_only_what_a_driver_says_is_read(self, tmp_path, rows, volume, target):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        before = volume.read_bytes()
        with open(volume, "r+b") as file:
            file.write(b"told")
            file.seek(2 * MIB)
            file.write(b"not told")
        row = rows.new(full)
        rows.back_up(driver, row, volume, changed=[(0, 512)])
        rows.restore(driver, row, target)
        assert target.read_bytes() == b"told" + before[4:]

    def test_a_parent_of_another_size_makes_it_a_full_one(self, tmp_path, rows, volume, target):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        row = rows.new(full, size=2)
        rows.back_up(driver, row, volume)
        assert row["parent_id"] is None
        driver.delete_backup(rows.record(full))
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()


class TestTargets:
    def test_a_larger_volume_has_zeros_behind_the_data(self, tmp_path, rows, volume, target):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        with open(target, "ab") as file:
            file.write(b"tail")
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes() + bytes(4)

    def test_a_new_volume_stays_sparse(self, tmp_path, rows):
        volume, target = tmp_path / "volume", tmp_path / "target"
        for path in (volume, target):
            path.touch()
            os.truncate(path, 64 * MIB)
        with open(volume, "r+b") as file:
            file.seek(40 * MIB)
            file.write(b"x" * 5000)
        driver, row = posix(tmp_path, backup_file_size=16 * MIB), rows.new()
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target, new=True)
        assert target.read_bytes() == volume.read_bytes()
        assert target.stat().st_blocks * 512 <= MIB // 4

    def test_an_old_volume_becomes_sparse(self, tmp_path, rows):
        volume, target = tmp_path / "volume", tmp_path / "target"
        volume.touch()
        os.truncate(volume, 8 * MIB)
        target.write_bytes(b"y" * 8 * MIB)
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        assert target.read_bytes() == bytes(8 * MIB)
        assert target.stat().st_blocks == 0

    def test_a_file_without_a_descriptor_will_do(self, tmp_path, rows, volume, target):
        class File:
            """As RBD's: a file by its methods only."""

            def __init__(self, file) -> None:
                self.seek, self.read, self.write = file.seek, file.read, file.write
                self.flush = file.flush

        driver, row = posix(tmp_path), rows.new()
        row.update(driver.place(rows.record(row)))
        with open(volume, "rb") as file:
            row.update(driver.backup(rows.record(row), File(file)))
        with open(target, "r+b") as file:
            driver.restore(rows.record(row), "v", File(file))
        assert target.read_bytes() == volume.read_bytes()


class TestMetadata:
    def test_it_is_kept_and_put_back_at_the_end(self, tmp_path, rows, volume, target):
        metadata = Metadata('{"version": 2, "volume-metadata": {"ä": "ö"}}')
        driver, row = posix(tmp_path, metadata=metadata), rows.new()
        rows.back_up(driver, row, volume, backup_metadata=True)
        rows.restore(driver, row, target)
        assert metadata.put_back == [(row["volume_id"], metadata.text)]

    def test_an_incremental_brings_only_its_own(self, tmp_path, rows, volume, target):
        metadata = Metadata('{"version": 2, "n": 1}')
        driver, full = posix(tmp_path, metadata=metadata), rows.new()
        rows.back_up(driver, full, volume, backup_metadata=True)
        metadata.text = '{"version": 2, "n": 2}'
        row = rows.new(full)
        rows.back_up(driver, row, volume, backup_metadata=True)
        rows.restore(driver, row, target)
        assert [text for _id, text in metadata.put_back] == [metadata.text]


class TestCompression:
    @pytest.mark.parametrize("kind", KINDS)
    @settings(max_examples=examples(30), deadline=None)
    @given(parts=st.lists(st.binary(max_size=5000), max_size=5), cut=st.integers(1, 4000))
    def test_parts_become_one_stream(self, kind: str, parts: list[bytes], cut: int) -> None:
        data = b"".join(parts)
        encoder = compression.encoder(kind, len(data))
        stored = b"".join(bytes(encoder.joined(encoder.part(part))) for part in parts)
        stored += encoder.end()
        pieces = [stored[at : at + cut] for at in range(0, len(stored), cut)]
        assert b"".join(compression.decoded(kind, pieces)) == data

    def test_the_zlib_stream_is_one(self) -> None:
        import zlib

        encoder = compression.encoder("zlib", 0)
        parts = [bytes(70000), b"text" * 5000, b"x"]
        stored = b"".join(bytes(encoder.joined(encoder.part(part))) for part in parts)
        assert zlib.decompress(stored + encoder.end()) == b"".join(parts)

    @pytest.mark.parametrize("kind", ["zlib", "bz2"])
    def test_a_stream_cut_short_is_told(self, kind: str) -> None:
        encoder = compression.encoder(kind, 5000)
        stored = bytes(encoder.joined(encoder.part(b"abcde" * 1000))) + encoder.end()
        for end in (1, len(stored) // 2, len(stored) - 1):
            with pytest.raises(compression.Damaged):
                list(compression.decoded(kind, [stored[:end]]))

    @pytest.mark.parametrize("name", ["lz4", "", None, 5])
    def test_another_name_is_refused(self, name: object) -> None:
        with pytest.raises(ValueError, match="there is no compression"):
            compression.canonical(name)

    def test_what_does_not_get_smaller_is_stored_as_it_is(self, tmp_path, rows):
        volume = tmp_path / "volume"
        volume.write_bytes(random.Random(3).randbytes(64 * BLOCK))
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        [one] = (tmp_path / "store" / row["container"]).glob("*-00001")
        assert one.read_bytes() == volume.read_bytes()
