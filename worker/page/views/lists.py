# SPDX-License-Identifier: Apache-2.0
"""Lists by pages: operations, rejected messages, chains of backups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from oslo_utils import timeutils

from worker.cli.access import Access
from worker.cli.flow import UNDER_WAY, UNDONE
from worker.explanation.document import without_secrets
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.tasks import current_task
from worker.page.views.view import NoView, PageView, Visit

LENGTH = 50
"""Lines of a page."""

CHAINS = 20
"""Chains of backups of a page."""

STATES: Mapping[str, Sequence[str] | None] = {
    "unfinished": UNDER_WAY,
    "failed": UNDONE,
    "done": ("SUCCESS",),
    "all": None,
}
"""Choices of operations, with the states of each; None for any."""


def operations(access: Access, visit: Visit) -> PageView:
    """Return a list of operations, the newest first."""
    chosen = visit.values.get("state", "unfinished")
    if chosen not in STATES:
        text = f"{chosen!r:.50} is no choice: use {', '.join(STATES)}."
        raise NoView(text, HTTPStatus.BAD_REQUEST)
    found = _page(access, visit.number, among=STATES[chosen])
    values = {**found, "chosen": chosen, "choices": list(STATES), "number": visit.number}
    return PageView("operations.html", "Operations", without_secrets(values))


def rejected(access: Access, visit: Visit) -> PageView:
    """Return a list of messages that were no operations, the newest first."""
    found = _page(access, visit.number, rejected=True)
    return PageView("rejected.html", "Rejected messages", {**found, "number": visit.number})


def backups(access: Access, visit: Visit) -> PageView:
    """Return a list of chains of backups, the newest first."""
    number = visit.number
    found = access.records.backups.chains(CHAINS + 1, (number - 1) * CHAINS)
    chains = [[{**one.row, "depth": one.depth} for one in chain] for chain in found[:CHAINS]]
    values = {"chains": chains, "number": number, "more": len(found) > CHAINS}
    return PageView("backups.html", "Backups", without_secrets(values))


def entries(access: Access, limit: int, after: int = 0, **wanted: Any) -> list[dict[str, Any]]:
    """Return entries of the journal, the newest first.

    :param wanted: as :meth:`Journal.entries` has it.
    """
    found = access.journal.entries(limit=limit, after=after, **wanted)
    return [_described(access, one, tasks="rejected" not in wanted) for one in found]


def _page(access: Access, number: int, **wanted: Any) -> dict[str, Any]:
    found = entries(access, LENGTH + 1, (number - 1) * LENGTH, **wanted)
    return without_secrets({"entries": found[:LENGTH], "more": len(found) > LENGTH})


def _described(access: Access, entry: JournalEntry, *, tasks: bool) -> dict[str, Any]:
    kind, _space, resource_id = entry.resource.partition(" ")
    ended = entry.state not in UNDER_WAY
    has_task = tasks and entry.state != "SUCCESS"
    return {
        "flow": entry.flow,
        "method": entry.method,
        "kind": kind,
        "resource_id": resource_id,
        "state": entry.state,
        "slot": entry.slot,
        "task": current_task(access.journal, entry, ended=ended) if has_task else "",
        "accepted_at": str(entry.accepted_at),
        "updated_at": str(entry.updated_at or entry.accepted_at),
        "age_s": max(0.0, (timeutils.utcnow() - entry.accepted_at).total_seconds()),
        "failure": entry.failure,
        "request_id": entry.request_id,
    }
