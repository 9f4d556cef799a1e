# SPDX-License-Identifier: Apache-2.0
"""Wait for the end of a cast: its status from the database, its tasks from the journal."""

from __future__ import annotations

import time
from collections.abc import Callable

from oslo_utils import units

from drivers.interface.records import Record
from flows.errors import NotFound
from flows.statuses import VolumeStatus
from worker.cli.access import Access, CommandError, NoJournal
from worker.cli.casting.requests import Sent
from worker.cli.lookup.errors import StillRunning
from worker.cli.output.copy_progress import TransferProgress
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.entries.tasks import Task, tasks_of
from worker.journal.errors import JournalError
from worker.journal.journal import ENDED

_POLL = 0.1
"""Seconds between two checks."""

_LOOK = 5
"""Checks between two searches for further flows of the request: a backup has two."""

_ENTRY_WAIT = 3.0
"""How long the journal may take to note an end that the row has already, in seconds."""

_RECENT = 200
"""How many of the newest flows are searched for ours."""

_STEPS = 10
"""Lines with the progress of a task, at most."""


class CastWait:
    """One wait.

    :param write: called with each line of output.
    """

    def __init__(self, access: Access, sent: Sent, write: Callable[[str], object]) -> None:
        self._access = access
        self._sent = sent
        self._write = write
        self._printed: set[tuple[str, ...]] = set()
        self._flows: list[str] = []
        self._checks = 0
        self._journal_answers = True

    def until_end(self, seconds: float) -> str:
        """Return the status that it ended in.

        :raises StillRunning: it has not ended.
        :raises CommandError: it is not the wanted one.
        """
        deadline = time.monotonic() + seconds
        resource = self._sent.resource
        if not self._sent.journalled:
            return "sent"
        if resource is None or not self._sent.during:
            return self._until_flow_ends(deadline, seconds)
        label = f"{resource.kind} {resource.id}"
        while (status := self._status(resource)) in self._sent.during:
            self._print_tasks(self._entries())
            self._pause(deadline, f"{label} is still {status} after {seconds:.0f} s")
        entries = self._ended_entries()
        self._print_tasks(entries)
        if status not in self._sent.wanted:
            failures = [entry.failure for entry in entries if entry.failure]
            reason = failures[-1] if failures else "the journal here has no reason"
            raise CommandError(f"{label} is {status}: {reason}")
        return status

    def _until_flow_ends(self, deadline: float, seconds: float) -> str:
        """Wait for a cast without statuses of its own, as far as a journal records it."""
        while True:
            entries = self._entries()
            self._print_tasks(entries)
            if self._have_ended(entries):
                break
            if not self._journal_answers:
                raise CommandError("it was sent; only the journal could show how it ends")
            self._pause(deadline, f"there is no end of it after {seconds:.0f} s")
        for entry in entries:
            if entry.failure:
                raise CommandError(f"{entry.method} failed: {entry.failure}")
        return "done"

    def _pause(self, deadline: float, text: str) -> None:
        if time.monotonic() > deadline:
            if self._flows:
                text = f"{text}, and goes on; see: holdfast flow show {self._flows[-1]}"
                raise StillRunning(text)
            raise StillRunning(f"{text}: is its service up? see: holdfast service list")
        time.sleep(_POLL)

    def _status(self, resource: Record) -> str:
        rows = getattr(self._access.records, f"{resource.kind}s")
        try:
            return str(rows.get(resource.id).status)
        except NotFound:
            return VolumeStatus.DELETED

    def _ended_entries(self) -> list[JournalEntry]:
        """The flow ends a moment after its last task has written the status."""
        deadline = time.monotonic() + _ENTRY_WAIT
        self._checks = 0
        while True:
            entries = self._entries()
            ended = self._have_ended(entries)
            if ended or not self._journal_answers or time.monotonic() > deadline:
                return entries
            time.sleep(_POLL)

    @staticmethod
    def _have_ended(entries: list[JournalEntry]) -> bool:
        return bool(entries) and all(entry.state in ENDED for entry in entries)

    def _entries(self) -> list[JournalEntry]:
        """Return the flows of the request on its resource, the oldest first."""
        if not self._journal_answers:
            return []
        try:
            if not self._flows or self._checks % _LOOK == 0:
                self._look()
            self._checks += 1
            return [
                entry
                for flow in self._flows
                for entry in self._access.journal.entries(beginning=flow, limit=1)
            ]
        except (NoJournal, JournalError) as error:
            # The service may run on another host, with a journal of its own.
            self._journal_answers = False
            self._write(f"  (no progress: {error})")
        return []

    def _look(self) -> None:
        """Look for flows of the request that are not known yet."""
        found = self._access.journal.entries(limit=_RECENT)
        new = [
            entry.flow
            for entry in reversed(found)
            if entry.request_id == self._sent.request_id
            and entry.flow not in self._flows
            and self._is_ours(entry)
        ]
        self._flows += new
        if not self._flows:
            self._require_not_rejected()

    def _is_ours(self, entry: JournalEntry) -> bool:
        """Return whether a flow is of the request itself, not one that it asked others for."""
        resource = self._sent.resource
        if entry.method == self._sent.method:
            return True
        if resource is None or not self._sent.during:
            return False
        return entry.resource == f"{resource.kind} {resource.id}"

    def _require_not_rejected(self) -> None:
        for entry in self._access.journal.entries(rejected=True, limit=_RECENT):
            if entry.request_id == self._sent.request_id:
                raise CommandError(f"the service put it aside: {entry.failure}")

    def _print_tasks(self, entries: list[JournalEntry]) -> None:
        for entry in entries:
            try:
                tasks = tasks_of(self._access.journal, entry)
            except JournalError:  # it ended between two checks
                continue
            if entry.method != self._sent.method and (entry.flow,) not in self._printed:
                self._printed.add((entry.flow,))
                self._write(f"  ({entry.method})")
            for task in tasks:
                self._print_task(entry.flow, task)

    def _print_task(self, flow: str, task: Task) -> None:
        step = "" if task.progress is None else str(int(task.progress * _STEPS))
        state = task.shown if task.state != "RUNNING" else f"RUNNING {step}"
        if task.state == "PENDING" or (flow, task.name, state) in self._printed:
            return
        self._printed.add((flow, task.name, state))
        last = task.took_text or self._progress_of(task)
        self._write(f"  {task.name:<16} {task.shown:<13} {last}".rstrip())

    def _progress_of(self, task: Task) -> str:
        """Return how far a copy is, of which the size is known."""
        resource = self._sent.resource
        if resource is None or not task.progress or task.began is None:
            return ""
        if task.state != "RUNNING" or not (size := resource.get("size")):
            return ""
        progress = TransferProgress(task.progress, size * units.Gi, time.time() - task.began)
        return f"{progress.done}, {progress.rate}, {progress.left} left"
