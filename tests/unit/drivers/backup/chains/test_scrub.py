# SPDX-License-Identifier: Apache-2.0
"""All damaged objects of a backup are found in one run; a restore goes past them if asked."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.posix import PosixDriver
from drivers.interface.errors import BackupDamaged
from drivers.interface.pace import Pace
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


def forget_object(path: Path, number: int) -> None:
    """Take an object out of metadata as Cinder writes it: without a seal."""
    known = json.loads(path.read_text())
    for name in ("seal", "sha256file"):
        known.pop(name, None)
    for one in known["objects"]:
        for facts in one.values():
            for name in ("size", "crc32", "zeros"):
                facts.pop(name, None)
    del known["objects"][number]
    path.write_text(json.dumps(known))


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

    @pytest.mark.parametrize("lost", ["the name", "the row"])
    def test_a_parent_without_which_no_restore_begins(self, driver, rows, full, volume, lost):
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        record = rows.record(leaf)
        assert driver.scrub(record) == []
        record = record.replace(**({"parent_id": None} if lost == "the name" else {"parent": None}))
        with pytest.raises(BackupDamaged) as refusal:
            driver.verify(record)
        assert [one.reason for one in driver.scrub(record)] == [str(refusal.value)]

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


class TestForgottenObjects:
    """Metadata of Cinder has no seal: it may have lost an object, which no list compares then."""

    def lost(self, root: Path, row: dict[str, Any], number: int) -> dict[str, Any]:
        [table] = objects(root, row, "_metadata")
        forget_object(table, number)
        return {**row, "object_count": None}  # as a record that was imported

    @pytest.mark.parametrize("new", [True, False])
    def test_a_gap_is_noted_and_has_no_old_data(
        self, driver, rows, full, volume, target, tmp_path, new
    ):
        row = self.lost(tmp_path, full, 1)
        wanted = bytearray(volume.read_bytes())
        target.write_bytes(bytes(len(wanted)) if new else b"o" * len(wanted))
        found: list[Any] = []
        with open(target, "r+b") as file:
            driver.restore(rows.record(row), "v", file, new, damage=found)
        assert [(one.start, one.end) for one in found if one.end] == [(OBJECT, 2 * OBJECT)]
        assert any("-00002 is no object of" in one.reason for one in found)
        wanted[OBJECT : 2 * OBJECT] = bytes(OBJECT)
        assert target.read_bytes() == wanted

    def test_newer_data_stays_above_a_gap_after_a_kill(
        self, driver, rows, full, volume, target, tmp_path
    ):
        with open(volume, "r+b") as file:
            file.seek(OBJECT)
            file.write(b"n" * OBJECT)
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        full.update(self.lost(tmp_path, full, 1))

        def kill(done: float) -> None:
            if done >= 1:
                raise KeyboardInterrupt

        for pace in (Pace(progress=kill, key="one"), Pace(key="one")):
            found: list[Any] = []
            with open(target, "r+b") as file, suppress(KeyboardInterrupt):
                driver.restore(rows.record(leaf), "v", file, pace=pace, damage=found)
        assert target.read_bytes() == volume.read_bytes()
        assert [(one.start, one.end) for one in found if one.end] == [(OBJECT, 2 * OBJECT)]

    def test_the_end_has_no_old_data_below_a_newer_one(
        self, driver, rows, full, volume, target, tmp_path
    ):
        """The last object of the full backup is lost, and the newer one changed its last block."""
        last = objects(tmp_path, full)[-1]
        size = volume.stat().st_size
        with open(volume, "r+b") as file:
            file.seek(size - 1)
            file.write(b"n")
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        full.update(self.lost(tmp_path, full, -1))
        target.write_bytes(b"o" * size)
        found: list[Any] = []
        with open(target, "r+b") as file:
            driver.restore(rows.record(leaf), "v", file, damage=found)
        assert b"oooo" not in target.read_bytes()
        assert any(f"{last.name} is no object of" in one.reason for one in found)

    def test_an_increment_tells_too(self, driver, rows, full, volume, target, tmp_path):
        with open(volume, "r+b") as file:
            file.write(b"n" * 2 * OBJECT)
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        row = self.lost(tmp_path, leaf, 1)
        found: list[Any] = []
        with open(target, "r+b") as file:
            driver.restore(rows.record(row), "v", file, damage=found)
        assert any("-00002 is no object of" in one.reason for one in found)

    def test_scrub_names_the_gap(self, driver, rows, full, tmp_path):
        found = driver.scrub(rows.record(self.lost(tmp_path, full, 1)))
        assert [(one.start, one.end) for one in found if one.end] == [(OBJECT, 2 * OBJECT)]
