# SPDX-License-Identifier: Apache-2.0
"""A second try continues after the checkpoint of the first, and leaves no remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from drivers.backup.transfer import checkpoint
from drivers.interface.pace import Pace
from tests.backups import Rows, change_in_places, posix


class Ended(Exception):
    """The exception with which a test ends a transfer."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is noted as soon as it is done."""
    monkeypatch.setattr(checkpoint, "FIRST_INTERVAL", 0.0)


def until(fraction: float, key: str = "one") -> Pace:
    def report(done: float) -> None:
        if done >= fraction:
            raise Ended

    return Pace(progress=report, key=key)


class Stops(BaseException):
    """The exception with which a process that stops ends a transfer."""


class Stopping:
    """A pace of a process that stops after the first report; it notes the checkpoints."""

    def __init__(self) -> None:
        self.saved: list[float] = []
        self.pace = Pace(progress=self._tell, key="one", saved=self.saved.append)

    def _tell(self, _done: float) -> None:
        raise Stops


class Reads:
    """A file that counts the bytes that are read of it, and written to it."""

    def __init__(self, file) -> None:
        self._file = file
        self.count = 0
        self.seek, self.flush = file.seek, file.flush

    def read(self, length: int) -> bytes:
        found = self._file.read(length)
        self.count += len(found)
        return found

    def write(self, data: bytes) -> None:
        self.count += len(data)
        self._file.write(data)


class TestBackup:
    def test_it_goes_on(self, tmp_path, rows, volume, target):
        driver, row = posix(tmp_path, backup_transfers=1), rows.new()
        row.update(driver.place(rows.record(row)))
        with pytest.raises(Ended):
            rows.back_up(driver, row, volume, pace=until(0.5))
        placed = (row["container"], row["service_metadata"])
        kept = {path: path.stat().st_ino for path in (tmp_path / "store" / placed[0]).iterdir()}
        assert len(kept) >= 3

        again = posix(tmp_path)  # another process
        rows.back_up(again, row, volume)
        assert (row["container"], row["service_metadata"]) == placed
        after = {path: path.stat().st_ino for path in (tmp_path / "store" / placed[0]).iterdir()}
        assert len(kept.items() & after.items()) >= len(kept) - 2
        rows.restore(again, row, target)
        assert target.read_bytes() == volume.read_bytes()
        again.verify(rows.record(row))
        assert [*(tmp_path / "work").iterdir()] == []

    def test_a_stop_writes_a_checkpoint_of_the_extents_that_had_begun(
        self, tmp_path, rows, volume, target, monkeypatch
    ):
        monkeypatch.setattr(checkpoint, "FIRST_INTERVAL", 1000.0)
        driver, row = posix(tmp_path, backup_transfers=1), rows.new()
        reached = []
        for _ in range(100):
            stopping = Stopping()
            try:
                rows.back_up(driver, row, volume, pace=stopping.pace)
                break
            except Stops:
                reached += stopping.saved
        assert len(set(reached)) > 2
        assert sorted(reached) == reached
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()

    def test_an_incremental_goes_on(self, tmp_path, rows, volume, target):
        driver, full = posix(tmp_path, backup_transfers=1), rows.new()
        rows.back_up(driver, full, volume)
        change_in_places(volume)
        row = rows.new(full)
        with pytest.raises(Ended):
            rows.back_up(driver, row, volume, pace=until(0.5))
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()

    def test_a_finished_one_is_not_made_again(self, tmp_path, rows, volume):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        before = dict(row)
        volume.write_bytes(b"other" + volume.read_bytes()[5:])
        row["status"] = "creating"
        rows.back_up(driver, row, volume)
        assert row == before

    def test_without_notes_it_begins_anew(self, tmp_path, rows, volume, target):
        driver, row = posix(tmp_path), rows.new()
        with pytest.raises(Ended):
            rows.back_up(driver, row, volume, pace=until(0.5))
        for path in (tmp_path / "work").iterdir():
            path.unlink()
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()

    @pytest.mark.parametrize("left", [b"", b"0", b"00000000 {}\n", bytes(range(200))])
    def test_notes_that_a_kill_spoilt_are_thrown_away(self, tmp_path, rows, volume, target, left):
        driver, row = posix(tmp_path), rows.new()
        with pytest.raises(Ended):
            rows.back_up(driver, row, volume, pace=until(0.5))
        [notes] = (tmp_path / "work").glob("*.notes")
        notes.write_bytes(notes.read_bytes() + left)
        rows.back_up(driver, row, volume)
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()

    def test_what_was_begun_can_be_deleted(self, tmp_path, rows, volume):
        driver, row = posix(tmp_path), rows.new()
        with pytest.raises(Ended):
            rows.back_up(driver, row, volume, pace=until(0.5))
        driver.delete_backup(rows.record(row))
        assert [*(tmp_path / "store").iterdir()] == [*(tmp_path / "work").iterdir()] == []


