# SPDX-License-Identifier: Apache-2.0
"""Lines of ``--wait``: each state of a task once, and the progress of a copy in steps."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.interface.records import Record
from worker.cli.casting import waiting
from worker.cli.casting.requests import Sent
from worker.cli.casting.waiting import CastWait
from worker.cli.lookup.errors import CommandError
from worker.journal.entries.tasks import Task

BACKUP = Record("backup", {"id": "b1", "size": 2})


def sent(**more: Any) -> Sent:
    return Sent("create_backup", True, "req-1", BACKUP, ("creating",), ("available",), **more)


def entry(flow: str, method: str, resource: str = "backup b1", **more: Any) -> Any:
    found = {"state": "SUCCESS", "failure": None, "request_id": "req-1", **more}
    return SimpleNamespace(flow=flow, method=method, resource=resource, **found)


class Journal:
    """A journal with these entries, the newest first."""

    def __init__(self, *found: Any) -> None:
        self.found = found

    def entries(self, *, beginning: str = "", rejected: bool = False, limit: int = 0) -> list[Any]:
        return [one for one in self.found if one.flow.startswith(beginning) and not rejected]


class Rows:
    """Rows of backups with these statuses, one after the other."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)

    def get(self, _id: str) -> Any:
        one = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return SimpleNamespace(status=one)


def wait(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, *statuses: str, seconds: float = 9
) -> list[str]:
    monkeypatch.setattr(waiting, "tasks_of", lambda _journal, one: [Task(one.method, "SUCCESS")])
    monkeypatch.setattr(waiting, "_POLL", 0.0)
    lines: list[str] = []
    access: Any = SimpleNamespace(journal=journal, records=SimpleNamespace(backups=Rows(*statuses)))
    CastWait(access, sent(), lines.append).until_end(seconds)
    return [line.split()[0] for line in lines]


def test_flows_of_the_request_on_its_resource_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(
        entry("f4", "initialize_connection", "volume v1"),
        entry("f3", "continue_backup"),
        entry("f2", "create_backup"),
        entry("f1", "create_backup", "backup b2", request_id="req-2"),
    )

    assert wait(journal, monkeypatch, "creating", "available") == [
        "create_backup",
        "(continue_backup)",
        "continue_backup",
    ]


def test_the_reason_is_that_of_the_last_flow_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(
        entry("f2", "continue_backup", state="REVERTED", failure="E: the store is full"),
        entry("f1", "create_backup"),
    )

    with pytest.raises(CommandError, match="^backup b1 is error: E: the store is full$"):
        wait(journal, monkeypatch, "creating", "error")


def test_the_end_of_the_patience_names_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(entry("f1", "create_backup", state="RUNNING"))

    with pytest.raises(CommandError, match="still creating after 0 s, and goes on; .* show f1$"):
        wait(journal, monkeypatch, "creating", seconds=0)


def test_the_progress_of_a_copy_has_a_line_for_each_step() -> None:
    lines: list[str] = []
    access: Any = SimpleNamespace()
    printer = CastWait(access, sent(), lines.append)
    began = time.time() - 10
    for fraction in (0.001, 0.05, 0.31, 0.34, 0.39, 0.5):
        printer._print_task("f1", Task("keep", "RUNNING", began, progress=fraction))

    assert [line.split()[2] for line in lines] == ["0%", "31%", "50%"]
    assert re.fullmatch(
        r"  keep +RUNNING 50% +1\.0 GiB of 2\.0 GiB, \d+ MB/s, 0:00:\d\d left", lines[-1]
    )
