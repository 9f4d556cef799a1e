# SPDX-License-Identifier: Apache-2.0
"""Every operation that was cast, and its end."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

UNANSWERED = "unanswered"
"""The end of a call whose caller has no answer; it may have been carried out."""

GONE = "gone"
"""The status of a resource whose row is deleted."""


@dataclass
class Entry:
    """One operation.

    :param request: id of its request, which its driver calls carry as well.
    :param kind: kind of the resource whose status shows the end.
    :param busy: the status while the operation runs.
    :param good: the status after a success.
    :param done: when the end was seen, by the machine's monotonic clock.
    """

    method: str
    kind: str
    resource: str
    busy: str
    good: str
    request: str = field(default_factory=lambda: f"req-{uuid.uuid4()}")
    sent: float = 0.0
    done: float | None = None
    status: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended in another status than that of success, or of a lost answer."""
        return self.done is not None and self.status not in (self.good, UNANSWERED)

    def shown(self) -> str:
        """Return it for a message."""
        return f"{self.method} of {self.kind} {self.resource} ({self.request}): {self.status}"


class Ledger:
    """All operations of a run; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._open: dict[str, Entry] = {}

    def begin(self, entry: Entry) -> Entry:
        """Note an operation that is being cast."""
        entry.sent = time.monotonic()
        entry.status = entry.busy
        with self._lock:
            self._entries.append(entry)
            self._open[entry.request] = entry
        return entry

    def withdraw(self, entry: Entry) -> None:
        """Forget an operation that could not be cast."""
        with self._lock:
            self._entries.remove(entry)
            self._open.pop(entry.request, None)

    def entries(self) -> list[Entry]:
        """Return all operations."""
        with self._lock:
            return list(self._entries)

    def open(self, kind: str | None = None) -> list[Entry]:
        """Return the operations that have not ended, of one kind of resource or all."""
        with self._lock:
            return [one for one in self._open.values() if kind in (None, one.kind)]

    def see(self, kind: str, statuses: dict[str, str], asked: Collection[Entry]) -> list[Entry]:
        """Note the statuses of resources; return the operations that ended now.

        :param asked: the operations that were open before the statuses were read.
        """
        now = time.monotonic()
        ended = []
        for entry in asked:
            entry.status = statuses.get(entry.resource, GONE)
            if entry.kind == kind and entry.status != entry.busy:
                entry.done = now
                ended.append(entry)
        with self._lock:
            for entry in ended:
                self._open.pop(entry.request, None)
        return ended

    def finish(self, entry: Entry, status: str) -> None:
        """Note the end of a call, which its caller sees."""
        entry.status, entry.done = status, time.monotonic()
        with self._lock:
            self._open.pop(entry.request, None)

    def count(self) -> Counter[str]:
        """Return how many there are, by method, and how many failed or are open."""
        found: Counter[str] = Counter()
        for entry in self.entries():
            found[entry.method] += 1
            found["failed"] += entry.failed
            found["open"] += entry.done is None
        return found
