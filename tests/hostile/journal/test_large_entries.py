# SPDX-License-Identifier: Apache-2.0
"""Entries of any size and structure take little memory, in commands and at a start."""

from __future__ import annotations

import json
import os
import sqlite3
import traceback
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from taskflow import states
from taskflow.persistence.models import TaskDetail

from tests.hostile.journal.forging import Forger
from tests.unit.cli.conftest import Shell
from tests.unit.worker.execution.test_operation_pool import GATE, SLOT, Bench, note
from worker.journal.entries import stored_columns
from worker.journal.entries.stored_columns import LONGEST, STRUCTURE_MAX, TOO_LONG
from worker.journal.errors import JournalRefused, UnreadableEntry
from worker.journal.journal import Journal
from worker.rpc.operation import Operation

MIB = 1 << 20
ALLOWED = 128 * MIB
SIZES = (("x", 3998), ("x", 3999), ("\u20ac", 1332), ("\u20ac", 1333))
"""Characters and numbers of texts about a limit of 4000 bytes; each second one is longer."""


def empty_objects(size: int) -> str:
    """Return a list of JSON of so many bytes, which takes 25 times its size as objects."""
    return f"[{'{},' * ((size - 4) // 3)}{{}}]"


def peak_of(work: Callable[[], None]) -> int:
    """Return the bytes that some work adds to the memory of a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins at the present size
            before = _peak()
            work()
            os.write(writer, str(_peak() - before).encode())
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as opened:
        found = opened.read()
    _pid, code = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(code) == 0
    return int(found)


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forge_large(forger: Forger) -> list[str]:
    """Write entries that are large in their columns, and in those of their tasks."""
    flows = [forger.entry("bad") for _ in range(4)]
    forger.column(flows[0], "meta", empty_objects(40 * MIB))
    forger.task(flows[1], results=empty_objects(20 * MIB), failure=empty_objects(20 * MIB))
    forger.column(flows[2], "meta", empty_objects(14 * MIB))
    forger.column(flows[3], "meta", "[]")
    forger.column(flows[3], "name", "\0" + "x" * 40 * MIB)  # where some functions see its end
    return flows


def test_commands_take_little_memory(
    holdfast: Shell, forged_for_commands: Forger, conf: cfg.ConfigOpts
) -> None:
    flows, good = forge_large(forged_for_commands), forged_for_commands.entry()

    def commands() -> None:
        listed = holdfast("flow", "list", "-f", "json").rows
        assert {row["flow"] for row in listed} == {*flows, good}
        for flow in flows:
            assert holdfast("flow", "show", flow, "-f", "json").status in (0, 1)
        assert holdfast("journal", "status").status == 0

    assert peak_of(commands) < ALLOWED
    shown = holdfast("flow", "show", flows[0], "-f", "json").rows
    assert "cannot be read" in shown["failure"]


def test_a_start_takes_little_memory_and_sets_them_aside(bench: Bench, forged: Forger) -> None:
    flows, good = forge_large(forged), forged.entry()

    def load() -> None:
        assert bench.operations.resumed.load_unfinished() == 1

    assert peak_of(load) < ALLOWED
    bench.operations.resumed.load_unfinished()
    bench.operations.resumed.start()
    bench.ended(good)

    assert {one.flow for one in bench.journal.entries(among=[states.FAILURE])} == set(flows)
    assert set(GATE.ran) == {"good"}


@pytest.mark.parametrize("kind", ["sqlite", "mysql", "postgresql"])
def test_a_column_that_is_too_long_is_not_fetched(
    new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(stored_columns, "LONGEST", 4000)
    journal = Journal(new_database(kind))
    journal.upgrade()
    flows = [_accepted(journal) for _ in range(5)]
    texts = [f'"{char * count}"' for char, count in SIZES] + ["{}"]
    with journal._engine.begin() as connection:
        for flow, text in zip(flows, texts, strict=True):
            change = sa.text("UPDATE flowdetails SET meta = :text WHERE uuid = :flow")
            connection.execute(change, {"text": text, "flow": flow})
    listed = {entry.flow: "cannot be read" in str(entry.failure) for entry in journal.entries()}

    assert [listed[flow] for flow in flows] == [False, True, False, True, False]
    with pytest.raises(UnreadableEntry, match="more than"):
        journal.load(flows[1])
    assert journal.load(flows[4]).meta == {}
    journal.close()


def _accepted(journal: Journal, **args: Any) -> str:
    operation = Operation(note, ("volume", "v1"), {"name": "good", **args}, method="note")
    detail = journal.accept(uuid.uuid4().hex, SLOT, operation)
    assert detail is not None
    return str(detail.uuid)


def test_the_writer_has_the_bounds_of_the_reader(bench: Bench) -> None:
    """The largest entry that is accepted is read again; a larger one is refused before."""
    journal = bench.journal
    flow = _accepted(journal, more=[{}] * (STRUCTURE_MAX // 2 - 50))
    long = _accepted(journal, more="x" * (LONGEST - 1000))
    assert journal.load(flow).meta["args"]["name"] == "good"
    assert journal.load(long).meta["args"]["name"] == "good"
    with pytest.raises(JournalRefused, match="values"):
        _accepted(journal, more=[{}] * (STRUCTURE_MAX // 2))
    with pytest.raises(JournalRefused, match="too long"):
        _accepted(journal, more="x" * LONGEST)


def test_a_result_with_too_many_parts_is_refused(bench: Bench) -> None:
    detail = bench.journal.load(_accepted(bench.journal))
    task = TaskDetail("note", str(uuid.uuid4()))
    task.state, task.results = states.SUCCESS, [{}] * STRUCTURE_MAX
    progress = bench.journal.progress(detail)
    progress.update_atom_details(task)
    with pytest.raises(JournalRefused, match="values"), bench.journal._writing() as cursor:
        progress.write(cursor)


def test_an_entry_as_large_as_possible_is_set_aside(bench: Bench, forged: Forger) -> None:
    flow = forged.entry("bad")
    meta = {"more": [0] * (STRUCTURE_MAX - 3)}
    forged.column(flow, "meta", json.dumps(meta))
    assert bench.operations.resumed.load_unfinished() == 0

    assert bench.state(flow) == states.FAILURE


def test_requests_and_consumers_of_any_size(bench: Bench, tmp_path: Path) -> None:
    journal, large = bench.journal, "x" * 30 * MIB
    flow = _accepted(journal)
    request = journal.requests.ask(SLOT, flow, "resume")
    forged_request = journal.requests.ask(SLOT, flow, "resume")
    journal.consumers.register(SLOT, [("q", "n")])
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection, connection:
        for column in ("flow", "action"):
            change = f"UPDATE holdfast_requests SET {column} = ? WHERE id = ?"
            connection.execute(change, (large, forged_request))
        connection.execute("UPDATE holdfast_consumers SET name = ?, marker = ?", (large, large))

    def read() -> None:
        pending = {one.id: one.flow for one in journal.requests.pending(SLOT)}
        assert pending == {request: flow, forged_request: TOO_LONG}
        assert [one.name for one in journal.consumers.of("q")] == [TOO_LONG]

    assert peak_of(read) < ALLOWED
