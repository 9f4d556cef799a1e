# SPDX-License-Identifier: Apache-2.0
"""Entries of the journal as JSON, read and put back behind the service's back."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

_TABLES = {
    "logbooks": "uuid IN (SELECT parent_uuid FROM flowdetails WHERE uuid = ?)",
    "flowdetails": "uuid = ?",
    "atomdetails": "parent_uuid = ?",
}
"""Tables of the journal, parents first, and the rows that belong to a flow."""

RESOURCE = "json_extract(meta, '$.resource[1]')"
"""The id of the resource in an entry's meta; the campaign has an index of it."""

Entries = dict[str, list[dict[str, Any]]]
"""Rows by table."""


def read(path: Path, resource: str) -> Entries:
    """Return the rows of the flows on a resource."""
    found: Entries = {table: [] for table in _TABLES}
    opened = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    with contextlib.closing(opened) as db:
        db.row_factory = sqlite3.Row
        flows = [
            row["uuid"]
            for row in db.execute(
                f"SELECT uuid FROM flowdetails WHERE {RESOURCE} = ?",  # noqa: S608
                [resource],
            )
        ]
        for table, where in _TABLES.items():
            for flow in flows:
                rows = db.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY uuid", [flow])  # noqa: S608
                found[table] += [_stable(row) for row in rows]
    return found


def put_back(path: Path, entries: Entries) -> None:
    """Write rows over those of the same flows. The service must not run."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as db, db:
        for flow in entries["flowdetails"]:
            db.execute("DELETE FROM atomdetails WHERE parent_uuid = ?", [flow["uuid"]])
            db.execute("DELETE FROM flowdetails WHERE uuid = ?", [flow["uuid"]])
            db.execute("DELETE FROM logbooks WHERE uuid = ?", [flow["parent_uuid"]])
        for table, rows in entries.items():
            for row in rows:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608


def _stable(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row is no mapping