class TestRestore:
    def test_it_goes_on(self, tmp_path, rows, volume, target):
        driver, row = posix(tmp_path, backup_transfers=1), rows.new()
        rows.back_up(driver, row, volume)
        record = rows.record(row)
        with open(target, "r+b") as file, pytest.raises(Ended):
            driver.restore(record, "v", file, pace=until(0.6))
        with open(target, "r+b") as file:
            counted = Reads(file)
            posix(tmp_path).restore(record, "v", counted, pace=Pace(key="one"))
        assert 0 < counted.count < 0.8 * volume.stat().st_size
        assert target.read_bytes() == volume.read_bytes()
        assert [*(tmp_path / "work").iterdir()] == []

    def test_a_stop_writes_a_checkpoint_of_the_objects_that_had_begun(
        self, tmp_path, rows, volume, target, monkeypatch
    ):
        monkeypatch.setattr(checkpoint, "FIRST_INTERVAL", 1000.0)
        driver, row = posix(tmp_path, backup_transfers=1), rows.new()
        rows.back_up(driver, row, volume)
        reached = []
        for _ in range(100):
            stopping = Stopping()
            try:
                with open(target, "r+b") as file:
                    driver.restore(rows.record(row), "v", file, pace=stopping.pace)
                break
            except Stops:
                reached += stopping.saved
        assert len(set(reached)) > 2
        assert sorted(reached) == reached
        assert target.read_bytes() == volume.read_bytes()

    def test_another_restore_does_not_go_on_after_it(self, tmp_path, rows, volume, target):
        driver, row = posix(tmp_path, backup_transfers=1), rows.new()
        rows.back_up(driver, row, volume)
        record = rows.record(row)
        with open(target, "r+b") as file, pytest.raises(Ended):
            driver.restore(record, "v", file, pace=until(0.6))
        target.write_bytes(os.urandom(volume.stat().st_size))
        with open(target, "r+b") as file:
            driver.restore(record, "v", file, pace=Pace(key="two"))
        assert target.read_bytes() == volume.read_bytes()


_PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from drivers.backup.transfer import checkpoint, extents
from tests.backups import Rows, posix
checkpoint.FIRST_INTERVAL, extents.MIN_HOLE = 0.0, 1024**2
root, rows = Path(sys.argv[2]), Rows()
row = rows.new(id=sys.argv[3], service_metadata=sys.argv[4], container="c")
class Slow:
    def __init__(self, file): self.seek, self.file = file.seek, file
    def read(self, length):
        print("reads", flush=True)
        return self.file.read(length)
with open(root / "volume", "rb") as file:
    driver = posix(root)
    driver.backup(rows.record(row), Slow(file))
print("kept", flush=True)
"""


class TestKill:
    @pytest.mark.parametrize("reads", [1, 3, 5])
    def test_a_kill_at_any_read_loses_nothing(self, tmp_path, rows, volume, target, reads):
        row = rows.new(container="c")
        prefix = row["service_metadata"] = f"backup_{row['id']}"
        top = Path(__file__).parents[4]
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_PROGRAM), top, tmp_path, row["id"], prefix],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        for _ in range(reads):
            assert process.stdout.readline() == b"reads\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert not [*(tmp_path / "store" / "c").glob("*_metadata")]
        half = tmp_path / "store" / "c" / f".new-{prefix}-00001-{'0' * 16}"
        half.write_bytes(b"as much as the first try had written")
        driver = posix(tmp_path)
        rows.back_up(driver, row, volume)
        assert not [*(tmp_path / "store" / "c").glob(".new-*")]
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()
        half.write_bytes(b"or as much as a later one had")
        driver.delete_backup(rows.record(row))
        assert [*(tmp_path / "store" / "c").iterdir()] == []


def test_the_rows_of_a_try_are_those_of_the_next(tmp_path, rows: Rows) -> None:
    driver, row = posix(tmp_path), rows.new()
    first = driver.place(rows.record(row))
    row.update(first)
    assert driver.place(rows.record(row)) == first
