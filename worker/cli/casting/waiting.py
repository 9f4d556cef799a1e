# SPDX-License-Identifier: Apache-2.0
"""Wait for the end of a cast: its status from the database, its tasks from the journal."""

from __future__ import annotations

import time
from collections.abc import Callable

from drivers.interface.records import Record
from flows.errors import NotFound
from flows.statuses import VolumeStatus
from worker.cli.access import Access, CommandError, NoJournal
from worker.cli.casting.requests import Sent
from worker.cli.output.tasks import Task, tasks_of
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.errors import JournalError
from worker.journal.journal import ENDED

_POLL = 0.1
"""Seconds between two checks."""

_ENTRY_WAIT = 3.0
"""How long the journal may take to note an end that the row has already, in seconds."""

_RECENT = 200
"""How many of the newest flows are searched for ours."""


class CastWait:
    """One wait.

    :param write: called with each line of output.
    """

    def __init__(self, access: Access, sent: Sent, write: Callable[[str], object]) -> None:
        self._access = access
        self._sent = sent
        self._write = write
        self._printed: set[tuple[str, str]] = set()
        self._flow = ""
        self._journal_answers = True

    def until_end(self, seconds: float) -> str:
        """Return the status that it ended in. :raises CommandError: not the wanted one."""
        deadline = time.monotonic() + seconds
        resource = self._sent.resource
        if not self._sent.journalled:
            return "sent"
        if resource is None or not self._sent.during:
            return self._until_flow_ends(deadline, seconds)
        label = f"{resource.kind} {resource.id}"
        while (status := self._status(resource)) in self._sent.during:
            self._print_tasks(self._entry())
            self._pause(deadline, f"{label} is still {status} after {seconds:.0f} s")
        entry = self._ended_entry()
        self._print_tasks(entry)
        if status not in self._sent.wanted:
            reason = entry.failure if entry and entry.failure else "the journal here has no reason"
            raise CommandError(f"{label} is {status}: {reason}")
        return status

    def _until_flow_ends(self, deadline: float, seconds: float) -> str:
        """Wait for a cast without statuses of its own, as far as a journal records it."""
        while True:
            entry = self._entry()
            self._print_tasks(entry)
            if entry is not None and entry.state in ENDED:
                break
            if not self._journal_answers:
                raise CommandError("it was sent; only the journal could show how it ends")
            self._pause(deadline, f"there is no end of it after {seconds:.0f} s")
        if entry.failure:
            raise CommandError(f"{entry.method} failed: {entry.failure}")
        return "done"

    def _pause(self, deadline: float, text: str) -> None:
        if time.monotonic() > deadline:
            raise CommandError(f"{text}: is its service up? see: holdfast service list")
        time.sleep(_POLL)

    def _status(self, resource: Record) -> str:
        rows = getattr(self._access.records, f"{resource.kind}s")
        try:
            return str(rows.get(resource.id).status)
        except NotFound:
            return VolumeStatus.DELETED

    def _ended_entry(self) -> JournalEntry | None:
        """The flow ends a moment after its last task has written the status."""
        deadline = time.monotonic() + _ENTRY_WAIT
        while True:
            entry = self._entry()
            ended = entry is not None and entry.state in ENDED
            if ended or not self._journal_answers or time.monotonic() > deadline:
                return entry
            time.sleep(_POLL)

    def _entry(self) -> JournalEntry | None:
        if not self._journal_answers:
            return None
        try:
            for entry in self._access.journal.entries(beginning=self._flow, limit=_RECENT):
                if entry.request_id == self._sent.request_id and self._is_ours(entry):
                    self._flow = entry.flow
                    return entry
            self._require_not_rejected()
        except (NoJournal, JournalError) as error:
            # The service may run on another host, with a journal of its own.
            self._journal_answers = False
            self._write(f"  (no progress: {error})")
        return None

    def _is_ours(self, entry: JournalEntry) -> bool:
        """Return whether an operation is the one to wait for, not one that it asked others for."""
        return bool(self._sent.during) or entry.method == self._sent.method

    def _require_not_rejected(self) -> None:
        for entry in self._access.journal.entries(rejected=True, limit=_RECENT):
            if entry.request_id == self._sent.request_id:
                raise CommandError(f"the service put it aside: {entry.failure}")

    def _print_tasks(self, entry: JournalEntry | None) -> None:
        if entry is None:
            return
        try:
            for task in tasks_of(self._access.journal, entry):
                self._print_task(task)
        except JournalError:  # it ended between two checks
            return

    def _print_task(self, task: Task) -> None:
        if task.state == "PENDING" or (task.name, task.shown) in self._printed:
            return
        self._printed.add((task.name, task.shown))
        self._write(f"  {task.name:<12}{task.shown:<10}{task.took_text}".rstrip())
