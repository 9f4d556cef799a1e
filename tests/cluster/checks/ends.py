# SPDX-License-Identifier: Apache-2.0
"""Operations without an end, and objects without a row."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.cluster.checks.evidence import Evidence, Finding
from tests.cluster.load.ledger import Entry

CONNECTION = "connection-"
"""Begin of the name of a volume's connection on the backend."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEEPS_OBJECTS = ("error", "error_deleting", "error_extending", "error_restoring")
"""Statuses in which a resource may have an object, or none."""


def unfinished(evidence: Evidence) -> Iterator[Finding]:
    """Find operations that are not at their end: stuck where there is a trace, else lost."""
    for entry in evidence.entries:
        if entry.done is None:
            yield _of_open(entry, evidence)
    known = {entry.request for entry in evidence.entries if entry.done is None}
    for one in evidence.journal:
        if not one.ended and one.request not in known:
            text = f"{one.method} of {one.resource} is {one.state} in the journal of {one.slot}"
            yield Finding("stuck", text)
    for resource in evidence.workers:
        if not any(entry.resource == resource and entry.done is None for entry in evidence.entries):
            yield Finding("stuck", f"a row of work is left for {resource}")


def _of_open(entry: Entry, evidence: Evidence) -> Finding:
    found = [one for one in evidence.journal if one.request == entry.request]
    if found:
        states = ", ".join(f"{one.method} {one.state} in {one.slot}" for one in found)
        return Finding("stuck", f"{entry.shown()}; the journal has {states}")
    if evidence.waiting:
        text = f"{entry.shown()}; {evidence.waiting} messages wait in queues"
        return Finding("stuck", text)
    return Finding("lost", f"{entry.shown()}; neither the journal nor a queue has it")


def missing(evidence: Evidence) -> Iterator[Finding]:
    """Find rows that claim an object which is not there: its data are lost."""
    for id_, row in evidence.rows.get("volume", {}).items():
        if _is_made(row) and f"volume-{id_}" not in evidence.objects:
            yield Finding("lost", f"volume {id_} is {row['status']}, and has no object")
    for id_, row in evidence.rows.get("snapshot", {}).items():
        name = f"volume-{row['volume_id']}@snapshot-{id_}"
        if _is_made(row) and name not in evidence.objects:
            yield Finding("lost", f"snapshot {id_} is {row['status']}, and has no object")
    for id_, row in evidence.rows.get("backup", {}).items():
        if _is_made(row) and not any(id_ in name for name in evidence.backups):
            yield Finding("lost", f"backup {id_} is {row['status']}, and has no object")


def leaks(evidence: Evidence) -> Iterator[Finding]:
    """Find objects that no row claims."""
    for name in sorted(evidence.objects):
        kind = "snapshot" if "@" in name else "volume"
        ids = _UUID.findall(name)
        if name.startswith(CONNECTION):
            yield Finding("leaked", f"{name} is still there, without an attachment")
            continue
        if not ids or evidence.row(kind, ids[-1]) is None:
            yield Finding("leaked", f"{name} is on the backend, without a row")
    of_backups: set[str] = set()
    for name in sorted(evidence.backups):
        ids = [id_ for id_ in _UUID.findall(name) if evidence.row("backup", id_) is not None]
        if not ids:
            of_backups.add(_UUID.findall(name)[-1] if _UUID.findall(name) else name)
    for id_ in sorted(of_backups):
        yield Finding("leaked", f"objects of {id_} are in the store of backups, without a row")


def _is_made(row: object) -> bool:
    assert isinstance(row, dict)
    return row["status"] not in (*_KEEPS_OBJECTS, "creating", "deleting")
