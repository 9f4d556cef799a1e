# SPDX-License-Identifier: Apache-2.0
"""The ids of resources that operations in the journal work on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from taskflow import states

from worker.journal.entries.listed_entry import JournalEntry

UNFINISHED = sorted(
    {
        *(states.PENDING, states.RUNNING, states.REVERTING, states.RESUMING),
        *(states.SUSPENDING, states.SUSPENDED),
    }
)
"""States of operations that have not ended."""

MOST = 1_000_000
"""How many unfinished operations are read."""

_CLEANUPS = ("do_cleanup",)
"""Methods whose arguments name resources that other operations work on."""


def ids_of(entries: Iterable[JournalEntry]) -> set[str]:
    """Return the ids of resources, and in arguments, of unfinished operations."""
    found: set[str] = set()
    for entry in entries:
        if entry.method in _CLEANUPS:
            continue
        found |= {str(one) for one in (entry.meta.get("resource") or ())[1:]}
        for value in (entry.meta.get("args") or {}).values():
            found.update(_texts(value))
    return found


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in an argument of a flow, which may be ids."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one
