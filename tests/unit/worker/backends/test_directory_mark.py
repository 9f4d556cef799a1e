# SPDX-License-Identifier: Apache-2.0
"""The marker of a directory: a missing mount keeps its backend down."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.backends import directory_mark
from worker.backends.directory_mark import MARKER, DirectoryGuard, DirectoryMark, Mark, NotMounted

BACKEND = "h1@local"


class Place:
    """A directory of a backend, and the state of its service."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "volumes"
        self.state = root / "state"
        self.used = False

    @property
    def marker(self) -> Path:
        return self.directory / MARKER

    def start(self, backend: str = BACKEND) -> None:
        """Check the directory as a new process does."""
        mark = DirectoryMark(backend, str(self.state), lambda: self.used)
        mark.check(SimpleNamespace(files_directory=lambda: str(self.directory)))

    def unmount(self) -> None:
        shutil.rmtree(self.directory)
        self.directory.mkdir()

    def lose_state(self) -> None:
        shutil.rmtree(self.state)

    def id(self) -> str:
        return str(json.loads(self.marker.read_text())["id"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_first_use_of_a_directory_writes_a_marker(place: Place) -> None:
    place.start()

    assert json.loads(place.marker.read_text())["backend"] == BACKEND
    assert [path.name for path in place.directory.iterdir()] == [MARKER]


def test_later_starts_find_it(place: Place) -> None:
    place.start()
    first = place.id()
    place.used = True
    place.start()

    assert place.id() == first


@pytest.mark.parametrize("remains", ["nothing", "no directory", "lost+found", "other files"])
def test_a_directory_without_its_mount_is_refused(place: Place, remains: str) -> None:
    place.start()
    place.unmount()
    if remains == "no directory":
        place.directory.rmdir()
    elif remains == "lost+found":
        (place.directory / "lost+found").mkdir()
    elif remains == "other files":
        (place.directory / "README").touch()

    before = sorted(place.directory.glob("*"))
    with pytest.raises(
        NotMounted, match=f"mount its file system there, or.* run: touch .*{MARKER}"
    ):
        place.start()
    assert sorted(place.directory.glob("*")) == before  # nothing was made on the other disk
    assert place.directory.exists() == (remains != "no directory")


def test_rows_prove_an_earlier_use_when_the_state_is_lost_as_well(place: Place) -> None:
    place.start()
    place.unmount()
    place.lose_state()
    place.used = True

    with pytest.raises(NotMounted, match="the database has data of h1@local in it"):
        place.start()


def test_a_directory_that_was_used_before_there_were_markers_gets_one(place: Place) -> None:
    place.directory.mkdir()
    (place.directory / "volume-1").touch()
    place.used = True
    place.start()

    assert place.id()


def test_an_operator_accepts_a_directory_by_an_empty_marker(place: Place) -> None:
    place.start()
    first = place.id()
    place.unmount()
    place.marker.touch()
    place.used = True
    place.start()

    assert place.id() == first
    place.start()


def test_the_mount_comes_back(place: Place) -> None:
    place.start()
    away = place.directory.rename(place.directory.with_name("away"))
    place.directory.mkdir()
    with pytest.raises(NotMounted):
        place.start()
    place.directory.rmdir()
    away.rename(place.directory)

    place.start()


def test_the_file_system_of_another_backend_is_refused(place: Place) -> None:
    place.start()
    place.marker.write_text(Mark("h1@other", "another").text())

    with pytest.raises(NotMounted, match=r"belongs to h1@other \(another\).* or remove .*json"):
        place.start()


def test_a_marker_that_cannot_be_read_is_refused(place: Place) -> None:
    place.start()
    place.marker.write_text("{")

    with pytest.raises(NotMounted, match="cannot be read"):
        place.start()


def test_the_id_is_remembered_when_the_state_was_lost(place: Place) -> None:
    place.start()
    place.lose_state()
    place.used = True
    place.start()
    place.unmount()
    place.used = False

    with pytest.raises(NotMounted):
        place.start()


def test_services_that_share_a_directory_share_its_marker(place: Place) -> None:
    place.start("h1")
    first = place.id()
    place.start("h2")
    place.start("h1")

    assert place.id() == first


def test_a_file_system_without_hard_links(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links")

    monkeypatch.setattr(directory_mark.os, "link", refuse)
    place.start()
    place.start()

    assert place.id()


def test_a_driver_without_a_directory_is_not_checked(place: Place) -> None:
    mark = DirectoryMark(BACKEND, str(place.state), lambda: True)
    mark.check(SimpleNamespace(files_directory=lambda: None))
    mark.check(object())

    assert not place.state.exists()


def test_a_directory_that_cannot_be_made_is_left_to_the_driver(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.directory.parent.mkdir(exist_ok=True)
    (place.directory.parent / "file").touch()
    place.directory = place.directory.parent / "file" / "volumes"
    mark = DirectoryMark(BACKEND, str(place.state), lambda: False)
    for _ in range(3):
        mark.check(SimpleNamespace(files_directory=lambda: str(place.directory)))

    (line,) = caplog.messages
    assert "is not marked as the directory of h1@local: Not a directory" in line


class Driver:
    """A driver that keeps files in a place."""

    def __init__(self, place: Path | None) -> None:
        self.place = place

    def files_directory(self) -> str | None:
        return str(self.place) if self.place else None


@pytest.fixture
def guard(place: Place) -> DirectoryGuard:
    place.start()
    mark = DirectoryMark(BACKEND, str(place.state), lambda: True)
    return DirectoryGuard(mark, "backend b1")


def test_a_directory_that_vanishes_in_use_is_a_problem_until_it_is_back(
    place: Place, guard: DirectoryGuard, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver(place.directory)
    guard.check(driver)
    assert guard.problem is None
    away = place.directory.rename(place.directory.with_name("away"))
    place.directory.mkdir()
    for _ in range(3):
        guard.check(driver)

    assert guard.problem is not None and "mount its file system there" in guard.problem
    assert list(place.directory.iterdir()) == []
    lines = [line for line in caplog.messages if "is down, its operations fail" in line]
    assert len(lines) == 1
    place.directory.rmdir()
    away.rename(place.directory)
    guard.check(driver)
    assert guard.problem is None


def test_a_share_that_is_not_mounted_any_more_is_a_problem(
    place: Place, guard: DirectoryGuard
) -> None:
    driver = Driver(place.directory)
    guard.check(driver)
    driver.place = None
    guard.check(driver)

    assert guard.problem == f"{place.directory} is not mounted any more"


@pytest.mark.parametrize("error", [OSError("away"), SystemExit(1), KeyboardInterrupt()])
def test_a_driver_that_fails_to_name_its_directory_changes_nothing(
    guard: DirectoryGuard, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    guard.check(SimpleNamespace(files_directory=fail))

    assert guard.problem is None


def test_a_driver_without_files_has_no_problem(guard: DirectoryGuard) -> None:
    guard.check(Driver(None))
    guard.check(object())

    assert guard.problem is None


def test_a_check_that_the_database_does_not_answer_changes_nothing(place: Place) -> None:
    def used() -> bool:
        raise OSError("away")

    guard = DirectoryGuard(DirectoryMark(BACKEND, str(place.state), used), "backend b1")
    place.directory.mkdir()
    guard.check(Driver(place.directory))

    assert guard.problem is None
