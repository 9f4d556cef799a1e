# SPDX-License-Identifier: Apache-2.0
"""Answers, progress, damage, work files and imported records. Source: seeds, BackupDriver."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shutil

import pytest

from drivers.interface.backup import BackupDriver
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace

from ..checks import answers, leaks, outside
from ..checks.contents import difference
from .rows import VOLUME_ID, Rows

RUBBISH_INFO = [None, 7, "text", [], {"unknown": ["rubbish"], "version": 10**9}]


def takes(method, name):
    return name in inspect.signature(method).parameters


class TestAnswers:
    def test_update_is_of_columns_of_a_backup(self, driver, rows, volume) -> None:
        row = rows.new()
        assert answers.update(driver.place(rows.record(row)), rows.record(row)) is None
        row.update(driver.place(rows.record(row)) or {})
        with open(volume, "rb") as file:
            answer = driver.backup(rows.record(row), file)
        assert answers.update(answer, rows.record(row)) is None

    def test_restore_and_delete_answer_nothing(self, driver, rows, volume, target) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        with open(target, "r+b") as file:
            assert driver.restore(rows.record(row), VOLUME_ID, file) is None
        assert driver.delete_backup(rows.record(row)) is None

    def test_exported_information_is_a_dict_fit_for_json(self, driver, rows, volume) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        info = driver.export_record(rows.record(row))
        assert isinstance(info, dict)
        assert json.loads(json.dumps(info)) == info
        assert driver.import_record(rows.record(row), info) is None

    def test_metadata_is_a_dict_as_json(self, driver) -> None:
        assert isinstance(json.loads(driver.get_metadata(VOLUME_ID)), dict)


class TestData:
    def test_the_volume_is_only_read(self, driver, rows, volume) -> None:
        before = volume.read_bytes()
        rows.back_up(driver, rows.new(), volume)
        assert difference(volume.read_bytes(), before) is None

    def test_a_second_backup_has_newer_data(self, driver, rows, volume, target) -> None:
        first, second = rows.new(), rows.new()
        rows.back_up(driver, first, volume)
        before = volume.read_bytes()
        with volume.open("r+b") as file:
            file.write(b"newer")
        rows.back_up(driver, second, volume)
        for row, wanted in ((first, before), (second, volume.read_bytes())):
            rows.restore(driver, row, target)
            assert difference(target.read_bytes(), wanted) is None

    def test_zeros_of_an_incremental_backup_are_restored(
        self, driver, rows, volume, target, size
    ) -> None:
        full = rows.new()
        rows.back_up(driver, full, volume)
        with volume.open("r+b") as file:
            file.write(bytes(size // 2))
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        rows.restore(driver, leaf, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_three_in_a_row_are_restored(self, driver, rows, volume, target) -> None:
        parent = None
        for text in (b"one", b"two", b"three"):
            with volume.open("r+b") as file:
                file.seek(len(text) * 100_000)
                file.write(text)
            row = rows.new(parent)
            rows.back_up(driver, row, volume)
            parent = row
        rows.restore(driver, parent, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_an_odd_length_is_restored(self, driver, rows, volume, target, size) -> None:
        os.truncate(volume, size - 4096 * 3 - 512)
        row = rows.new()
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        length = volume.stat().st_size
        assert difference(target.read_bytes()[:length], volume.read_bytes()) is None

    def test_a_larger_volume_keeps_its_size(self, driver, rows, volume, target, size) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        with target.open("ab") as file:
            file.write(b"x" * 65536)
        rows.restore(driver, row, target)
        assert target.stat().st_size == size + 65536
        assert difference(target.read_bytes()[:size], volume.read_bytes()) is None

    def test_a_repeated_backup_is_of_one_moment(self, driver, rows, volume, target) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        before = volume.read_bytes()
        with volume.open("r+b") as file:
            file.write(b"newer")
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        moments = before, volume.read_bytes()
        assert None in [difference(target.read_bytes(), one) for one in moments]

    def test_another_instance_restores(self, make, driver, rows, volume, target) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        rows.restore(make(), row, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_metadata_is_kept_only_where_asked_for(self, driver, rows, volume, target) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume, backup_metadata=False)
        rows.restore(driver, row, target)
        assert driver.metadata.put_back == []

    def test_metadata_goes_to_the_volume_that_is_restored(
        self, driver, rows, volume, target
    ) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume, backup_metadata=True)
        with target.open("r+b") as file:
            driver.restore(rows.record(row), "another", file)
        assert [volume_id for volume_id, _ in driver.metadata.put_back] == ["another"]


class TestProgress:
    @pytest.fixture
    def told(self) -> list[float]:
        return []

    def test_it_grows_from_0_to_1(self, driver, rows, volume, target, told) -> None:
        if not takes(driver.backup, "pace"):
            pytest.skip("backup takes no pace")
        row = rows.new()
        rows.back_up(driver, row, volume, pace=Pace(progress=told.append, key="b"))
        assert told and told == sorted(told)
        assert told[0] >= 0 and told[-1] <= 1
        told.clear()
        with target.open("r+b") as file:
            driver.restore(rows.record(row), "v", file, pace=Pace(progress=told.append, key="r"))
        assert told and told == sorted(told)
        assert told[0] >= 0 and told[-1] <= 1


class TestDamage:
    def test_a_missing_object_is_noticed(self, driver, rows, volume, target, stored_files) -> None:
        before = stored_files()
        row = rows.new()
        rows.back_up(driver, row, volume)
        made = sorted(stored_files() - before, key=os.path.getsize)
        if not made:
            pytest.skip("the store is no directory of this host")
        os.remove(made[-1])
        with pytest.raises(BackupDamaged):
            rows.restore(driver, row, target)

    def test_a_shortened_object_is_noticed(
        self, driver, rows, volume, target, stored_files
    ) -> None:
        before = stored_files()
        row = rows.new()
        rows.back_up(driver, row, volume)
        made = sorted(stored_files() - before, key=os.path.getsize)
        if not made:
            pytest.skip("the store is no directory of this host")
        os.truncate(made[-1], os.path.getsize(made[-1]) // 2)
        with pytest.raises(BackupDriverException):
            rows.restore(driver, row, target)

    def test_an_absent_backup_leaves_the_volume(self, driver, rows, target) -> None:
        before = target.read_bytes()
        with pytest.raises(BackupDriverException):
            rows.restore(driver, rows.new(), target)
        assert difference(target.read_bytes(), before) is None

    def test_a_lost_parent_is_noticed(self, driver, rows, volume, target) -> None:
        full = rows.new()
        rows.back_up(driver, full, volume)
        with volume.open("r+b") as file:
            file.write(b"newer")
        leaf = rows.new(full)
        rows.back_up(driver, leaf, volume)
        driver.delete_backup(rows.record(full))
        if not driver.needs_parents:
            rows.restore(driver, leaf, target)
            assert difference(target.read_bytes(), volume.read_bytes()) is None
            return
        with pytest.raises(BackupDamaged):
            rows.restore(driver, leaf, target)

    def test_no_lost_file_of_a_chain_changes_data(
        self, driver, rows, volume, target, stored_files, tmp_path
    ) -> None:
        """A restore without one of them fails, or it does not need that file."""
        before, row = stored_files(), None
        for text in (b"", b"newer"):
            with volume.open("r+b") as file:
                file.write(text)
            row = rows.new(row)
            rows.back_up(driver, row, volume)
        made = sorted(stored_files() - before)
        if not made:
            pytest.skip("the store is no directory of this host")
        noise = target.read_bytes()
        for path in made:
            target.write_bytes(noise)
            aside = shutil.move(path, tmp_path / "aside")
            try:
                rows.restore(driver, row, target)
            except BackupDriverException:
                continue
            finally:
                shutil.move(aside, path)
            assert difference(target.read_bytes(), volume.read_bytes()) is None, path


class TestLeftFiles:
    def test_no_work_file_is_left(self, driver, rows, volume, target, work_files) -> None:
        before = work_files()
        row = rows.new()
        rows.back_up(driver, row, volume)
        leaf = rows.new(row)
        rows.back_up(driver, leaf, volume)
        rows.restore(driver, leaf, target)
        assert work_files() == before

    def test_deletion_leaves_nothing(self, driver, rows, volume, stored_files) -> None:
        before = stored_files()
        row = rows.new()
        rows.back_up(driver, row, volume)
        leaf = rows.new(row)
        rows.back_up(driver, leaf, volume)
        for one in (leaf, row):
            driver.delete_backup(rows.record(one))
        assert {file for file in stored_files() - before if not file.endswith(".lock")} == set()

    def test_many_backups_leave_no_open_files(self, driver, rows, volume, target) -> None:
        def cycle() -> None:
            row = rows.new()
            rows.back_up(driver, row, volume)
            rows.restore(driver, row, target)
            driver.delete_backup(rows.record(row))

        cycle()
        before = leaks.descriptors()
        for _ in range(4):
            cycle()
        assert leaks.descriptors() < before + 4

    def test_a_failed_backup_is_cleared_by_its_deletion(
        self, driver, rows, volume, stored_files
    ) -> None:
        if not takes(driver.backup, "pace"):
            pytest.skip("backup takes no pace")
        before, row = stored_files(), rows.new()

        def end(fraction: float) -> None:
            if fraction > 0.3:
                raise KeyError("the end")

        with pytest.raises(KeyError):
            rows.back_up(driver, row, volume, pace=Pace(progress=end, key="k"))
        driver.delete_backup(rows.record(row))
        assert {file for file in stored_files() - before if not file.endswith(".lock")} == set()


class TestImport:
    """The record is untrusted input."""

    @pytest.mark.parametrize(
        "columns",
        [
            {"container": outside.RELATIVE},
            {"container": outside.DIRECTORY},
            {"service_metadata": outside.RELATIVE, "container": "../x"},
            {"id": f"../{outside.RELATIVE}", "container": outside.DIRECTORY},
        ],
        ids=lambda columns: "-".join(columns),
    )
    def test_a_place_outside_is_refused(self, driver: BackupDriver, rows: Rows, columns) -> None:
        record = rows.record(rows.new(**columns))
        with pytest.raises(BackupDriverException):
            driver.import_record(record, driver.export_record(record) or {})

    @pytest.mark.parametrize("info", RUBBISH_INFO, ids=str)
    def test_rubbish_is_refused_or_ignored(self, driver, rows, volume, target, info) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        other = rows.new(container=row["container"], service_metadata=None)
        with contextlib.suppress(BackupDriverException):
            driver.import_record(rows.record(other), info)
        rows.restore(driver, row, target)
        assert difference(target.read_bytes(), volume.read_bytes()) is None

    def test_information_of_another_driver_is_refused(self, driver, rows, volume) -> None:
        row = rows.new()
        rows.back_up(driver, row, volume)
        if not driver.export_record(rows.record(row)):
            pytest.skip("it needs no information besides the row")
        with pytest.raises(BackupDriverException):
            driver.import_record(rows.record(row), {"another driver": True})
