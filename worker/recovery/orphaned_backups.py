# SPDX-License-Identifier: Apache-2.0
"""Backups that another service left under way, before this one took its place.

Ours go on by the journal, and those whose message still waits on the bus are nobody's
to touch. So this looks some time after the start, at rows that nothing has changed
since and of which the journal knows nothing.

Source: spec/backup-rpc §9.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable

from oslo_utils import timeutils
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import backup_source
from flows.backup.continue_ import remove_temporary
from flows.context import BackupContext
from flows.errors import FlowError, OperationInterrupted
from worker.db.records import Records
from worker.journal.journal import ENDED, Journal

LOG = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds in which what waits on the bus is taken."""

_KNOWN = 100_000
"""How many of the newest flows are looked through."""


class OrphanedBackups:
    """Looks once, on a thread of its own.

    :param context: makes what a flow is given.
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
        self._since = timeutils.utcnow()

    def start(self) -> None:
        """Begin, when the grace is over."""
        threading.Thread(target=self._run, name="leftovers", daemon=True).start()

    def settle(self) -> int:
        """End what nobody else will; return how many backups."""
        entries = self._journal.entries(limit=_KNOWN)
        known = {entry.resource for entry in entries}
        underway = {entry.resource for entry in entries if entry.state not in ENDED}
        count = 0
        for backup in self._records.backups.unsettled(self._host):
            # What failed is not gone on with: its flow, if it was ours, could not tidy up.
            whose = underway if backup.status == "error" else known
            if f"backup {backup.id}" in whose or not self._is_old(backup):
                continue
            count += 1
            LOG.warning("backup %s was left %s by another service", backup.id, backup.status)
            self._end(backup)
        return count

    def _run(self) -> None:
        if self._stopping.wait(GRACE):
            return
        try:
            self.settle()
        except Exception:
            LOG.exception("backups that another service left were not all looked at")

    def _is_old(self, backup: Record) -> bool:
        changed: datetime.datetime = backup.updated_at or backup.created_at
        return changed < self._since

    def _end(self, backup: Record) -> None:
        ctx = self._context()
        if backup.status == "deleting":
            self._delete(backup)
            return
        if backup.status == "error":
            _remove_temporary(ctx, backup)
            return
        text = f"a service ended while it was {backup.status}, and left no journal"
        cause = Failure.from_exception(OperationInterrupted(text))
        if backup.status == "creating":
            backup_source.release(ctx, backup, backup_source.FAILED)
            backup_source.set_failed(ctx, backup, cause, ("creating",))
            _remove_temporary(ctx, backup)
            return
        if backup.restore_volume_id:
            volumes, when = ctx.volumes, ("restoring-backup",)
            backup_source.change(
                volumes.transition, backup.restore_volume_id, "error_restoring", when=when
            )
            backup_source.change(
                volumes.transition, backup.restore_volume_id, "error", when=("creating",)
            )
        if backup.snapshot_id and not ctx.backups.being_made_of(backup.volume_id):
            backup_source.change(ctx.snapshots.transition, backup.snapshot_id, "available")
        backup_source.change(ctx.backups.transition, backup.id, "available", when=("restoring",))


def _remove_temporary(ctx: BackupContext, backup: Record) -> None:
    try:
        remove_temporary(ctx, backup)
    except FlowError as error:
        LOG.warning("what backup %s was read from may be left: %s", backup.id, error)
