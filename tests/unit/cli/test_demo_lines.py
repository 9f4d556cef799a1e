# SPDX-License-Identifier: Apache-2.0
"""The demonstration fits a terminal, and shows the progress of an operation that takes long."""

from __future__ import annotations

import io
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.interface.records import Record
from worker.cli.access import CommandError
from worker.cli.demonstration import demo_services, lines
from worker.cli.demonstration.demo_services import DemoServices
from worker.cli.output.colour import Colour
from worker.journal.entries.tasks import Task

TASKS = [f"task_number_{number} {number * 1000}" for number in range(12)]


class TestLines:
    @pytest.mark.parametrize("name", ["data", "n" * 40])
    def test_a_row_is_no_wider_than_a_terminal(self, name: str) -> None:
        first, *others = lines.row("create_group_snapshot", name, "available", 12.3456, TASKS)

        assert first.startswith("create_group_snapshot")
        assert "12346" in first
        assert max(map(len, [first, *others])) <= lines.WIDTH
        shown = " ".join([first, *(line.strip() for line in others)])
        assert ", ".join(TASKS) in shown

    def test_tasks_stand_below_one_another(self) -> None:
        first, second, *_ = lines.row("m", "n", "s", 0.0, TASKS)

        assert (
            second.index("task_number") == first.index("task_number") == lines.HEADS.index("tasks")
        )

    def test_a_row_without_tasks(self) -> None:
        assert lines.row("m", "n", "s", 0.001, []) == [lines.row("m", "n", "s", 0.001, [" "])[0]]

    def test_a_sentence_is_wrapped_below_its_begin(self) -> None:
        first, second = lines.wrapped("  failed: " + "word " * 30)

        assert max(len(first), len(second)) <= lines.WIDTH
        assert (first[:9], second[:9]) == ("  failed:", "    word ")
        assert lines.wrapped("") == [""]


class TestProgress:
    @pytest.fixture
    def shown(self) -> io.StringIO:
        return io.StringIO()

    @pytest.fixture
    def services(self, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Services with nothing but a journal, in which an operation runs for a while."""
        made = object.__new__(DemoServices)
        made._write, made._colour = shown.write, Colour(shown)
        states = itertools.chain(["RUNNING"] * 3, itertools.repeat("SUCCESS"))
        entry = {"method": "upload", "request_id": "r1"}
        made.journal = SimpleNamespace(  # type: ignore[assignment]
            entries=lambda limit: [SimpleNamespace(state=next(states), **entry)]
        )
        tasks = [Task("begin", "SUCCESS"), Task("copy", "RUNNING", progress=0.42)]
        monkeypatch.setattr(demo_services, "tasks_of", lambda journal, entry: tasks)
        return made

    def test_it_has_lines_while_it_runs(
        self, services: Any, shown: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(demo_services, "_PROGRESS_EVERY", 0.0)
        volume = Record("volume", {"id": "v1", "display_name": "data"}, {})

        assert services._end_of("r1", "upload", volume).state == "SUCCESS"

        assert shown.getvalue().splitlines() == ["  upload data: copy 42 %, 0 s so far"] * 3

    def test_a_short_one_has_none(self, services: Any, shown: io.StringIO) -> None:
        services._end_of("r1", "upload", Record("volume", {"id": "v1"}, {}))

        assert shown.getvalue() == ""

    def test_one_that_never_ends_is_an_error(
        self, services: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(demo_services, "_TIMEOUT", 0.05)

        with pytest.raises(CommandError, match="has not ended"):
            services._end_of("another", "upload", Record("volume", {"id": "v1"}, {}))
