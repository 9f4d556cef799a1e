# SPDX-License-Identifier: Apache-2.0
"""The thread that ends orphaned backups: it waits for the database and for the proof."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from flows.errors import Unavailable
from worker.recovery import orphaned_backups
from worker.recovery.orphaned_backups import OrphanedBackups

ROW = SimpleNamespace(id="b1", status="deleting", created_at=1, updated_at=2, kind="backup")


class Parts:
    """Rows with one orphaned deletion, behind these answers of the database."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.proven = True
        self.deleted: list[str] = []
        self.stopping = threading.Event()
        anything: Any = SimpleNamespace(
            backups=SimpleNamespace(unsettled=self._rows),
            entries=lambda limit: [],
            until_proven=self._until_proven,
        )
        self.orphans = OrphanedBackups(
            anything,
            anything,
            "node",
            anything,
            self.stopping,
            lambda: anything,
            lambda backup: self.deleted.append(backup.id),
        )

    def _rows(self, _host: str) -> list[Any]:
        if self.answers:
            raise self.answers.pop(0)
        return [ROW]

    def _until_proven(self, _grace: float, left: Any) -> bool:
        assert left() == 1
        return self.proven

    def run(self) -> list[str]:
        """Start the thread, wait for its end, and return the deleted backups."""
        before = set(threading.enumerate())
        self.orphans.start()
        for thread in set(threading.enumerate()) - before:
            thread.join(60)
        return self.deleted


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphaned_backups, "PAUSE", 0.001)


def test_an_outage_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    assert Parts(Unavailable("away"), Unavailable("away")).run() == ["b1"]
    assert caplog.text.count("orphaned backups of node have to wait: away") == 1


def test_nothing_is_ended_without_the_proof() -> None:
    parts = Parts()
    parts.proven = False

    assert parts.run() == []


def test_a_stop_ends_the_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    parts = Parts(Unavailable("away"))
    parts.stopping.set()

    assert parts.run() == []
    assert "the service stops: orphaned backups are ended after its next start" in caplog.text


def test_an_unexpected_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert Parts(RuntimeError("bug")).run() == []
    assert "not all backups that another service left were ended" in caplog.text
