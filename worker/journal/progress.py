# SPDX-License-Identifier: Apache-2.0
"""Progress of one flow, written to the journal at task boundaries only.

taskflow's own backend reads, merges and writes every row for every change: 54
statements and 18 commits for three tasks. Here one process owns a flow, so its memory
is current; changes are gathered and written in one transaction when a task is about to
start or to be reverted. A kill loses the changes since then, which are exactly those that
a repeated task makes again. Before a task that touches the backend the write waits for the
disk, so that a power cut does not take the flow back to a task before it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from taskflow import states
from taskflow.exceptions import StorageFailure
from taskflow.persistence import models

from worker.journal.errors import JournalError, JournalRefused, ProgressRefused
from worker.journal.slots.conflicts import repeated
from worker.journal.statements import Statements

LOG = logging.getLogger(__name__)

PROGRESS_PAUSE = 2.0
"""Seconds between two writes of a task's progress."""

OpenTransaction = Callable[[], AbstractContextManager[Any]]
"""Gives a cursor in a transaction of its own."""


_BOUNDARIES = (states.RUNNING, states.REVERTING)
_ENDED = (states.SUCCESS, states.FAILURE, states.REVERTED, states.REVERT_FAILURE)


class FlowProgress:
    """The backend that one flow's engine is given; it is its own connection.

    :param writing: gives the cursor of a transaction that survives a kill.
    :param writing_durably: of one that survives a power cut as well.
    """

    bookkeeping: frozenset[str] = frozenset()
    """Names of the tasks that may begin before the journal is on the disk."""

    ends_durably: bool = False
    """Whether the end of the flow has to survive a power cut, for lack of a claim."""

    def __init__(
        self,
        statements: Statements,
        writing: OpenTransaction,
        writing_durably: OpenTransaction,
        detail: models.FlowDetail,
    ) -> None:
        self._statements = statements
        self._writing = writing
        self._writing_durably = writing_durably
        self._flow = detail.uuid
        self._written = {atom.uuid: atom.state for atom in detail}
        self._state: str | None = None
        self._changed: dict[str, Any] = {}
        self._written_at = time.monotonic()
        self._tried = False  # to write the changes; whether that succeeded is not known
        self._saved: float | None = None
        self._progressed = any(atom.state != states.PENDING for atom in detail)

    @property
    def started(self) -> bool:
        """Whether any task of the flow has been written."""
        return bool(self._written)

    def get_connection(self) -> FlowProgress:
        """Return itself: there is nothing to open."""
        return self

    def close(self) -> None:
        """Nothing to close."""

    def update_flow_details(self, detail: models.FlowDetail) -> models.FlowDetail:
        """Gather a change of the flow's state."""
        self._state = detail.state
        return detail

    def update_atom_details(self, atom: Any) -> Any:
        """Gather a change of a task; write when it is about to run or to be reverted."""
        _note_time(atom)
        self._changed[atom.uuid] = atom
        boundary = atom.state in _BOUNDARIES and self._written.get(atom.uuid) != atom.state
        # The accepted entry already implies that the first task starts.
        if boundary and (self._progressed or atom.state != states.RUNNING):
            self.flush(durably=atom.name not in self.bookkeeping)
        elif atom.state == states.RUNNING and "progress" in atom.meta:
            self._show_progress(atom)
        if atom.state != states.PENDING:
            self._progressed = True
        return atom

    def _show_progress(self, atom: Any) -> None:
        """Write the progress of a task now and then; a checkpoint at once.

        It is for listings and for the count of interruptions, and not worth a wait: the next
        write has it as well.
        """
        saved = atom.meta.get("saved")
        if saved == self._saved and time.monotonic() - self._written_at < PROGRESS_PAUSE:
            return
        self._saved, self._written_at = saved, time.monotonic()
        try:
            self.flush()
        except StorageFailure as error:
            LOG.debug("the progress of %s is written later: %s", atom.name, error)

    def flush(self, *, durably: bool = False) -> None:
        """Write the gathered changes.

        :raises StorageFailure: perhaps they were written; load the flow and run it again.
        :raises ProgressRefused: they cannot be written.
        """
        writing = self._writing_durably if durably else self._writing
        try:
            self._write_in(writing)
        except JournalRefused as error:
            raise ProgressRefused(str(error)) from error
        except JournalError as error:
            raise StorageFailure(str(error)) from error
        self._note_written()

    @repeated
    def _write_in(self, writing: OpenTransaction) -> None:
        with writing() as cursor:
            self.write(cursor)

    def write(self, cursor: Any) -> None:
        """Write the gathered changes in the caller's transaction.

        It may be repeated until the transaction is committed.
        """
        changed = self._to_write()
        known = [atom for atom in changed if atom.uuid in self._written]
        fresh = [atom for atom in changed if atom.uuid not in self._written]
        if self._state is not None:
            self._statements.set_flow(cursor, self._flow, self._state)
        if known:
            self._statements.update_atoms(cursor, known)
        if fresh:
            self._statements.insert_atoms(cursor, self._flow, fresh, self._tried)
        self._tried = True

    def forget(self) -> None:
        """Drop the gathered changes, which the journal does not take."""
        self._changed.clear()
        self._state = None

    def _note_written(self) -> None:
        self._written.update((atom.uuid, atom.state) for atom in self._to_write())
        self._changed.clear()
        self._state = None
        self._tried = False
        self._written_at = time.monotonic()

    def _to_write(self) -> list[Any]:
        return [atom for atom in self._changed.values() if atom.state != states.PENDING]


def _note_time(atom: Any) -> None:
    """Keep when a task began and ended, in seconds since the epoch, for ``flow show``."""
    if atom.state == states.RUNNING:
        atom.meta.setdefault("began", time.time())
    elif atom.state in _ENDED:
        atom.meta["ended"] = time.time()
