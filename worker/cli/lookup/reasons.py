# SPDX-License-Identifier: Apache-2.0
"""Why a resource is in an error status, as far as the journal of this host has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cli.lookup.errors import NoJournal
from worker.journal.entries.listed_entry import concerns
from worker.journal.errors import JournalError
from worker.printable import printable

if TYPE_CHECKING:
    from drivers.interface.records import Record
    from worker.cli.access import Access

_SEARCHED = 10_000
"""How many of the newest flows are searched."""


def reason_of(access: Access, resource: Record) -> dict[str, str]:
    """Return the failure of the newest operation on a resource that is in an error status.

    Empty for one that is not. The operation may have run on another host, whose journal has it.
    """
    statuses = (resource.get("status"), resource.get("migration_status"))
    if not any("error" in str(status) for status in statuses):
        return {}
    try:
        entries = access.journal.entries(limit=_SEARCHED)
    except (NoJournal, JournalError) as error:
        return {"error_reason": f"unknown: {error}"}
    for entry in entries:
        if entry.failure and concerns(entry, resource.kind, resource.id):
            failure = f"{entry.method} failed: {printable(entry.failure)}"
            return {"error_reason": failure, "error_flow": f"see: holdfast flow show {entry.flow}"}
    host = resource.get("host") or "its service"
    return {"error_reason": f"unknown: no journal entry here; see the host and the log of {host}"}
