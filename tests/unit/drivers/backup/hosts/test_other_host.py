# SPDX-License-Identifier: Apache-2.0
"""A host continues a transfer of another one from the checkpoint that it left in the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drivers.backup.posix import PosixDriver
from drivers.backup.stores.object_store import StoreError
from drivers.backup.transfer import checkpoint
from drivers.backup.transfer.stored_checkpoint import CheckpointPlace
from drivers.interface.pace import Pace
from tests.backups import Metadata, Rows, change_in_places, settings
from tests.unit.drivers.backup.test_resume import Ended, Reads, until


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is noted as soon as it is done."""
    monkeypatch.setattr(checkpoint, "FIRST_INTERVAL", 0.0)


def host(root: Path, name: str, *, shared: bool = True) -> PosixDriver:
    """Return the driver of a host with work files of its own."""
    options = settings(root, backup_work_path=str(root / name), backup_transfers=1)
    driver = PosixDriver(options, metadata=Metadata(), shared=shared)
    driver.check_for_setup_error()
    return driver


def objects(root: Path, row: dict) -> dict[str, int]:
    """Return the objects of a backup, with the numbers of their files."""
    found = (root / "store" / row["container"]).iterdir()
    return {one.name: one.stat().st_ino for one in found if not one.name.startswith(".")}


def remains(root: Path) -> list[str]:
    return [one.name for one in (root / "store").rglob(".*") if "checkpoint" in one.name]


def test_a_backup_continues_elsewhere(tmp_path, rows: Rows, volume, target) -> None:
    first, second, row = host(tmp_path, "h1"), host(tmp_path, "h2"), rows.new()
    row.update(first.place(rows.record(row)))
    with pytest.raises(Ended):
        rows.back_up(first, row, volume, pace=until(0.5))
    kept = objects(tmp_path, row)
    assert len(kept) >= 3
    saved: list[float] = []

    rows.back_up(second, row, volume, pace=Pace(key="one", saved=saved.append))

    assert saved[0] >= 0.4  # it did not begin anew
    assert len(kept.items() & objects(tmp_path, row).items()) >= len(kept) - 2
    rows.restore(second, row, target)
    assert target.read_bytes() == volume.read_bytes()
    second.verify(rows.record(row))  # with the hashes of the blocks that the first host read
    assert remains(tmp_path) == []


def test_an_incremental_one_continues_elsewhere(tmp_path, rows: Rows, volume, target) -> None:
    first, second, full = host(tmp_path, "h1"), host(tmp_path, "h2"), rows.new()
    rows.back_up(first, full, volume)
    change_in_places(volume)
    row = rows.new(full)
    with pytest.raises(Ended):
        rows.back_up(first, row, volume, pace=until(0.5))
    rows.back_up(second, row, volume)
    rows.restore(second, row, target)
    assert target.read_bytes() == volume.read_bytes()
    second.verify(rows.record(row))


def test_the_first_host_does_not_trust_its_old_file(tmp_path, rows: Rows, volume, target) -> None:
    """Another host has continued meanwhile, and numbered its objects anew."""
    first, second, row = host(tmp_path, "h1"), host(tmp_path, "h2"), rows.new()
    row.update(first.place(rows.record(row)))
    with pytest.raises(Ended):
        rows.back_up(first, row, volume, pace=until(0.4))
    for left in (tmp_path / "store").rglob(".checkpoint-*"):
        left.unlink()  # so that the second one begins at the first object
    with pytest.raises(Ended):
        rows.back_up(second, row, volume, pace=until(0.2))

    rows.back_up(host(tmp_path, "h1"), row, volume)
    rows.restore(first, row, target)
    assert target.read_bytes() == volume.read_bytes()


def test_a_damaged_checkpoint_and_all_after_it_are_left_out(
    tmp_path, rows: Rows, volume, target
) -> None:
    first, second, row = host(tmp_path, "h1"), host(tmp_path, "h2"), rows.new()
    row.update(first.place(rows.record(row)))
    with pytest.raises(Ended):
        rows.back_up(first, row, volume, pace=until(0.7))
    found = sorted((tmp_path / "store").rglob(".checkpoint-*"))
    assert len(found) >= 3
    found[1].write_bytes(found[1].read_bytes()[:-1] + b"x")
    with pytest.raises(Ended):
        rows.back_up(second, row, volume, pace=until(0.0))

    assert len([*(tmp_path / "store").rglob(".checkpoint-*")]) < len(found)
    rows.back_up(second, row, volume)
    rows.restore(second, row, target)
    assert target.read_bytes() == volume.read_bytes()


def test_a_restore_continues_elsewhere(tmp_path, rows: Rows, volume, target) -> None:
    first, second, row = host(tmp_path, "h1"), host(tmp_path, "h2"), rows.new()
    rows.back_up(first, row, volume)
    record = rows.record(row)
    with open(target, "r+b") as file, pytest.raises(Ended):
        first.restore(record, "v", file, pace=until(0.6))
    with open(target, "r+b") as file:
        counted = Reads(file)
        second.restore(record, "v", counted, pace=Pace(key="one"))

    assert 0 < counted.count < 0.8 * volume.stat().st_size
    assert target.read_bytes() == volume.read_bytes()
    assert remains(tmp_path) == []


def test_another_restore_begins_anew(tmp_path, rows: Rows, volume, target) -> None:
    first, second, row = host(tmp_path, "h1"), host(tmp_path, "h2"), rows.new()
    rows.back_up(first, row, volume)
    record = rows.record(row)
    with open(target, "r+b") as file, pytest.raises(Ended):
        first.restore(record, "v", file, pace=until(0.6))
    target.write_bytes(os.urandom(volume.stat().st_size))
    with open(target, "r+b") as file:
        second.restore(record, "v", file, pace=Pace(key="two"))
    assert target.read_bytes() == volume.read_bytes()


def test_a_store_that_takes_no_checkpoint_does_not_stop_a_restore(
    tmp_path, rows: Rows, volume, target, monkeypatch, caplog
) -> None:
    driver, row = host(tmp_path, "h1"), rows.new()
    rows.back_up(driver, row, volume)

    def refuse(*_: object) -> None:
        raise StoreError("read only")

    monkeypatch.setattr(CheckpointPlace, "write", refuse)
    with open(target, "r+b") as file:
        driver.restore(rows.record(row), "v", file, pace=Pace(key="one"))
    assert target.read_bytes() == volume.read_bytes()
    assert caplog.text.count("another host would begin anew: read only") == 1


def test_a_deletion_removes_the_checkpoints(tmp_path, rows: Rows, volume, target) -> None:
    first, second, row = host(tmp_path, "h1"), host(tmp_path, "h2"), rows.new()
    rows.back_up(first, row, volume)
    with open(target, "r+b") as file, pytest.raises(Ended):
        first.restore(rows.record(row), "v", file, pace=until(0.6))
    other = rows.new()
    with pytest.raises(Ended):
        rows.back_up(first, other, volume, pace=until(0.5))
    assert remains(tmp_path)
    for one in (row, other):
        second.delete_backup(rows.record(one))
    assert [*(tmp_path / "store").iterdir()] == []


def test_without_other_hosts_nothing_more_is_stored(tmp_path, rows: Rows, volume) -> None:
    driver, row = host(tmp_path, "h1", shared=False), rows.new()
    with pytest.raises(Ended):
        rows.back_up(driver, row, volume, pace=until(0.5))
    assert remains(tmp_path) == []
