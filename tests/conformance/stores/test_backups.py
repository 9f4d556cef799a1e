# SPDX-License-Identifier: Apache-2.0
"""The contract of a backup store, sentence by sentence. Source: seeds, BackupDriver."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from drivers.interface.backup import BackupDriver
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace

from ..checks.contents import difference
from .rows import scribble

Make = Callable[[], Any]


class Ended(Exception):
    """The exception that a pace raises."""


class TestSetup:
    def test_it_can_be_checked_twice(self, driver: BackupDriver) -> None:
        driver.check_for_setup_error()
        driver.check_for_setup_error()

    def test_it_says_whether_deletion_can_be_forced(self, driver: BackupDriver) -> None:
        assert driver.support_force_delete in (True, False)


class TestPlace:
    def test_a_second_call_answers_what_the_row_says(self, driver, rows) -> None:
        row = rows.new()
        first = driver.place(rows.record(row)) or {}
        row.update(first)
        assert (driver.place(rows.record(row)) or {}) == first

    def test_a_place_that_is_none_is_refused(self, driver, rows) -> None:
        if type(driver).place is BackupDriver.place:
            pytest.skip(f"{type(driver).__name__} does not announce place")
        with pytest.raises(BackupDriverException):
            driver.place(rows.record(rows.new(container="../../etc")))


class TestBackupAndRestore:
    def test_what_comes_back_is_what_was_there(self, driver, rows, volume, target) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_an_incremental_one_brings_all_of_its_moment(
        self, driver, rows, volume, target, size
    ) -> None:
        full = rows.new()
        rows.back_up(driver, full, volume)
        before = volume.read_bytes()
        scribble(volume, random.Random(9), size)
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        for row, wanted in ((leaf, volume.read_bytes()), (full, before)):
            rows.restore(driver, row, target)
            assert difference(target.read_bytes(), wanted) is None

    def test_a_parent_of_another_size_makes_it_a_full_one(
        self, driver, rows, volume, target
    ) -> None:
        parent = rows.new()
        rows.back_up(driver, parent, volume)
        row = rows.new(parent, size=2)
        rows.back_up(driver, row, volume)
        assert row["parent_id"] is None
        driver.delete_backup(rows.record(parent))
        rows.restore(driver, row, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_a_repeated_call_completes_what_was_cut_short(
        self, make: Make, driver, rows, volume, target
    ) -> None:
        row = rows.new()
        with pytest.raises(Ended):
            rows.back_up(driver, row, volume, pace=Pace(progress=_end_at(0.4), key="k"))
        rows.back_up(make(), row, volume, pace=Pace(key="k"))
        with open(target, "r+b") as file, pytest.raises(Ended):
            driver.restore(rows.record(row), "v", file, pace=Pace(progress=_end_at(0.4), key="r"))
        with open(target, "r+b") as file:
            make().restore(rows.record(row), "v", file, pace=Pace(key="r"))
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_zeros_may_be_left_out_of_a_new_volume(
        self, driver, rows, volume, target, size
    ) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        os.truncate(target, 0)
        os.truncate(target, size)
        rows.restore(driver, row, target, new=True)
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_a_volume_that_is_too_small_is_refused(
        self, driver, rows, volume, target, size
    ) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        os.truncate(target, size - 4096)
        with pytest.raises(BackupDriverException):
            rows.restore(driver, row, target)

    def test_metadata_goes_along(self, driver, rows, volume, target) -> None:
        driver.metadata.text = '{"version": 2, "volume-metadata": {"a": "b"}}'
        row = rows.new()
        rows.back_up(driver, row, volume, backup_metadata=True)
        rows.restore(driver, row, target)
        assert driver.metadata.put_back == [(row["volume_id"], driver.metadata.text)]


class TestDelete:
    def test_it_is_gone_and_so_it_stays(self, driver, rows, volume, target) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        record = rows.record(row)
        driver.delete_backup(record)
        driver.delete_backup(record)
        with pytest.raises(BackupDamaged):
            rows.restore(driver, row, target)

    def test_one_that_was_never_begun_is_absent(self, driver, rows) -> None:
        driver.delete_backup(rows.record(rows.new()))

    def test_one_whose_container_is_gone_is_absent(self, driver, rows) -> None:
        if not hasattr(driver, "_store"):
            pytest.skip(f"{type(driver).__name__} has no containers of objects")
        row = rows.new(container="never-made")
        row["service_metadata"] = prefix = driver._store.prefix(rows.record(row))
        assert driver._store.names("never-made", prefix) == {}
        driver._store.delete("never-made", f"{prefix}-00001")
        driver.delete_backup(rows.record(row))

    def test_others_stay(self, driver, rows, volume, target) -> None:
        kept, gone = rows.new(), rows.new()
        for row in (kept, gone):
            rows.back_up(driver, row, volume)
        driver.delete_backup(rows.record(gone))
        rows.restore(driver, kept, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None


class TestVerify:
    def test_a_whole_one_passes_and_a_lost_one_does_not(self, driver, rows, volume) -> None:
        full = rows.new()
        rows.back_up(driver, full, volume)
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        try:
            driver.verify(rows.record(leaf))
        except NotImplementedError:
            pytest.skip(f"{type(driver).__name__} does not announce verify")
        lost = full if driver.needs_parents else leaf
        driver.delete_backup(rows.record(lost))
        with pytest.raises(BackupDamaged):
            driver.verify(rows.record(leaf))


class TestRecords:
    def test_what_is_exported_can_be_imported(
        self, make: Make, driver, rows, volume, target
    ) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        record = rows.record(row)
        make().import_record(record, driver.export_record(record) or {})
        rows.restore(driver, row, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None


def _end_at(fraction: float) -> Callable[[float], None]:
    def tell(done: float) -> None:
        if done >= fraction:
            raise Ended

    return tell
