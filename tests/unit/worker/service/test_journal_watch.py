# SPDX-License-Identifier: Apache-2.0
"""A journal whose file was removed stops the service, which writes it again at its end."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from tests.unit.worker.journal.test_sqlite_file import SLOT, fill, index_pages, remove, spoil
from worker.journal.journal import Journal
from worker.journal.sqlite_file import WatchedFile
from worker.service import journal_watch
from worker.service.journal_watch import JournalWatch

WAIT = 30.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_watch, "PAUSE", 0.05)


def test_a_removed_file_stops_the_service_and_is_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, stopping = tmp_path / "journal.sqlite", threading.Event()
    fill(path, 2)
    watch = JournalWatch(WatchedFile(path), stopping, stopping.set)
    watch.start()
    remove(path)

    assert stopping.wait(WAIT)
    watch.close()

    assert len(Journal(f"sqlite:///{path}").unfinished(SLOT)) == 2
    assert f"the journal {path} was removed, replaced or cut in use" in caplog.text
    assert "was written again" in caplog.text


def test_a_damaged_file_stops_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_watch, "CONTENT_PAUSE", 0.1)
    path, stopping = tmp_path / "journal.sqlite", threading.Event()
    fill(path, 40).close()
    watch = JournalWatch(WatchedFile(path), stopping, stopping.set)
    watch.start()
    spoil(path, index_pages(path)[0])

    assert stopping.wait(WAIT)
    watch.close()

    assert f"the journal {path} is damaged" in caplog.text
    assert "run: holdfast journal check" in caplog.text


def test_a_file_in_place_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.sqlite"
    fill(path, 2)
    before = path.stat().st_ino
    watch = JournalWatch(WatchedFile(path), threading.Event(), pytest.fail)
    watch.close()

    assert path.stat().st_ino == before
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_file_that_cannot_be_written_again_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "journal.sqlite"
    path.parent.mkdir()
    fill(path, 2)
    watch = JournalWatch(WatchedFile(path), threading.Event(), pytest.fail)
    remove(path)
    path.parent.rmdir()
    watch.close()

    assert f"the content of the removed journal {path} is lost" in caplog.text


def test_a_journal_on_a_server_is_not_watched() -> None:
    watch = JournalWatch(None, threading.Event(), pytest.fail)
    watch.start()
    watch.close()
