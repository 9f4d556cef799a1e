# SPDX-License-Identifier: Apache-2.0
"""Limits that transfers share: the number of objects, and of bytes in a second."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.backup.transfer import limits
from drivers.backup.transfer.limits import TransferEnded, TransferLimits
from drivers.interface.pace import Pace
from tests.backups import MIB, VOLUME_ID, Rows, posix, scribble

LIMIT = 8 * MIB


class Clock(threading.Event):
    """A clock that moves only while a thread waits, and the event that ends the waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def wait(self, timeout: float | None = None) -> bool:
        """Let time pass."""
        self.now += timeout or 0.0
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


class TestBandwidth:
    def test_so_many_bytes_move_in_a_second(self, clock: Clock) -> None:
        shared, dice, moved = TransferLimits(1, 1, LIMIT), random.Random(7), 0
        began = clock.now
        while clock.now < began + 20:
            length = dice.randrange(1, MIB)
            shared.admit(length, clock)
            moved += length
            assert moved - length <= LIMIT * (clock.now - began) + 1

        assert moved == pytest.approx(LIMIT * 20, abs=2 * MIB)

    def test_what_was_not_used_is_not_caught_up_with(self, clock: Clock) -> None:
        shared = TransferLimits(1, 1, LIMIT)
        shared.admit(MIB, clock)
        clock.now += 60
        began = clock.now
        for _ in range(17):
            shared.admit(MIB, clock)

        assert clock.now - began == pytest.approx(2.0)

    def test_without_a_limit_nobody_waits(self, clock: Clock) -> None:
        shared, began = TransferLimits(1, 1), clock.now
        for _ in range(100):
            shared.admit(1024 * MIB, clock)

        assert clock.now == began

    def test_who_is_stopped_does_not_wait(self, clock: Clock) -> None:
        shared = TransferLimits(1, 1, LIMIT)
        clock.set()
        with pytest.raises(TransferEnded):
            shared.admit(1, clock)

    def test_a_backup_and_a_restore_keep_to_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admitted: list[int] = []
        monkeypatch.setattr(
            TransferLimits, "admit", lambda _self, length, _stop: admitted.append(length)
        )
        volume, rows = tmp_path / "volume", Rows()
        volume.write_bytes(random.Random(1).randbytes(3 * MIB))
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        kept = sum(admitted)
        rows.restore(driver, row, volume)

        assert 3 * MIB <= kept <= 4 * MIB  # some places are looked at before
        assert sum(admitted) - kept == 3 * MIB


class TestTransfers:
    def test_one_more_than_there_are_places_waits(self) -> None:
        shared, stopped = TransferLimits(1, 3), threading.Event()
        stopped.set()
        with ExitStack() as held:
            for _ in range(3):
                held.enter_context(shared.slot(stopped))
            with pytest.raises(TransferEnded), shared.slot(stopped):
                raise AssertionError
        with shared.slot(stopped):
            pass

    def test_two_backups_have_them_together(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows, driver = Rows(), posix(tmp_path, backup_transfers=2)
        guard, under_way, seen = threading.Lock(), [0], [0]
        write = driver._store.writing

        @contextmanager
        def writing(container: str, name: str) -> Iterator[Any]:
            if not name[-5:].isdigit():  # the lists are no transfers
                with write(container, name) as sink:
                    yield sink
                return
            with guard:
                under_way[0] += 1
                seen[0] = max(seen[0], under_way[0])
            time.sleep(0.01)  # there is time for one too many to come
            try:
                with write(container, name) as sink:
                    yield sink
            finally:
                with guard:
                    under_way[0] -= 1

        monkeypatch.setattr(driver._store, "writing", writing)
        volumes = [tmp_path / name for name in ("one", "other")]
        for seed, volume in enumerate(volumes):
            scribble(volume, random.Random(seed), 8 * MIB)
        with ThreadPoolExecutor() as threads:
            made = [rows.new() for _ in volumes]
            list(threads.map(rows.back_up, [driver] * 2, made, volumes))

        assert sum(row["object_count"] for row in made) > 8
        assert seen[0] <= 2


def test_data_that_is_read_or_written_needs_bandwidth_and_holes_do_not(tmp_path: Path) -> None:
    volume, target = tmp_path / "sparse", tmp_path / "blank"
    for path in (volume, target):
        path.touch()
        os.truncate(path, 64 * MIB)
    with volume.open("r+b") as file:
        file.seek(8 * MIB)
        file.write(random.Random(1).randbytes(2 * MIB))
    (driver, moved), rows = (posix(tmp_path), list[int]()), Rows()
    row, pace = rows.new(), Pace(moved=moved.append)
    rows.back_up(driver, row, volume, pace=pace)
    assert 2 * MIB <= sum(moved) <= 4 * MIB

    moved.clear()
    with target.open("r+b") as file:
        driver.restore(rows.record(row), VOLUME_ID, file, True, pace=pace)
    assert 2 * MIB <= sum(moved) <= 4 * MIB
    assert target.read_bytes() == volume.read_bytes()
