# SPDX-License-Identifier: Apache-2.0
"""The journal through taskflow's own persistence interface."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from taskflow import engines, states, task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models

from worker.journal.journal import Journal
from worker.journal.taskflow_backend import JournalBackend

RAN: list[str] = []


class Ran(task.Task):  # type: ignore[misc]
    def execute(self) -> str:
        RAN.append(self.name)
        if self.name == "three" and RAN.count("three") == 1:
            raise KeyboardInterrupt  # a kill, as far as an engine can tell
        return self.name


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.sqlite"


@pytest.fixture
def backend(url: str) -> Any:
    RAN.clear()
    with backends.backend({"connection": f"holdfast+{url}"}) as made:
        yield made


def flow() -> Any:
    return linear_flow.Flow("f").add(*(Ran(name) for name in ("one", "two", "three", "four")))


def test_it_is_found_by_its_entry_point(backend: Any) -> None:
    assert isinstance(backend, JournalBackend)


def test_an_engine_that_is_cut_short_goes_on_from_where_it_was(backend: Any, url: str) -> None:
    book, detail = models.LogBook("slot"), models.FlowDetail("f", "0" * 36)
    book.add(detail)
    with contextlib.closing(backend.get_connection()) as connection:
        connection.save_logbook(book)
    with pytest.raises(KeyboardInterrupt):
        engines.load(flow(), flow_detail=detail, book=book, backend=backend).run()
    assert RAN == ["one", "two", "three"]

    with contextlib.closing(backend.get_connection()) as connection:
        (known,) = connection.get_logbooks()
        (again,) = known
    assert {atom.name: atom.state for atom in again} == {
        "one": states.SUCCESS,
        "two": states.SUCCESS,
        "three": states.RUNNING,
    }
    engines.load(flow(), flow_detail=again, book=known, backend=backend).run()

    assert RAN == ["one", "two", "three", "three", "four"]
    ended = Journal(url).load(again.uuid)
    assert ended.state == states.SUCCESS
    assert {atom.state for atom in ended} == {states.SUCCESS}
