# SPDX-License-Identifier: Apache-2.0
"""A host that is frozen in the middle, and wakes after another one has adopted its operation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from drivers.backup.ceph import extent_copy, write_permit
from drivers.backup.ceph.extent_copy import ExtentCopy
from drivers.backup.ceph.write_progress import WriteProgress
from drivers.backup.transfer.checkpoint import Interval
from drivers.backup.transfer.limits import TransferLimits
from drivers.interface.pace import OwnershipLost, Pace
from drivers.rbd_image import Change
from tests.ceph import MODULES, make_image
from tests.ceph.images import FEATURES, OBJECT, Image
from tests.unit.drivers.backup.ceph.conftest import SIZE, Cloud


class FrozenHost:
    """A host that is frozen between the read of a piece and its write.

    :param times_out: whether that is an error then, as of each request that waited for so long.
    :param notices: whether it finds that its locks are lost.
    """

    def __init__(
        self, work: Callable[[Pace], None], *, times_out: bool = False, notices: bool = True
    ) -> None:
        self.times_out, self.notices = times_out, notices
        self.stopped, self.wake = threading.Event(), threading.Event()
        self.ended: list[str] = []
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.stopped.wait(60)

    def go_on(self) -> None:
        """Wake, and end."""
        self.wake.set()
        self._thread.join(60)
        assert self.ended == ["OwnershipLost" if self.notices else "BackupDriverException"]

    def _run(self) -> None:
        try:
            self._work(Pace(progress=self._tell, moved=self._moved, key="same"))
            self.ended.append("done")
        except BaseException as error:  # noqa: BLE001 - whatever it is
            self.ended.append(type(error).__name__)

    def _moved(self, _length: int) -> None:
        self.stopped.set()
        assert self.wake.wait(60)
        if self.times_out:
            raise MODULES.rados.Error("[errno 110] request timed out")

    def _tell(self, _part: float) -> None:
        if self.wake.is_set() and self.notices:
            raise OwnershipLost("the lease ended long ago")


def backing_up(cloud: Cloud, row: dict[str, Any]) -> Callable[[Pace], None]:
    record = cloud.rows.record(dict(row))

    def work(pace: Pace) -> None:
        with cloud.image() as file:
            cloud.driver().backup(record, file, pace=pace)

    return work


def placed(cloud: Cloud, parent: dict[str, Any] | None) -> dict[str, Any]:
    row = cloud.new(parent)
    row.update(cloud.driver().place(cloud.rows.record(row)) or {})
    return row


def test_its_write_is_in_no_later_backup(cloud, monkeypatch):
    full = cloud.made()
    cloud.write(5 * OBJECT, b"1" * OBJECT)
    first = placed(cloud, full)
    frozen = FrozenHost(backing_up(cloud, first))
    cloud.back_up(first)
    cloud.write(5 * OBJECT, b"2" * OBJECT)
    second, save = cloud.new(first), WriteProgress.save

    def save_and_wake(self, offset, *, ready=True):
        save(self, offset, ready=ready)
        if offset == SIZE:
            frozen.go_on()

    monkeypatch.setattr(WriteProgress, "save", save_and_wake)
    cloud.back_up(second)

    assert cloud.restored(first).count(b"1" * OBJECT) == 1
    assert cloud.restored(second) == cloud.data()


@pytest.mark.parametrize("times_out", [False, True])
@pytest.mark.parametrize("kind", ["full", "incremental"])
def test_it_leaves_the_backup_to_the_host_that_adopted_it(cloud, monkeypatch, kind, times_out):
    monkeypatch.setattr(Interval, "expired", lambda _self: True)
    parent = cloud.made() if kind == "incremental" else None
    for number in range(6):
        cloud.write(number * 2 * OBJECT, b"1" * OBJECT)
    row = placed(cloud, parent)
    frozen = FrozenHost(backing_up(cloud, row), times_out=times_out)

    def report(part: float) -> None:
        if 0 < part < 1 and not frozen.ended:
            frozen.go_on()

    cloud.back_up(row, pace=Pace(progress=report))

    assert frozen.ended
    assert cloud.restored(row) == cloud.data()


@pytest.mark.parametrize("kind", ["full", "incremental"])
def test_its_failure_removes_nothing_of_the_host_that_adopted_it(cloud, monkeypatch, kind):
    """Also where the image has no lock, so that the host is not shut out."""
    monkeypatch.setattr(Interval, "expired", lambda _self: True)
    monkeypatch.setattr(Image, "features", lambda _self: FEATURES["LAYERING"])
    parent = cloud.made() if kind == "incremental" else None
    for number in range(6):
        cloud.write(number * 2 * OBJECT, b"1" * OBJECT)
    row = placed(cloud, parent)
    frozen = FrozenHost(backing_up(cloud, row), times_out=True, notices=False)

    def report(part: float) -> None:
        if 0 < part < 1 and not frozen.ended:
            frozen.go_on()

    cloud.back_up(row, pace=Pace(progress=report))

    assert frozen.ended
    assert [name for name in cloud.snapshots() if row["id"] in name]
    assert cloud.restored(row) == cloud.data()


def test_its_restore_does_not_write_to_a_volume_that_is_used_again(cloud):
    row = cloud.made()
    make_image(cloud.conf, "volumes", "volume-v", SIZE)

    def restore(pace: Pace) -> None:
        with cloud.image("volume-v") as file:
            cloud.driver().restore(cloud.rows.record(row), "v", file, pace=pace)

    frozen = FrozenHost(restore)
    restore(Pace(key="same"))
    with cloud.image("volume-v") as file:
        file.rbd_image.write(b"u" * SIZE, 0)
    frozen.go_on()

    with cloud.image("volume-v") as file:
        assert file.rbd_image.read(0, SIZE) == b"u" * SIZE


def test_an_image_without_a_lock_is_written(cloud, monkeypatch):
    """Old releases of Cinder made such images."""
    full = cloud.made()
    monkeypatch.setattr(Image, "features", lambda _self: FEATURES["LAYERING"])
    cloud.scribble()

    assert cloud.restored(cloud.made(full)) == cloud.data()


class Volume:
    """Both sides of a copy, with a list of the offsets that were written."""

    def __init__(self, on_read: Callable[[int], None]) -> None:
        self._on_read = on_read
        self.written: list[int] = []

    def read(self, offset: int, length: int) -> bytes:
        self._on_read(offset)
        return b"x" * length

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self.written.append(offset)

    def zero(self, offset: int, length: int) -> None:
        self.written.append(offset)

    def flush(self) -> None:
        """Everything is on the disk."""


def copied(volume: Volume, pace: Pace, saved: list[int], transfers: int = 4) -> None:
    limits = TransferLimits(1, transfers)
    copy = ExtentCopy(volume, volume, limits, total=100 * OBJECT, piece=OBJECT)
    copy.run([Change(0, 100 * OBJECT)], pace, saved.append)


def test_nothing_is_written_after_the_locks_are_lost(monkeypatch):
    reading, ended, late, saved = threading.Event(), threading.Event(), [], []

    class Threads(ThreadPoolExecutor):
        def __exit__(self, *error: Any) -> bool | None:
            ended.set()
            return super().__exit__(*error)

    def read(offset: int) -> None:
        late.extend([offset] if ended.is_set() else [])
        reading.set()
        assert ended.wait(60)

    def report(_part: float) -> None:
        if reading.is_set():
            raise OwnershipLost

    monkeypatch.setattr(extent_copy, "ThreadPoolExecutor", Threads)
    volume = Volume(read)
    with pytest.raises(OwnershipLost):
        copied(volume, Pace(progress=report), saved)

    assert (volume.written, late, saved) == ([], [], [])


def test_pieces_that_were_begun_before_the_host_slept_wait_for_a_check(monkeypatch):
    clock, woken = [0.0], threading.Event()
    monkeypatch.setattr(write_permit, "_now", lambda: clock[0])

    def read(_offset: int) -> None:
        if not woken.is_set():
            clock[0] += 3600.0
            woken.set()

    def report(_part: float) -> None:
        if woken.is_set():
            raise OwnershipLost

    volume = Volume(read)
    with pytest.raises(OwnershipLost):
        copied(volume, Pace(progress=report), [], transfers=1)

    assert volume.written == []


def test_a_slow_check_only_delays_the_copy(monkeypatch):
    monkeypatch.setattr(write_permit, "FRESH", 0.0)
    checks = iter(range(10**6))

    def report(_part: float) -> None:
        if next(checks) == 3:
            monkeypatch.setattr(write_permit, "FRESH", 60.0)

    volume = Volume(lambda _offset: None)
    copied(volume, Pace(progress=report), [])

    assert sorted(volume.written) == list(range(0, 100 * OBJECT, OBJECT))
