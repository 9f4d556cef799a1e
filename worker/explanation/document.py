# SPDX-License-Identifier: Apache-2.0
"""The document about one subject: values of JSON, with stable keys and without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flows.secret_texts import masked_text, masked_value
from worker.explanation import (
    host_log,
    next_steps,
    operations,
    resources,
    timeline,
    user_messages,
)
from worker.explanation.subjects import FLOW, REQUEST, Stores, Subject
from worker.journal.entries.listed_entry import JournalEntry, concerns

OPERATIONS = 20
"""Operations that are described, the newest ones."""


def gather(stores: Stores, subject: Subject, *, log: bool = True) -> dict[str, Any]:
    """Return all that is known about a subject.

    :param log: whether to search the logs of this host.
    """
    entries, rejected = _entries(stores, subject)
    described = [_described(stores, entry) for entry in entries[:OPERATIONS]]
    aside = [operations.put_aside(entry) for entry in rejected[:OPERATIONS]]
    about = _resource(subject, entries)
    resource = resources.described(stores, about) if about else None
    messages = _messages(stores, about, [*entries, *rejected], subject)
    lines, gaps = _log(stores, subject, about, entries) if log else ([], [])
    document = {
        "subject": {"kind": subject.kind, "id": subject.id},
        "summary": _summary(subject, resource, described, aside),
        "resource": resource,
        "operations": described,
        "operations_not_shown": max(0, len(entries) - OPERATIONS),
        "rejected_messages": aside,
        "user_messages": messages,
        "history": timeline.of(resource, described, messages, aside),
        "driver_calls": host_log.driver_calls(lines),
        "log": lines,
        "next": next_steps.expected(resource, described, aside),
        "actions": next_steps.actions(resource, described),
        "gaps": [*stores.gaps, *gaps],
    }
    return without_secrets(document)


def _entries(stores: Stores, subject: Subject) -> tuple[list[JournalEntry], list[JournalEntry]]:
    """Return the operations on a subject, and the messages about it that were put aside."""
    if subject.kind == FLOW:
        wanted = [one for one in stores.entries if one.flow == subject.id]
        return wanted, [one for one in stores.rejected if one.flow == subject.id]
    if subject.kind == REQUEST:
        requests = {subject.id}
        return _of_requests(stores.entries, requests), _of_requests(stores.rejected, requests)
    direct = [one for one in stores.entries if concerns(one, subject.kind, subject.id)]
    requests = {one.request_id for one in direct if one.request_id}
    flows = {one.flow for one in direct}
    along = [one for one in stores.entries if one.request_id in requests or one.flow in flows]
    return along, _of_requests(stores.rejected, requests)


def _of_requests(entries: Iterable[JournalEntry], requests: set[str]) -> list[JournalEntry]:
    return [one for one in entries if one.request_id in requests]


def _described(stores: Stores, entry: JournalEntry) -> dict[str, Any]:
    assert stores.journal is not None  # it has the entry
    return operations.described(stores.journal, entry)


def _resource(subject: Subject, entries: Sequence[JournalEntry]) -> Subject | None:
    """Return the resource itself, or that of the operations."""
    if subject.kind not in (FLOW, REQUEST):
        return subject
    for entry in reversed(entries):
        kind, _space, resource_id = entry.resource.partition(" ")
        if resource_id:
            return Subject(kind, resource_id)
    return None


def _messages(
    stores: Stores, about: Subject | None, entries: Iterable[JournalEntry], subject: Subject
) -> list[dict[str, Any]]:
    if stores.records is None:
        return []
    requests = {one.request_id for one in entries if one.request_id}
    requests |= {subject.id} if subject.kind == REQUEST else set()
    found = stores.records.stored.messages(
        resource_id=about.id if about else "", request_ids=sorted(requests)
    )
    return [user_messages.described(row) for row in found]


def _log(
    stores: Stores, subject: Subject, about: Subject | None, entries: Sequence[JournalEntry]
) -> tuple[list[dict[str, str]], list[str]]:
    ids = {subject.id, *([about.id] if about else [])}
    ids |= {one.request_id for one in entries[:OPERATIONS] if one.request_id}
    return host_log.found(stores.conf, sorted(ids))


def _summary(
    subject: Subject,
    resource: dict[str, Any] | None,
    described: Sequence[dict[str, Any]],
    aside: Sequence[dict[str, Any]],
) -> str:
    """Return one sentence: the status, and the newest operation."""
    parts = []
    if resource:
        name = f' "{resource["name"]}"' if resource["name"] else ""
        parts.append(f"{resource['kind']} {resource['id']}{name} is {resource['status']}")
    elif subject.kind not in (FLOW, REQUEST):
        parts.append(f"{subject.kind} {subject.id} has no row")
    if described:
        parts.append(_operation(_decisive(resource, described)))
    if aside and not described:
        parts.append(f"{aside[0]['method']} was put aside: {aside[0]['reason']}")
    return "; ".join(parts) or f"{subject.kind} {subject.id}"


def _decisive(
    resource: dict[str, Any] | None, described: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the operation that explains the status: one that runs, the failed, the newest."""
    own = [one for one in described if resource and one["resource_id"] == resource["id"]]
    running = [one for one in described if not one["ended"]]
    in_error = resource is not None and next_steps.is_in_error(resource["status"])
    failed = [one for one in described if one["failure"]] if in_error or not resource else []
    return next(iter((*running, *failed, *own, *described)))


def _operation(operation: dict[str, Any]) -> str:
    name, state = operation["method"], operation["state"]
    if not operation["ended"]:
        return f"{name} is {state}"
    failed = [task["name"] for task in operation["tasks"] if task["failure"]]
    where = f" in its step {failed[0]}" if failed else ""
    if operation["failure"]:
        return f"{name} failed{where}: {operation['failure']}"
    return f"{name} was done in {operation['took_s']} s"


def without_secrets(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with secrets masked, by their names and in texts."""
    found: dict[str, Any] = _masked(masked_value(document))
    return found


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, dict):
        return {key: _masked(one) for key, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value
