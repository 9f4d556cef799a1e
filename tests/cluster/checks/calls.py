# SPDX-License-Identifier: Apache-2.0
"""Calls that share a resource, and changes by a process that another one has succeeded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.cluster.backend.history import BEGIN, EFFECT, END, Line
from tests.cluster.checks.evidence import Evidence, Finding

REPEATED = ("initialize_connection", "terminate_connection")
"""Calls that another service makes again for the same request, of whichever host."""

MARGIN = 1.0
"""Seconds by which the end of an operation may be seen before its last call is over."""


@dataclass
class Interval:
    """The time of one call; one that never ended ends with its last line."""

    first: Line
    began: float
    ended: float
    finished: bool = False

    def shown(self) -> str:
        """Return it for a message."""
        line = self.first
        state = "" if self.finished else ", without an end"
        return f"{line.method} by {line.life} at {self.began:.3f}-{self.ended:.3f}{state}"


def intervals(lines: Iterable[Line]) -> list[Interval]:
    """Return the calls of a history in the order of their begin."""
    found: dict[str, Interval] = {}
    for line in lines:
        if line.event == BEGIN:
            found[line.call] = Interval(line, line.moment, line.moment)
        elif line.call in found:
            found[line.call].ended = line.moment
            found[line.call].finished = line.event not in (BEGIN, EFFECT)
    return sorted(found.values(), key=lambda one: one.began)


def overlaps(evidence: Evidence) -> Iterator[Finding]:
    """Find calls on one resource at the same time, of which at least one changes it."""
    users: defaultdict[str, list[tuple[Interval, bool]]] = defaultdict(list)
    for call in intervals(evidence.lines):
        if call.first.resource:
            users[call.first.resource].append((call, True))
        for resource in call.first.reads:
            users[resource].append((call, False))
    for resource, calls in users.items():
        yield from _of_resource(resource, calls)


def _of_resource(resource: str, calls: Sequence[tuple[Interval, bool]]) -> Iterator[Finding]:
    for number, (one, changes) in enumerate(calls):
        for other, changes_too in calls[number + 1 :]:
            if other.began >= one.ended:
                break  # they are in the order of their begin
            if changes or changes_too:
                text = f"{resource}: {one.shown()} and {other.shown()}"
                yield Finding("overlaps", text)


def stale_writes(evidence: Evidence) -> Iterator[Finding]:
    """Find changes by a process after another one has begun to change the same operation.

    A process never comes back under its name, and one operation is never passed back. So
    within an operation each process has one uninterrupted part of the history.
    """
    orders: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for line in evidence.lines:
        if line.event != EFFECT or not line.request or line.method in REPEATED:
            continue
        lives = orders[line.request, line.method, line.resource]
        if line.life not in lives:
            lives.append(line.life)
        elif line.life != lives[-1]:
            text = f"{line.life} changed {line.resource} by {line.method} at {line.moment:.3f}"
            yield Finding("stale_writes", f"{text}, after {lives[-1]}, for {line.request}")
    yield from _old_epochs(evidence.lines)
    yield from _tracks(evidence)


def _old_epochs(lines: Iterable[Line]) -> Iterator[Finding]:
    """Find changes of any resource under an epoch of a slot that had ended before."""
    newest: dict[str, int] = {}
    for line in lines:
        if line.event != EFFECT or line.epoch is None:
            continue
        last = newest.get(line.slot, line.epoch)
        if line.epoch < last:
            text = f"{line.life} changed {line.resource} under epoch {line.epoch} of {line.slot}"
            yield Finding("stale_writes", f"{text}, after one under epoch {last}")
        newest[line.slot] = max(last, line.epoch)


def epochs(lines: Iterable[Line]) -> set[tuple[str, int]]:
    """Return the epochs of each slot under which changes were made."""
    changes = (line for line in lines if line.event == EFFECT)
    return {(line.slot, line.epoch) for line in changes if line.epoch is not None}


def _tracks(evidence: Evidence) -> Iterator[Finding]:
    """Find the same on the objects themselves."""
    known = {(one.request, one.method, one.resource, one.life) for one in evidence.lines}
    for resource, texts in evidence.tracks.items():
        orders: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for text in texts:
            life, request, method = text.split(" ")
            if method in REPEATED:
                continue
            lives = orders[request, method]
            if life not in lives:
                lives.append(life)
            elif life != lives[-1] and (request, method, resource, life) not in known:
                yield Finding("stale_writes", f"{life} left a change on {resource} by {method}")


def done_twice(evidence: Evidence) -> Iterator[Finding]:
    """Find operations that were begun again after their end, and casts accepted twice."""
    ends = {one.request: one for one in evidence.entries if one.done is not None}
    for line in evidence.lines:
        entry = ends.get(line.request)
        if entry is None or line.event != BEGIN or not _is_main(entry.method, line.method):
            continue
        assert entry.done is not None
        if line.resource == entry.resource and line.moment > entry.done + MARGIN:
            late = line.moment - entry.done
            text = f"{line.method} of {line.resource} by {line.life}, {late:.1f} s after the end"
            yield Finding("done_twice", text)
    flows: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    casts = {(entry.request, entry.method) for entry in evidence.entries}
    for one in evidence.journal:
        if (one.request, one.method) in casts:  # others are calls, which may be asked again
            flows[one.request, one.method, one.resource].add(one.flow)
    for (request, method, resource), ids in flows.items():
        if len(ids) > 1:
            text = f"{len(ids)} entries of the journal for {method} of {resource} ({request})"
            yield Finding("done_twice", text)


def _is_main(method: str, call: str) -> bool:
    """Return whether a call of the driver is the one for which an operation is there."""
    names = {"create_backup": "backup", "restore_backup": "restore"}
    return call.startswith(names.get(method, method)) or (
        method == "create_volume" and call == "create_cloned_volume"
    )


def completed(lines: Iterable[Line]) -> set[tuple[str, str]]:
    """Return request and method of all calls that ended well."""
    return {(line.request, line.method) for line in lines if line.event == END}
