# SPDX-License-Identifier: Apache-2.0
"""Parts of the adapter of backup drivers that need no Cinder."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from drivers.cinder import loading as cinder
from drivers.cinder.backup_drivers import backup_loading
from drivers.cinder.backup_drivers.attempts import Attempts
from drivers.cinder.backup_drivers.paced_file import PacedFile
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace

DATA = bytes(range(256)) * 4
GCS = "cinder.backup.drivers.gcs.GoogleBackupDriver"


class Ended(BaseException):
    """The copy is to end."""


def test_the_position_is_reported_before_each_piece() -> None:
    told: list[float] = []
    moved: list[int] = []
    file = PacedFile(io.BytesIO(DATA), Pace(progress=told.append, moved=moved.append))
    pieces = [file.read(256), file.read(256), file.read()]

    assert b"".join(pieces) == DATA
    assert told == [0.0, 0.25, 0.5]
    assert moved == [256, 256, 512]


def test_writes_are_reported_too_and_the_rest_passes_through() -> None:
    told: list[float] = []
    below = io.BytesIO(DATA)
    file = PacedFile(below, Pace(progress=told.append))
    file.seek(512)
    with file:
        assert file.write(b"xy") == 2
        buffer = bytearray(4)
        assert file.readinto(buffer) == 4
    file.flush()

    assert below.getvalue()[512:514] == b"xy" and bytes(buffer) == DATA[514:518]
    assert not below.closed
    assert told == [0.5, 514 / 1024]


def test_an_end_is_raised_again_by_each_later_call() -> None:
    def report(_fraction: float) -> None:
        raise Ended

    file = PacedFile(io.BytesIO(DATA), Pace(progress=report))
    for _ in range(2):
        with pytest.raises(Ended):
            file.read(1)
    assert isinstance(file.ending, Ended)


def test_other_threads_of_a_driver_report_bytes_only() -> None:
    told: list[float] = []
    moved: list[int] = []
    file = PacedFile(io.BytesIO(DATA), Pace(progress=told.append, moved=moved.append))
    thread = threading.Thread(target=file.read, args=[16])
    thread.start()
    thread.join()

    assert (told, moved) == ([], [16])


def test_an_attempt_is_known_until_it_ends(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path / "work")
    attempts.prepare()
    with attempts.attempt("b1"):
        assert attempts.was_interrupted("b1") and not attempts.was_interrupted("b2")
    assert not attempts.was_interrupted("b1")

    with pytest.raises(KeyError), attempts.attempt("b1"):
        raise KeyError
    assert not attempts.was_interrupted("b1")

    with pytest.raises(Ended), attempts.attempt("b1"):
        raise Ended
    assert Attempts(tmp_path / "work").was_interrupted("b1")
    attempts.forget("b1")
    assert not attempts.was_interrupted("b1")


def test_an_id_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(BackupDriverException, match="is no id of a backup"):
        Attempts(tmp_path).was_interrupted("../b1")


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(BackupDriverException, match="backup_work_path = .* cannot be used"):
        Attempts(tmp_path / "file" / "work").prepare()


def test_without_cinder_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cinder, "installed", lambda: False)
    monkeypatch.delitem(cinder.sys.modules, "cinder.volume.driver", raising=False)

    with pytest.raises(cinder.Unsuitable, match=r"pip install 'holdfast\[cinder\]'"):
        backup_loading.load(GCS)
    assert not backup_loading.is_cinders(object)
