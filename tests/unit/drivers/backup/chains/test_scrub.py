# SPDX-License-Identifier: Apache-2.0
"""All damaged objects of a backup are found in one run; a restore goes past them if asked."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.posix import PosixDriver
from drivers.interface.errors import BackupDamaged
from tests.backups import BLOCK, Rows, posix

OBJECT = 64 * BLOCK


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[PosixDriver]:
    made = posix(tmp_path, backup_compression_algorithm="none", backup_transfers=1)
    yield made
    vars(made).clear()  # its threads end with its parts, which errors of objects hold as well
    gc.collect()


@pytest.fixture
def full(driver: PosixDriver, rows: Rows, volume: Path) -> dict[str, Any]:
    row = rows.new()
    rows.back_up(driver, row, volume)
    return row


def objects(root: Path, row: dict[str, Any], end: str = "-[0-9]*") -> list[Path]:
    return sorted((root / "store" / row["container"]).glob(f"{row['service_metadata']}{end}"))


def damage(path: Path, at: int = 50) -> bytes:
    """Change a byte of a file, and return its former content."""
    before = path.read_bytes()
    at = min(at, len(before) - 1)
    path.write_bytes(before[:at] + bytes([before[at] ^ 255]) + before[at + 1 :])
    return before


class TestScrub:
    def test_a_whole_backup(self, driver, rows, full):
        assert driver.scrub(rows.record(full)) == []

    def test_every_damaged_object_is_named(self, driver, rows, full, tmp_path):
        first, second, *_, last = objects(tmp_path, full)
        damage(first)
        second.write_bytes(second.read_bytes()[:-1])
        last.unlink()
        found = driver.scrub(rows.record(full))
        assert [one.name for one in found] == [first.name, second.name, last.name]
        assert [one.name in one.reason for one in found] == [True] * 3
        assert (found[0].start, found[1].start) == (0, found[0].end)

    @pytest.mark.parametrize("end", ["_metadata", "_sha256file"])
    def test_tables_are_read_too(self, driver, rows, full, tmp_path, end):
        [table] = objects(tmp_path, full, end)
        damage(table)
        [found] = driver.scrub(rows.record(full))
        assert found.name == table.name

    def test_an_unknown_object_is_named(self, driver, rows, full, tmp_path):
        first = objects(tmp_path, full)[0]
        (first.parent / f"{full['service_metadata']}-99999").write_bytes(b"strange")
        [found] = driver.scrub(rows.record(full))
        assert "-99999 is no object of" in found.reason

    def test_only_its_own_objects_are_read(self, driver, rows, full, volume, tmp_path):
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        damage(objects(tmp_path, full)[0])
        assert driver.scrub(rows.record(leaf)) == []

    def test_its_rate_is_bounded(self, driver, rows, full, monkeypatch):
        limits: list[float] = []
        from drivers.backup.chains import scrubbing

        real = scrubbing.TransferLimits
        monkeypatch.setattr(
            scrubbing, "TransferLimits", lambda *args: limits.append(args[2]) or real(*args)
        )
        assert driver.scrub(rows.record(full), mib_per_second=500) == []
        assert limits == [500 * 1024 * 1024]


class TestNeeded:
    def test_an_object_that_is_overwritten_is_not_needed(
        self, driver, rows, full, volume, tmp_path
    ):
        with open(volume, "r+b") as file:
            file.write(b"\1" * OBJECT)
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        names = [one.name for one in objects(tmp_path, full)][:2]
        assert driver.needed(rows.record(full), names) == set(names)
        assert driver.needed(rows.record(leaf), names) == {names[1]}

    def test_tables_are_needed(self, driver, rows, full, volume):
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        table = f"{full['service_metadata']}_sha256file"
        assert driver.needed(rows.record(leaf), [table, "other"]) == {table}


class TestPastDamage:
    def test_it_ends_at_damage_otherwise(self, driver, rows, full, target, tmp_path):
        objects(tmp_path, full)[1].unlink()
        with pytest.raises(BackupDamaged):
            rows.restore(driver, full, target)

    @pytest.mark.parametrize("new", [True, False])
    def test_everything_else_is_restored(self, driver, rows, full, volume, target, tmp_path, new):
        lost = objects(tmp_path, full)[1]
        lost.unlink()
        if new:
            target.write_bytes(bytes(target.stat().st_size))
        found: list[Any] = []
        with open(target, "r+b") as file:
            driver.restore(rows.record(full), "v", file, new, damage=found)
        wanted = bytearray(volume.read_bytes())
        [one] = found
        wanted[one.start : one.end] = bytes(one.end - one.start)
        assert target.read_bytes() == wanted
        assert one.name == lost.name

    def test_older_data_stays_below_a_lost_object(
        self, driver, rows, full, volume, target, tmp_path
    ):
        before = volume.read_bytes()
        with open(volume, "r+b") as file:
            file.write(b"newer")
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        [lost] = objects(tmp_path, leaf)
        lost.unlink()
        found: list[Any] = []
        with open(target, "r+b") as file:
            driver.restore(rows.record(leaf), "v", file, damage=found)
        assert target.read_bytes() == before
        assert [one.name for one in found] == [lost.name]
