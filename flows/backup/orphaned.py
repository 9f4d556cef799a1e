# SPDX-License-Identifier: Apache-2.0
"""End a backup that another service left in a transient status, without a journal.

===========  =======================================================================
status       end
===========  =======================================================================
creating     ``error``; the volume or snapshot as before; temporary objects deleted
restoring    ``available``; the volume ``error_restoring``, or ``error`` if it was
             being created; its snapshot ``available``
error        temporary objects deleted
deleting     (deleted by an operation of its own, see :data:`DELETED_AGAIN`)
===========  =======================================================================

Source: spec/backup-rpc §9.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.backup import continue_, restore
from flows.backup.continue_ import remove_temporary
from flows.context import BackupContext
from flows.errors import FlowError, OperationInterrupted
from flows.factories import registered
from flows.lifecycle import Step
from flows.statuses import BackupStatus, VolumeStatus
from flows.volume.data import backup_source

LOG = logging.getLogger(__name__)

DELETED_AGAIN = BackupStatus.DELETING
"""Status of backups that the service deletes by another operation."""

VOLUMES: Mapping[str, str] = {
    VolumeStatus.RESTORING_BACKUP: VolumeStatus.ERROR_RESTORING,
    VolumeStatus.CREATING: VolumeStatus.ERROR,
}
"""Volumes to which a backup was being restored."""


class EndOrphanedBackup(Step, task="end"):
    """End the backup. Idempotent: afterwards it has another status, or nothing temporary."""

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup.deleted:
            return
        if backup.status == BackupStatus.CREATING:
            _end_creation(ctx, backup)
        elif backup.status == BackupStatus.RESTORING:
            _end_restore(ctx, backup)
        elif backup.status == BackupStatus.ERROR:
            _remove_temporary(ctx, backup)


@registered
def flow() -> linear_flow.Flow:
    """End an orphaned backup. Needs ``backup_id``."""
    return linear_flow.Flow("orphaned_backup").add(EndOrphanedBackup())


def _end_creation(ctx: BackupContext, backup: Record) -> None:
    text = f"a service ended while it was {backup.status}, and left no journal"
    cause = Failure.from_exception(OperationInterrupted(text))
    backup_source.release(ctx, backup, backup_source.FAILED)
    backup_source.set_failed(ctx, backup, cause, continue_.STATUSES)
    _remove_temporary(ctx, backup)


def _end_restore(ctx: BackupContext, backup: Record) -> None:
    change = backup_source.set_status
    if volume_id := backup.restore_volume_id:
        for during, end in VOLUMES.items():
            change(ctx.volumes.transition, volume_id, end, when=(during,))
    if backup.snapshot_id and not ctx.backups.being_made_of(backup.volume_id):
        statuses = backup_source.SNAPSHOT
        change(ctx.snapshots.transition, backup.snapshot_id, statuses.failed, when=statuses.during)
    statuses = restore.BACKUP
    change(ctx.backups.transition, backup.id, statuses.failed, when=statuses.during)


def _remove_temporary(ctx: BackupContext, backup: Record) -> None:
    try:
        remove_temporary(ctx, backup)
    except FlowError as error:
        LOG.warning(
            "the temporary volume or snapshot of backup %s may be left: %s", backup.id, error
        )
