# SPDX-License-Identifier: Apache-2.0
"""A disk below ``backup_work_path`` that is full, or takes little at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from drivers.backup.stores import local_files
from drivers.backup.transfer import checkpoint
from drivers.interface.errors import BackupDriverException
from tests.backups import BLOCK, posix
from tests.unit.drivers.backup.test_bad_input import unsealed

FULL = r"cannot use .*/work.* of backup_work_path: No space left on device: free or add space"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FIRST_INTERVAL", 0.0)


@pytest.fixture
def fill(tmp_path, monkeypatch):
    """Return a patch that fails a call on files of the work path from the n-th one on."""

    def refuse(call: str, after: int) -> None:
        real, left = getattr(os, call), [after]

        def full(fd, *more, **how):
            path = Path(fd if call == "open" else os.readlink(f"/proc/self/fd/{fd}"))
            if tmp_path / "work" in path.parents:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
            return real(fd, *more, **how)

        monkeypatch.setattr(local_files.os, call, full)

    return refuse


class TestFull:
    @pytest.mark.parametrize("after", [0, 1])
    @pytest.mark.parametrize("call", ["open", "ftruncate", "pwrite", "write", "fdatasync"])
    def test_a_backup_tells_the_path(
        self, tmp_path, rows, volume, target, fill, monkeypatch, call, after
    ):
        driver, row = posix(tmp_path, backup_transfers=1), rows.new()
        fill(call, 0 if call == "ftruncate" else after)
        with pytest.raises(BackupDriverException, match=FULL):
            rows.back_up(driver, row, volume)

        monkeypatch.undo()
        rows.back_up(driver, row, volume)  # when there is room again
        driver.verify(rows.record(row))
        rows.restore(driver, row, target)
        assert target.read_bytes() == volume.read_bytes()

    @pytest.mark.parametrize("call", ["open", "pwrite", "write"])
    def test_a_restore_tells_the_path(self, tmp_path, rows, volume, target, fill, call):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        unsealed(tmp_path, row, lambda document: None)  # so that hashes are kept aside
        fill(call, 0)
        with pytest.raises(BackupDriverException, match=FULL):
            rows.restore(driver, row, target)


def test_what_is_written_in_parts_is_whole(tmp_path, rows, volume, target, monkeypatch):
    """A disk that is almost full takes a part, and fails only at the next."""
    write, pwrite = os.write, os.pwrite
    monkeypatch.setattr(local_files.os, "write", lambda fd, data: write(fd, data[:100]))
    monkeypatch.setattr(local_files.os, "pwrite", lambda fd, data, at: pwrite(fd, data[:100], at))
    small = {"backup_file_size": 8 * BLOCK}
    driver, row = posix(tmp_path, **small), rows.new()
    rows.back_up(driver, row, volume)
    unsealed(tmp_path, row, lambda document: None)
    driver.verify(rows.record(row))
    rows.restore(driver, row, target)
    assert target.read_bytes() == volume.read_bytes()
