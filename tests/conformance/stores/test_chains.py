# SPDX-License-Identifier: Apache-2.0
"""Chains that change: backups are stored a second time, and others go. Scrubs name damage."""

from __future__ import annotations

import os
from typing import Any

import pytest

from drivers.interface.backup import BackupDriver
from drivers.interface.errors import BackupDriverException

from ..checks.contents import difference


@pytest.fixture
def chain(driver, rows, volume) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return three backups, each on the one before, and the volume at the moment of each."""
    if type(driver).rewrite is BackupDriver.rewrite:
        pytest.skip(f"{type(driver).__name__} does not announce rewrite")
    made: list[dict[str, Any]] = []
    data: list[bytes] = []
    for number in range(3):
        with volume.open("r+b") as file:
            file.seek(number * 70_000)
            file.write(os.urandom(3000))
        row = rows.new(made[-1] if made else None)
        rows.back_up(driver, row, volume)
        made.append(row)
        data.append(volume.read_bytes())
    return made, data


def rewritten(driver, rows, row, base) -> str:
    """Store a backup anew, switch its row, and return its former place."""
    before = row["service_metadata"]
    record = rows.record(row)
    place = driver.other_place(record)
    assert place != before
    row.update(driver.rewrite(record, base and rows.record(base), place) or {})
    return str(before)


class TestChains:
    def test_a_full_one_is_made_of_a_chain(self, driver, rows, chain, target) -> None:
        made, data = chain
        former = rewritten(driver, rows, made[2], None)
        for row in (made[0], made[1]):
            driver.delete_backup(rows.record(row))
        for _ in range(2):
            driver.remove_copy(rows.record(made[2]), former)
        assert made[2]["parent_id"] is None
        rows.restore(driver, made[2], target)
        assert difference(target.read_bytes(), data[2]) is None

    def test_the_middle_goes_and_the_others_stay(self, driver, rows, chain, target) -> None:
        made, data = chain
        former = rewritten(driver, rows, made[2], made[0])
        driver.remove_copy(rows.record(made[2]), former)
        driver.delete_backup(rows.record(made[1]))
        for number in (0, 2):
            rows.restore(driver, made[number], target)
            assert difference(target.read_bytes(), data[number]) is None

    def test_both_copies_are_there_until_one_is_removed(self, driver, rows, chain, target) -> None:
        made, data = chain
        record = rows.record({**made[2]})
        place = driver.other_place(record)
        driver.rewrite(record, None, place)
        rows.restore(driver, made[2], target)
        assert difference(target.read_bytes(), data[2]) is None
        driver.remove_copy(record, place)
        rows.restore(driver, made[2], target)
        assert difference(target.read_bytes(), data[2]) is None

    def test_what_the_row_names_is_not_removed(self, driver, rows, chain, target) -> None:
        made, data = chain
        with pytest.raises(BackupDriverException):
            driver.remove_copy(rows.record(made[2]), made[2]["service_metadata"])
        rows.restore(driver, made[2], target)
        assert difference(target.read_bytes(), data[2]) is None


class TestScrub:
    def test_a_whole_backup_has_no_damage(self, driver, rows, volume) -> None:
        if type(driver).scrub is BackupDriver.scrub:
            pytest.skip(f"{type(driver).__name__} does not announce scrub")
        row = rows.new()
        rows.back_up(driver, row, volume)
        assert driver.scrub(rows.record(row)) == []
