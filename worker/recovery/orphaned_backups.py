# SPDX-License-Identifier: Apache-2.0
"""Find backups that another service left in a transient status, and have each ended.

Operations of this service resume by its journal, and a backup whose message still waits on
the bus has an operation to come. So this waits until it is proven that no message waits
(:mod:`worker.recovery.proof_wait`), and ends rows that have not changed since the start and
that no operation in the journal is about.

Source: spec/backup-rpc §9.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from drivers.interface.records import Record
from flows import repeat
from flows.backup import orphaned
from flows.context import BackupContext
from flows.engine import flow_run
from flows.errors import RunInterrupted, Unavailable
from flows.statuses import BackupStatus
from worker.db.records import Records
from worker.journal.journal import ENDED, Journal
from worker.recovery.proof_wait import ProofWait

LOG = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds in which senders that had lost the message bus send the casts that they hold."""

PAUSE = 5.0
"""Seconds between two attempts to read the rows."""

_ELSEWHERE = (BackupStatus.CREATING,)
"""Statuses in which another service may be at work on a backup, without a flow here."""

_KNOWN = 100_000
"""How many of the newest entries of the journal are read."""


class OrphanedBackups:
    """Ends orphaned backups once, after each start.

    :param proof: waits until no cast can wait.
    :param context: makes the context of a flow.
    :param delete: has a backup deleted, as the API does.
    """

    def __init__(
        self,
        records: Records,
        journal: Journal,
        host: str,
        proof: ProofWait,
        stopping: threading.Event,
        context: Callable[[], BackupContext],
        delete: Callable[[Record], None],
    ) -> None:
        self._records = records
        self._journal = journal
        self._host = host
        self._proof = proof
        self._stopping = stopping
        self._context = context
        self._delete = delete

    def start(self) -> None:
        """End orphaned backups on a thread of its own, when no cast can wait."""
        threading.Thread(target=self._run, name="orphaned-backups", daemon=True).start()

    def read(self) -> dict[str, str]:
        """Return the state of each backup in a transient status, to be compared with later."""
        return {one.id: _state(one) for one in self._records.backups.unsettled(self._host)}

    def left(self) -> list[Record]:
        """Return the backups in transient statuses that no operation in the journal is about."""
        rows = self._records.backups.unsettled(self._host)
        entries = self._journal.entries(limit=_KNOWN)
        known = {entry.resource for entry in entries}
        underway = {entry.resource for entry in entries if entry.state not in ENDED}
        # A backup that is being made may be with the volume service: the flow that asked it has
        # ended. Any other one has a running flow, or an ended one that was about something else.
        return [
            one
            for one in rows
            if f"backup {one.id}" not in (known if one.status in _ELSEWHERE else underway)
        ]

    def settle(self, as_read: Mapping[str, str]) -> int:
        """End orphaned backups; return how many.

        :param as_read: the backups at the start; those that have changed are not orphaned.
        """
        orphans = [one for one in self.left() if as_read.get(one.id) == _state(one)]
        for backup in orphans:
            LOG.warning("backup %s was left %s by another service", backup.id, backup.status)
            self._end(backup)
        return len(orphans)

    def _run(self) -> None:
        try:
            as_read = self._read_rows()
            if as_read and self._proof.until_proven(GRACE, lambda: len(self.left())):
                self.settle(as_read)
        except RunInterrupted:
            LOG.info("the service stops: orphaned backups are ended after its next start")
        except Exception:
            LOG.exception("not all backups that another service left were ended")

    def _read_rows(self) -> dict[str, str]:
        """Read the rows; an outage of the database is waited for.

        :raises ProcessStopping: the process stops meanwhile.
        """
        return repeat.until_stopped(
            self.read,
            self._stopping.wait,
            on=Unavailable,
            first=PAUSE,
            longest=PAUSE,
            failed=repeat.first_only(
                lambda error, _pause: LOG.info(
                    "orphaned backups of %s have to wait: %s", self._host, error
                )
            ),
        )

    def _end(self, backup: Record) -> None:
        if backup.status == orphaned.DELETED_AGAIN:
            self._delete(backup)
            return
        outcome = flow_run.run_in_memory(orphaned.flow, {"backup_id": backup.id}, self._context())
        if outcome.failure is not None:
            reason = outcome.failure.exception_str
            LOG.error("backup %s stays %s: %s", backup.id, backup.status, reason)


def _state(backup: Record) -> str:
    return f"{backup.status}|{backup.created_at}|{backup.updated_at}"
