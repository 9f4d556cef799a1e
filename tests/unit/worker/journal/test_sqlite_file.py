# SPDX-License-Identifier: Apache-2.0
"""The file of the journal: checked, put aside when damaged, written again when removed."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.worker.journal.test_journal import cast
from worker.journal import sqlite_file
from worker.journal.journal import Journal
from worker.journal.sqlite_file import WatchedFile

SLOT = "host/0"
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def fill(path: Path, count: int = 40) -> Journal:
    journal = Journal(f"sqlite:///{path}")
    journal.upgrade()
    for number in range(count):
        assert journal.accept(f"{number:032x}", SLOT, cast()) is not None
    return journal


def spoil(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(random.Random(page).randbytes(PAGE))


def remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()


def index_pages(path: Path) -> list[int]:
    """Return the first pages of the indexes that we have added."""
    with sqlite3.connect(path) as connection:
        found = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND name LIKE 'holdfast_%'"
        )
        return [row[0] - 1 for row in found]


def test_a_sound_journal_has_no_problems(path: Path) -> None:
    fill(path).close()

    assert sqlite_file.problems(path) == []
    assert sqlite_file.problems(path, at_start=True) == []


def test_a_journal_that_is_not_there_has_no_problems(path: Path) -> None:
    assert sqlite_file.problems(path) == []


@pytest.mark.parametrize("at_start", [False, True])
def test_each_spoilt_page_is_found(path: Path, at_start: bool) -> None:
    fill(path).close()
    sound = path.read_bytes()
    for page in range(len(sound) // PAGE):
        path.write_bytes(sound)
        spoil(path, page)
        assert sqlite_file.problems(path, at_start=at_start), f"page {page}"


def test_a_file_of_something_else_is_found(path: Path) -> None:
    path.write_text("this is no database, but it is long enough to be taken for one\n" * 100)

    assert sqlite_file.problems(path)


def test_operations_are_copied_when_only_an_index_is_damaged(path: Path) -> None:
    fill(path).close()
    spoil(path, index_pages(path)[0])

    done = sqlite_file.put_aside(path)

    assert done.copied == 40
    assert done.path.exists()
    assert sqlite_file.problems(path) == []
    assert len(Journal(f"sqlite:///{path}").unfinished(SLOT)) == 40


def test_no_trigger_view_or_virtual_table_is_copied(path: Path) -> None:
    fill(path).close()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE gone (x); CREATE VIEW seen AS SELECT * FROM gone;"
            "CREATE VIRTUAL TABLE found USING fts5(x);"
            "CREATE TRIGGER forged AFTER INSERT ON flowdetails BEGIN"
            " DELETE FROM flowdetails; END;"
        )
    connection.close()
    spoil(path, index_pages(path)[0])

    assert sqlite_file.put_aside(path).copied == 40
    with sqlite3.connect(path) as connection:
        kinds = {row[0] for row in connection.execute("SELECT type FROM sqlite_master")}
        found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert kinds == {"table", "index"}
    assert "found" not in found


def test_nothing_is_copied_when_a_row_cannot_be_read(path: Path) -> None:
    fill(path, 400).close()
    with sqlite3.connect(path) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'flowdetails'"
        root = connection.execute(query).fetchone()[0]
    spoil(path, root - 1)

    done = sqlite_file.put_aside(path)

    assert done.copied is None
    assert not path.exists()


def test_processes_that_use_the_file_are_seen(path: Path) -> None:
    fill(path).close()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        opened = sqlite3.connect(path)
        opened.execute("SELECT count(*) FROM flowdetails").fetchall()
        os.write(writer, b".")
        os.read(os.pipe()[0], 1)
    os.read(reader, 1)

    found = sqlite_file.users(path)

    os.kill(child, 9)
    os.waitpid(child, 0)
    assert found == [child]


class TestARemovedJournal:
    def test_is_written_again_with_all_that_was_accepted_since(self, path: Path) -> None:
        journal = fill(path, 3)
        file = WatchedFile(path)
        assert file.is_in_place()
        remove(path)
        assert not file.is_in_place()
        journal.accept("f" * 32, SLOT, cast())

        assert file.preserve() == path
        assert len(Journal(f"sqlite:///{path}").unfinished(SLOT)) == 4

    def test_is_written_by_each_process_of_a_service(self, path: Path) -> None:
        journal = fill(path, 3)
        first, last = WatchedFile(path), WatchedFile(path)
        remove(path)
        first.preserve()
        journal.accept("f" * 32, SLOT, cast())

        assert last.preserve() == path
        assert len(Journal(f"sqlite:///{path}").unfinished(SLOT)) == 4

    def test_replaces_a_file_without_operations(self, path: Path) -> None:
        fill(path, 3)
        file = WatchedFile(path)
        path.unlink()
        path.touch()

        assert file.preserve() == path
        assert len(Journal(f"sqlite:///{path}").unfinished(SLOT)) == 3

    def test_is_written_beside_another_journal(self, path: Path) -> None:
        fill(path, 3)
        file = WatchedFile(path)
        remove(path)
        fill(path, 1).close()

        written = file.preserve()

        assert written != path
        assert len(Journal(f"sqlite:///{path}").unfinished(SLOT)) == 1
        assert len(Journal(f"sqlite:///{written}").unfinished(SLOT)) == 3


def test_an_empty_file_with_a_log_is_not_opened(path: Path) -> None:
    journal = fill(path)
    log = Path(f"{path}-wal").read_bytes()
    journal.close()
    path.write_bytes(b"")
    assert sqlite_file.problems(path, at_start=True) == []  # a start that was interrupted
    Path(f"{path}-wal").write_bytes(log)

    assert "it is empty, and its log is not" in sqlite_file.problems(path, at_start=True)[0]
    assert sqlite_file.put_aside(path).copied is None


def test_a_directory_is_no_journal(path: Path) -> None:
    path.mkdir()

    assert sqlite_file.problems(path, at_start=True) == ["it is no regular file"]


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [empty, Path.unlink])
@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_is_cut_or_removed_in_use_is_noticed(
    path: Path, damage: Callable[[Path], None], suffix: str
) -> None:
    journal = fill(path)
    watched = WatchedFile(path)
    journal.accept("f" * 32, SLOT, cast())
    assert watched.is_in_place()
    damage(Path(f"{path}{suffix}"))

    assert not watched.is_in_place()
    if (damage, suffix) == (empty, "-wal"):
        return  # its transactions are lost
    assert watched.preserve() == path
    watched.close()
    journal.close()
    assert len(Journal(f"sqlite:///{path}").unfinished(SLOT)) == 41


def test_damage_in_use_is_found(path: Path) -> None:
    fill(path).close()
    watched = WatchedFile(path)
    assert watched.damage() is None
    spoil(path, index_pages(path)[0])

    assert watched.damage() is not None
    assert watched.is_in_place()
    watched.close()


def test_a_journal_that_grows_is_neither_damaged_nor_moved(path: Path) -> None:
    journal = fill(path, 1)
    watched = WatchedFile(path)
    for number in range(1, 600):
        assert journal.accept(f"{number:032x}", SLOT, cast()) is not None
        if number % 100 == 0:
            assert watched.is_in_place()
            assert watched.damage() is None
    assert path.stat().st_size > 100 * PAGE  # the log was moved into it
    watched.close()
