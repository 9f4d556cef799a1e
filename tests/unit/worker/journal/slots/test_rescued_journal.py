# SPDX-License-Identifier: Apache-2.0
"""The unfinished operations of a rescued file are imported once, with their progress."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest
from taskflow import states
from taskflow.persistence.models import TaskDetail

from tests.unit.worker.journal.test_journal import accept
from worker.journal.errors import JournalError
from worker.journal.journal import Journal
from worker.journal.slots.rescued_journal import Imported
from worker.rpc.operation import Operation


@pytest.fixture
def rescued(tmp_path: Path) -> Path:
    """The file of a host that ended with two operations of three."""
    journal = Journal(f"sqlite:///{tmp_path}/lost.sqlite")
    journal.upgrade()
    accept(journal, "h1@b/0")
    begun, ended = accept(journal, "h1@b/0"), accept(journal, "h1@b/1")
    progress = journal.progress(begun)
    for name, state in (("one", states.SUCCESS), ("two", states.RUNNING)):
        task = TaskDetail(name, str(uuid.uuid4()))
        task.state = state
        task.results = [{"id": "v1"}]
        progress.update_atom_details(task)
    progress.flush()
    journal.finish(ended, journal.progress(ended), None)
    # As after a crash: the last transactions are in the log beside it.
    path = tmp_path / "rescued.sqlite"
    for suffix in ("", "-wal"):
        shutil.copy(f"{tmp_path}/lost.sqlite{suffix}", f"{path}{suffix}")
    journal.close()
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(f"sqlite:///{tmp_path}/shared.sqlite")
    made.upgrade()
    return made


def test_unfinished_operations_are_imported_with_their_progress(
    rescued: Path, journal: Journal
) -> None:
    assert journal.slots.import_file(rescued) == [Imported("h1@b/0", 2, 0)]

    pending, begun = journal.unfinished("h1@b/0 (imported)")
    assert pending.state == states.PENDING
    assert Operation.from_meta(begun.meta).method == "create_volume"
    assert {one.name: (one.state, one.results) for one in begun} == {
        "one": (states.SUCCESS, [{"id": "v1"}]),
        "two": (states.RUNNING, [{"id": "v1"}]),
    }


def test_a_second_import_copies_nothing(rescued: Path, journal: Journal) -> None:
    journal.slots.import_file(rescued)
    journal.slots.adopt("h1@b/0 (imported)", "h2@b/0")

    assert journal.slots.import_file(rescued) == [Imported("h1@b/0", 0, 2)]
    assert len(journal.unfinished("h2@b/0")) == 2
    assert journal.unfinished("h1@b/0 (imported)") == []


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "notes"
    path.write_text("not a database" * 100)

    with pytest.raises(JournalError, match="notes cannot be read"):
        journal.slots.import_file(path)
