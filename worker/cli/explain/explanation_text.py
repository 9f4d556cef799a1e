# SPDX-License-Identifier: Apache-2.0
"""The document of an explanation as a page of text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from worker.cli.output.colour import Colour

_INDENT = "  "
_LOG_LINES = 20
_EVENTS = 40

_HIDDEN = re.compile(r"^\S+ \S+ \d+ (?:DEBUG |\w+ \S+ \[instance: )")
"""A line at the debug level, or of a traceback, which has no context; ``-f json`` has them."""

_CONTEXT = re.compile(r"\[(?:None )?req-[^\]]*\] |\[instance: [^\]]*\] ?")
"""The part of a line that names the request and the resource, which the page names above."""

_FACTS = (
    *("size", "volume_size", "host", "cluster_name", "availability_zone", "project_id"),
    *("attach_status", "migration_status", "previous_status", "replication_status"),
    *("volume_id", "snapshot_id", "source_volid", "group_id", "parent_id", "restore_volume_id"),
    *("bootable", "multiattach", "progress", "object_count", "fail_reason"),
)
"""Columns of a row that are shown, in this order."""


def lines(document: Mapping[str, Any], colour: Colour, width: int) -> Iterator[str]:
    """Return the page.

    :param width: of the longest line, but for lines of logs.
    """
    page = _Page(colour, width)
    yield from page.wrapped(document["summary"], "", kind="strong")
    if document["resource"]:
        yield from page.section(_heading(document["resource"]), page.row(document["resource"]))
    for operation in document["operations"]:
        head = f"{operation['method']}  {operation['state']}"
        is_short = operation["state"] == "SUCCESS" and not operation["operator_requests"]
        body = page.success(operation) if is_short else page.operation(operation)
        yield from page.section(head, body, state=operation["state"])
    if more := document["operations_not_shown"]:
        yield f"{_INDENT}{more} older operations are not shown; see: holdfast flow list --all"
    yield from page.section("Messages that were put aside", page.aside(document))
    yield from page.section(
        "Calls of drivers and other services", page.calls(document["driver_calls"])
    )
    yield from page.section("Messages for users", page.messages(document["user_messages"]))
    yield from page.section("History (UTC)", page.history(document["history"]))
    yield from page.section("Log of this host", page.log(document["log"]))
    yield from page.section("Not known here", page.sentences(document["gaps"]))
    yield from page.section("Next", page.sentences(document["next"]))
    yield from page.section("Possible commands", page.actions(document["actions"]))


class _Page:
    """Formats parts of the document."""

    def __init__(self, colour: Colour, width: int) -> None:
        self._colour = colour
        self._width = width

    def section(self, heading: str, body: Iterable[str], *, state: str = "") -> Iterator[str]:
        """Return a heading and its lines; nothing where there are none."""
        found = list(body)
        if not found:
            return
        head, _gap, shown = heading.partition("  ")
        painted = self._colour(head, "strong")
        yield ""
        yield f"{painted}  {self._colour.state(shown, state)}" if shown else painted
        yield from found

    def wrapped(self, text: str, indent: str = _INDENT, *, kind: str = "") -> Iterator[str]:
        """Return a text in lines of the width; further ones are indented."""
        found = textwrap.wrap(
            text,
            self._width,
            initial_indent=indent,
            subsequent_indent=f"{indent}{_INDENT}",
            break_long_words=False,
            break_on_hyphens=False,
        )
        return iter([self._colour(one, kind) for one in found] if kind else found)

    def sentences(self, texts: Iterable[str]) -> Iterator[str]:
        """Return sentences, each on a line of its own."""
        for text in texts:
            yield from self.wrapped(text)

    def row(self, resource: Mapping[str, Any]) -> Iterator[str]:
        """Return the status, the facts of a row, and its service."""
        facts = {"status": resource["status"], **facts_of(resource["row"])}
        if work := resource["work"]:
            by = f" by {work['claimed_by']}" if work["claimed_by"] else ""
            facts["worked on"] = f"{work['status']}{by}, since {work['since']}"
        if resource["service"]:
            facts["service"] = service_text(resource["service"])
        yield from self._facts(facts)
        if resource["related"]:
            counted = Counted(resource["related"])
            yield from self.wrapped(f"named by {counted}")

    def operation(self, operation: Mapping[str, Any]) -> Iterator[str]:
        """Return an operation with its tasks."""
        took = f", ended {operation['updated_at']}" if operation["ended"] else ""
        facts = {
            "flow": operation["flow"],
            "request": operation["request_id"] or "",
            "on": f"{operation['resource_kind']} {operation['resource_id']}",
            "slot": operation["slot"],
            "accepted": f"{operation['accepted_at']}{took}",
            "attempts": attempts_text(operation["attempts"]),
        }
        if owner := operation["owner"]:
            facts["owner"] = owner_text(owner)
        yield from self._facts({name: value for name, value in facts.items() if value})
        yield from self._tasks(operation["tasks"])
        for label, text in problems_of(operation):
            yield from self.wrapped(f"{label}: {text}", kind="bad")
        for asked in operation["operator_requests"]:
            answer = asked["answer"] or "not carried out yet"
            text = f"operator, {asked['asked_at']}: {asked['action']}: {answer}"
            yield from self.wrapped(text)

    def success(self, operation: Mapping[str, Any]) -> Iterator[str]:
        """Return an operation that has succeeded, in short."""
        request = f", {operation['request_id']}" if operation["request_id"] else ""
        yield from self.wrapped(f"flow {operation['flow']}{request}")
        tasks = ", ".join(f"{one['name']} {one['took_s']} s" for one in operation["tasks"])
        on = f"{operation['resource_kind']} {operation['resource_id']}, {operation['slot']}"
        yield from self.wrapped(f"on {on}")
        times = f"{operation['accepted_at']}, in {operation['took_s']} s"
        yield from self.wrapped(f"{times}: {tasks}")

    def aside(self, document: Mapping[str, Any]) -> Iterator[str]:
        """Return the messages that were put aside."""
        for one in document["rejected_messages"]:
            text = f"{one['received_at']}  {one['method']}: {one['reason']}"
            yield from self.wrapped(text)

    def calls(self, calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Return calls of drivers."""
        for one in calls[-_LOG_LINES:]:
            took = f" after {one['took_s']:.3f} s" if "took_s" in one else ""
            error = f": {one['failure']}" if one.get("failure") else ""
            yield from self.wrapped(
                f"{one['call']}({one['arguments']}) {one['outcome']}{took}{error}"
            )

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Return the messages for users."""
        for one in messages:
            request = f"  {one['request_id']}" if one["request_id"] else ""
            text = f"{one['at']}  {one['level']}  {one['text']} ({one['event_id']}){request}"
            yield from self.wrapped(text)

    def history(self, events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Return the newest events."""
        if len(events) > _EVENTS:
            yield f"{_INDENT}{len(events) - _EVENTS} older events: see -f json"
        for one in events[-_EVENTS:]:
            yield from self.wrapped(f"{one['at']!s:<23}  {one['source']:<8}  {one['event']}")

    def log(self, found: Sequence[Mapping[str, str]]) -> Iterator[str]:
        """Return the newest lines of the log, each as it is."""
        shown = [one["line"] for one in found if not _HIDDEN.match(one["line"])]
        if len(found) > len(shown[-_LOG_LINES:]):
            last = min(_LOG_LINES, len(shown))
            yield f"{_INDENT}{last} of {len(found)} lines; -f json has debug lines and tracebacks"
        for line in shown[-_LOG_LINES:]:
            yield from self.wrapped(_CONTEXT.sub("", line))

    def actions(self, actions: Sequence[Mapping[str, str]]) -> Iterator[str]:
        """Return commands with their effects."""
        longest = max((len(one["command"]) for one in actions), default=0)
        for one in actions:
            yield f"{_INDENT}{one['command']:<{longest}}  {self._colour(one['effect'], 'faint')}"

    def _facts(self, facts: Mapping[str, Any]) -> Iterator[str]:
        for name, value in facts.items():
            yield from self.wrapped(f"{name.replace('_', ' '):<20} {value}")

    def _tasks(self, tasks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        longest = max((len(one["name"]) for one in tasks), default=0)
        for one in tasks:
            began = (one["began_at"] or "")[11:]
            took = "" if one["took_s"] is None else f"{one['took_s']:.3f} s"
            state = self._colour.state(f"{one['state']:<14}", one["state"].partition(" ")[0])
            yield f"{_INDENT * 2}{one['name']:<{longest}}  {state} {began:<12} {took:>12}".rstrip()


class Counted:
    """Rows counted by their kind, as text.

    :param rows: with the key ``kind``.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._counts: dict[str, int] = {}
        for row in rows:
            name = f"{row['kind']}{' (deleted)' if row.get('deleted') else ''}"
            self._counts[name] = self._counts.get(name, 0) + 1

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self._counts.items())


def _heading(resource: Mapping[str, Any]) -> str:
    return f"Row of {resource['kind']} {resource['id']}"


def facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a person looks for first."""
    return {name: row[name] for name in _FACTS if row.get(name) not in (None, "", False)}


def service_text(service: Mapping[str, Any]) -> str:
    """Return a sentence about the service of a resource."""
    name = f"{service['binary']} {service['host']}"
    if service["state"] == "missing":
        return f"{name} has no row"
    words = [service["state"], *(word for word in ("disabled", "frozen") if service[word])]
    return f"{name} is {', '.join(words)}; last heartbeat {service['heartbeat_age_s']} s ago"


def owner_text(owner: Mapping[str, Any]) -> str:
    """Return the process that owns a slot, as text."""
    if owner["orphaned"] or owner["pid"] is None:
        return f"none; adopted by {owner['adopted_by']}" if owner["adopted_by"] else "none"
    lease = owner["lease_expires_in_s"]
    return f"process {owner['pid']} of {owner['node']}, lease ends in {lease} s"


def attempts_text(attempts: Mapping[str, Any]) -> str:
    """Return the attempts at an operation, as text."""
    parts = []
    if count := attempts["interruptions"]:
        parts.append(f"its process died {count} times inside a step, without progress since")
    if count := attempts["host_losses"]:
        parts.append(f"its host was lost {count} times")
    if count := attempts["interruptions_of_reverts"]:
        parts.append(f"its reverts were interrupted {count} times")
    if attempts["suspended"]:
        parts.append("suspended by an orderly stop")
    if attempts["run_again_by_operator"]:
        parts.append("run again by an operator")
    if reason := attempts["reverted_because"]:
        parts.append(f"reverted: {reason}")
    return "; ".join(parts) or "one, without interruption"


def problems_of(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each failure of an operation, with a label."""
    if operation["failure"]:
        yield "failed", operation["failure"]
    for task in operation["tasks"]:
        if task["driver_call"]:
            yield f"failed in {task['name']}", task["driver_call"]
    for step, text in operation["not_undone"].items():
        yield f"not undone, {step}", text
    if operation["problem"]:
        yield "problem", operation["problem"]
