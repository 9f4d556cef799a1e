# SPDX-License-Identifier: Apache-2.0
"""Calls of a backup driver with a kill within them, and with another call within them."""

from __future__ import annotations

import shutil

import pytest

from drivers.interface.errors import BackupDamaged

from ..checks.contents import difference
from ..interruption.interleave import interleaved
from ..interruption.kill import killed
from ..interruption.points import sources, spread


@pytest.fixture(autouse=True)
def _killable(store_case):
    if not store_case.points:
        pytest.skip("the client of its server does not survive a fork")


def new_row(rows, driver, parent=None):
    row = rows.new(parent)
    row.update(driver.place(rows.record(row)) or {})
    return row


def backup_call(make, rows, row, volume):
    def prepare():
        driver = make()

        def call():
            with open(volume, "rb") as file:
                driver.backup(rows.record(row), file)

        return call

    return prepare


def points(prepare, driver, case):
    count = killed(prepare, sources(type(driver)), -1)
    assert count
    return spread(count, case.points)


def test_a_killed_backup_can_be_repeated(make, driver, rows, volume, target, store_case):
    places = sources(type(driver))
    first = new_row(rows, driver)
    for at in points(backup_call(make, rows, first, volume), driver, store_case):
        row = new_row(rows, driver)
        killed(backup_call(make, rows, row, volume), places, at)

        rows.back_up(make(), row, volume)

        rows.restore(make(), row, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None


def test_a_killed_backup_can_be_deleted(make, driver, rows, volume, stored_files, store_case):
    places, before = sources(type(driver)), stored_files()
    first = new_row(rows, driver)
    found = points(backup_call(make, rows, first, volume), driver, store_case)
    driver.delete_backup(rows.record(first))
    for at in found:
        row = new_row(rows, driver)
        killed(backup_call(make, rows, row, volume), places, at)

        make().delete_backup(rows.record(row))

        assert {file for file in stored_files() - before if not file.endswith(".lock")} == set()


def test_a_killed_restore_can_be_repeated(make, driver, rows, volume, target, store_case):
    row = rows.new()
    rows.back_up(driver, row, volume)
    places = sources(type(driver))
    noise = target.read_bytes()

    def prepare():
        fresh = make()

        def call():
            with open(target, "r+b") as file:
                fresh.restore(rows.record(row), "v", file)

        return call

    for at in points(prepare, driver, store_case):
        target.write_bytes(noise)
        killed(prepare, places, at)

        rows.restore(make(), row, target)

        assert difference(target.read_bytes(), volume.read_bytes()) is None


def test_a_killed_deletion_can_be_repeated(
    make, driver, rows, volume, target, stored_files, store_case
):
    places, before = sources(type(driver)), stored_files()

    def prepare_for(row):
        def prepare():
            fresh = make()
            return lambda: fresh.delete_backup(rows.record(row))

        return prepare

    first = rows.new()
    rows.back_up(driver, first, volume)
    for at in points(prepare_for(first), driver, store_case):
        row = rows.new()
        rows.back_up(driver, row, volume)
        killed(prepare_for(row), places, at)

        make().delete_backup(rows.record(row))

        with pytest.raises(BackupDamaged):
            rows.restore(driver, row, target)
    assert {file for file in stored_files() - before if not file.endswith(".lock")} == set()


@pytest.mark.parametrize("is_same", [True, False], ids=["one instance", "two instances"])
def test_two_backups_at_once_do_not_disturb_each_other(
    make, driver, rows, volume, target, tmp_path, store_case, is_same
):
    other = tmp_path / "other"
    shutil.copy(volume, other)
    with other.open("r+b") as file:
        file.write(b"other")
    places = sources(type(driver))
    first = new_row(rows, driver)
    for at in points(backup_call(make, rows, first, volume), driver, store_case):
        one, two = new_row(rows, driver), new_row(rows, driver)
        second = driver if is_same else make()

        interleaved(
            lambda one=one: rows.back_up(driver, one, volume),
            lambda two=two, second=second: rows.back_up(second, two, other),
            places,
            at,
        )

        for row, source in ((one, volume), (two, other)):
            rows.restore(driver, row, target)
            assert difference(target.read_bytes(), source.read_bytes()) is None
