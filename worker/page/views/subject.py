# SPDX-License-Identifier: Apache-2.0
"""One operation, one resource, one request; and the search for one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any
from urllib.parse import quote

from worker.cli.access import Access
from worker.cli.explain import explanation_text
from worker.cli.explain.explaining import stores_of
from worker.cli.lookup.candidates import LEAST
from worker.cli.output.flow_graph import links_of, names_of
from worker.db.records.stored_rows import KINDS
from worker.explanation import next_steps
from worker.explanation.document import gather, without_secrets
from worker.explanation.operations import described
from worker.explanation.subjects import FLOW, REQUEST, Subject, matches
from worker.journal.entries import tasks
from worker.journal.entries.listed_entry import JournalEntry
from worker.page import picture
from worker.page.views import lists
from worker.page.views.view import MovedView, NoView, PageView, Visit

CANDIDATES = 50
"""Things that a search shows."""

_SEARCHED = 1000
"""Matches that are read: an operation, its resource and its request may all match."""


def operation(access: Access, visit: Visit, flow: str) -> PageView:
    """Return one operation, with its picture."""
    found = access.journal.entries(beginning=flow, limit=1)
    if not found or found[0].flow != flow:
        return _rejected(access, flow)
    document = without_secrets(described(access.journal, found[0]))
    values = {
        "operation": document,
        "facts": _facts(document),
        "problems": list(explanation_text.problems_of(document)),
        "picture": picture.drawn(document["tasks"], _links(found[0], document["tasks"])),
        "sizes": (picture.BOX, picture.MARGIN),
        "next": next_steps.expected(None, [document], []) if not document["ended"] else [],
        "actions": next_steps.actions(None, [document]),
    }
    return PageView("operation.html", document["method"], values)


def resource(access: Access, visit: Visit, kind: str, resource_id: str) -> PageView:
    """Return the explanation of a resource."""
    if kind not in KINDS:
        raise NoView(f"There is no kind {kind}: there are {', '.join(KINDS)}.")
    return _explained(access, visit, Subject(kind, resource_id))


def request(access: Access, visit: Visit, request_id: str) -> PageView:
    """Return the explanation of a request."""
    return _explained(access, visit, Subject(REQUEST, request_id))


def find(access: Access, visit: Visit) -> PageView:
    """Return the page of the only thing whose id begins as wanted, or a list of several."""
    wanted = visit.values.get("id", "").strip()
    if len(wanted) < LEAST:
        text = f"Give at least {LEAST} characters of an id: of a volume, snapshot, backup or group,"
        raise NoView(f"{text} of an operation, a request or a message.", HTTPStatus.BAD_REQUEST)
    stores = stores_of(access)
    found = list(dict.fromkeys(islice(matches(stores, wanted), _SEARCHED)))
    if not found:
        raise NoView(f"Nothing here has an id that begins with {wanted!r:.80}.")
    exact = [one for one in found if one.id == wanted] or found
    if len(exact) == 1:
        raise MovedView(_address(exact[0]))
    values = {"found": found[:CANDIDATES], "more": max(0, len(found) - CANDIDATES)}
    return PageView("found.html", f"Ids that begin with {wanted[:80]}", values, follows=False)


def _address(found: Subject) -> str:
    which = quote(found.id, safe="")
    if found.kind in (FLOW, REQUEST):
        return f"/{'operations' if found.kind == FLOW else 'requests'}/{which}"
    return f"/resources/{found.kind}/{which}"


def _rejected(access: Access, flow: str) -> PageView:
    """Return the page of a message that was put aside."""
    found = lists.entries(access, 1, rejected=True, beginning=flow)
    if not found or found[0]["flow"] != flow:
        raise NoView(
            f"The journal has no operation {flow:.80}: it has ended long ago, or never was."
        )
    values = {"entries": found, "more": False, "number": 1}
    return PageView("rejected.html", "Rejected message", without_secrets(values))


def _links(entry: JournalEntry, described_tasks: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the links between the tasks; none where this version makes another flow."""
    flow = tasks.flow_of(entry)
    if flow is None or set(names_of(flow)) != {one["name"] for one in described_tasks}:
        return []
    return list(links_of(flow))


def _facts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return lines about an operation, beside its resource and its request."""
    ended = document["updated_at"] if document["ended"] else None
    owner = document["owner"]
    return {
        "Slot": document["slot"],
        "Owner": explanation_text.owner_text(owner) if owner else None,
        "Accepted": document["accepted_at"],
        "Ended": ended,
        "Attempts": explanation_text.attempts_text(document["attempts"]),
    }


def _explained(access: Access, visit: Visit, about: Subject) -> PageView:
    document = gather(stores_of(access), about, log=not visit.part)
    if not any(document[name] for name in ("resource", "operations", "rejected_messages")):
        gaps = f" {' '.join(document['gaps'])}" if document["gaps"] else ""
        raise NoView(f"Neither database nor journal knows the {about.kind} {about.id:.80}.{gaps}")
    row = document["resource"]
    service = row["service"] if row else None
    values = {
        **document,
        "facts": explanation_text.facts_of(row["row"]) if row else {},
        "service": explanation_text.service_text(service) if service else "",
    }
    return PageView("explained.html", f"{about.kind} {about.id}", values)
