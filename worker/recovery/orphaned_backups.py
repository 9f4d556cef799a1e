# SPDX-License-Identifier: Apache-2.0
"""Find backups that another service left in a transient status, and have each ended.

Operations of this service resume by its journal, and a backup whose message still waits on
the bus has an operation to come. So this looks some time after the start, at rows that have
not changed since and that no operation in the journal is about.

Source: spec/backup-rpc §9.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable

from oslo_utils import timeutils

from drivers.interface.records import Record
from flows import engine
from flows.backup import orphaned
from flows.context import BackupContext
from flows.errors import RunInterrupted
from flows.statuses import BackupStatus
from worker.db.records import Records
from worker.journal.journal import ENDED, Journal

LOG = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds until the messages that waited on the bus at the start have been received."""

_KNOWN = 100_000
"""How many of the newest flows are looked through."""


class OrphanedBackups:
    """Looks once, on a thread of its own.

    :param context: makes the context of a flow.
    :param delete: has a backup deleted, as the API does.
    """

    def __init__(
        self,
        records: Records,
        journal: Journal,
        host: str,
        stopping: threading.Event,
        context: Callable[[], BackupContext],
        delete: Callable[[Record], None],
    ) -> None:
        self._records = records
        self._journal = journal
        self._host = host
        self._stopping = stopping
        self._context = context
        self._delete = delete

    def start(self) -> None:
        """End orphaned backups on a thread of its own, after the grace period."""
        since = timeutils.utcnow()
        threading.Thread(
            target=self._run, args=(since,), name="orphaned-backups", daemon=True
        ).start()

    def settle(self, since: datetime.datetime) -> int:
        """End orphaned backups; return how many.

        :param since: rows that have changed after this time are not orphaned.
        """
        entries = self._journal.entries(limit=_KNOWN)
        known = {entry.resource for entry in entries}
        underway = {entry.resource for entry in entries if entry.state not in ENDED}
        count = 0
        for backup in self._records.backups.unsettled(self._host):
            # A failed backup may have an ended flow, which could not delete the temporary objects.
            operations = underway if backup.status == BackupStatus.ERROR else known
            if f"backup {backup.id}" in operations or _changed_at(backup) >= since:
                continue
            count += 1
            LOG.warning("backup %s was left %s by another service", backup.id, backup.status)
            self._end(backup)
        return count

    def _run(self, since: datetime.datetime) -> None:
        if self._stopping.wait(GRACE):
            return
        try:
            self.settle(since)
        except RunInterrupted:
            LOG.info("the service stops: orphaned backups are ended after its next start")
        except Exception:
            LOG.exception("not all backups that another service left were ended")

    def _end(self, backup: Record) -> None:
        if backup.status == orphaned.DELETED_AGAIN:
            self._delete(backup)
            return
        outcome = engine.run_in_memory(orphaned.flow, {"backup_id": backup.id}, self._context())
        if outcome.failure is not None:
            reason = outcome.failure.exception_str
            LOG.error("backup %s stays %s: %s", backup.id, backup.status, reason)


def _changed_at(backup: Record) -> datetime.datetime:
    changed: datetime.datetime = backup.updated_at or backup.created_at
    return changed
