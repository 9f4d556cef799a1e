# SPDX-License-Identifier: Apache-2.0
"""One history of rows, operations, messages and requests, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Event = dict[str, Any]

_MOMENTS = {
    "created_at": "created",
    "launched_at": "available for the first time",
    "terminated_at": "deletion asked for",
    "updated_at": "row last changed",
    "deleted_at": "deleted",
    "attach_time": "attached to a host",
    "detach_time": "detached from its host",
}
"""Columns of times, by the event that they are of."""

_OF_RELATED = ("created_at", "deleted_at", "attach_time", "detach_time")


def of(
    resource: Mapping[str, Any] | None,
    operations: Iterable[Mapping[str, Any]],
    messages: Iterable[Mapping[str, Any]],
    rejected: Iterable[Mapping[str, Any]],
) -> list[Event]:
    """Return the events, the oldest first."""
    found = [*_of_row(resource)] if resource else []
    for operation in operations:
        found += _of_operation(operation)
    for one in messages:
        found.append(_event(one["at"], "message", f"message for users: {one['text']}"))
    for one in rejected:
        found.append(_event(one["received_at"], "bus", f"{one['method']} put aside"))
    return sorted((one for one in found if one["at"]), key=lambda event: str(event["at"]))


def _of_row(resource: Mapping[str, Any]) -> Iterator[Event]:
    row, name = resource["row"], f"{resource['kind']}"
    for column, event in _MOMENTS.items():
        status = f", {row.get('status')}" if column == "updated_at" else ""
        yield _event(row.get(column), "row", f"{name} {event}{status}")
    for related in resource["related"]:
        for column in _OF_RELATED:
            text = f"{related['kind']} {related['id']} {_MOMENTS[column]}"
            yield _event(related.get(column), "row", text)


def _of_operation(operation: Mapping[str, Any]) -> Iterator[Event]:
    name = operation["method"]
    yield _event(operation["accepted_at"], "flow", f"{name} accepted by {operation['slot']}")
    for task in operation["tasks"]:
        if task["failure"]:
            yield _event(task["began_at"], "task", f"{name}: {task['name']} began, and failed")
    for asked in operation["operator_requests"]:
        answer = asked["answer"] or "no process has carried it out yet"
        yield _event(asked["asked_at"], "operator", f"{asked['action']} of {name}: {answer}")
    if operation["ended"]:
        yield _event(operation["updated_at"], "flow", f"{name} ended: {operation['state']}")


def _event(at: Any, source: str, text: str) -> Event:
    return {"at": at, "source": source, "event": text}
