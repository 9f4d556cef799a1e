# SPDX-License-Identifier: Apache-2.0
"""Entries that no version of the worker has written."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.unit.worker.execution.test_operation_pool import SLOT, note
from worker.journal.journal import Journal
from worker.rpc.operation import Operation

FOREIGN = (
    "os:system",
    "posix:system",
    "subprocess:call",
    "builtins:eval",
    "builtins:exec",
    "importlib:import_module",
    "runpy:run_path",
    "pickle:loads",
    "intruder:flow",
    "intruder",
    ":",
    "",
    "flows.factories:importlib.import_module",
    "flows.engine:Engine",
    "flows.volume.create:flow.__globals__",
    "flows.volume.create:flow\n",
    "flows..volume:flow",
    "worker.cli.main:main",
    "../../tmp/intruder:flow",
    "x" * 100_000,
)
"""Names in the place of a factory that no version has used."""

OTHER_VERSION = (
    "flows.volume.newer:flow",
    "flows.volume.create:newer",
    "flows.volume.create:__builtins__",
    "flows.factories:importlib",
)
"""Names that a factory of another version may have: the entry is left for it."""

WRONG_KINDS: tuple[Any, ...] = (None, True, 7, 1e300, [], ["os:system"], {}, {"a": 1}, "text")

FIELDS = ("factory", "args", "request", "resource", "locks", "shared", "method", "resumes")


class Forger:
    """Writes entries past the journal's own code."""

    def __init__(self, journal: Journal, path: Path) -> None:
        self._journal = journal
        self._path = path
        self._made: list[str] = []

    def entry(self, name: str = "good", **meta: Any) -> str:
        """Accept an operation, change its meta, and return its flow."""
        operation = Operation(note, ("volume", name), {"name": name}, method="note")
        detail = self._journal.accept(uuid.uuid4().hex, SLOT, operation)
        assert detail is not None
        self._made.append(detail.uuid)
        if meta:
            self.column(detail.uuid, "meta", json.dumps({**operation.to_meta(), **meta}))
        return str(detail.uuid)

    def column(self, flow: str, column: str, value: Any) -> None:
        """Write a column of an entry."""
        self._write(f"UPDATE flowdetails SET {column} = ? WHERE uuid = ?", value, flow)

    def task(self, flow: str, **columns: Any) -> None:
        """Add a task to an entry."""
        row = {
            "uuid": str(uuid.uuid4()),
            "parent_uuid": flow,
            "name": "note",
            "state": "RUNNING",
            "intention": "EXECUTE",
            "atom_type": "TASK_DETAIL",
            "meta": "{}",
            **columns,
        }
        names, marks = ", ".join(row), ", ".join("?" for _ in row)
        self._write(f"INSERT INTO atomdetails ({names}) VALUES ({marks})", *row.values())

    def remove(self) -> None:
        """Remove the entries."""
        for flow in self._made:
            for table, column in (("atomdetails", "parent_uuid"), ("flowdetails", "uuid")):
                self._write(f"DELETE FROM {table} WHERE {column} = ?", flow)

    def _write(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            connection.execute(statement, values)
