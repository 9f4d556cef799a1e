# SPDX-License-Identifier: Apache-2.0
"""The probe of the journal writes to its file, and changes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from worker.journal.errors import JournalError
from worker.journal.journal import Journal


def test_it_writes_and_leaves_the_numbers(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/j.sqlite")
    journal.upgrade()
    before, log = journal.usage(), tmp_path / "j.sqlite-wal"
    written = log.stat().st_size

    journal.prove_writable()
    journal.prove_writable()

    assert log.stat().st_size > written
    assert journal.usage() == before
    journal.close()


def test_a_journal_that_takes_no_write_fails_it(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/j.sqlite")
    journal.upgrade()
    with sqlite3.connect(tmp_path / "j.sqlite") as other:
        other.execute("DROP TABLE holdfast_removed_failures")
    other.close()

    with pytest.raises(JournalError, match="no such table"):
        journal.prove_writable()
    journal.close()
