# SPDX-License-Identifier: Apache-2.0
"""Write a backup's status as an administrator wishes.

=======  ==========================================  ============================
task     does                                        undone by
=======  ==========================================  ============================
check    the backup is of this host, in our store    (nothing was changed)
write    the status; after ``error``, the temporary  (a written status stays)
         source is deleted
=======  ==========================================  ============================

Source: spec/backup-rpc §5, reset_status.
"""

from __future__ import annotations

from taskflow.patterns import linear_flow

from flows.backup.continue_ import remove_temporary
from flows.backup.restore import require_in_this_store
from flows.context import BackupContext
from flows.factories import registered
from flows.lifecycle import Step
from flows.statuses import BackupStatus
from flows.volume.data import backup_source


class CheckStore(Step, task="check"):
    """Check whose the backup is. Idempotent: it only reads."""

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        backup_source.require_on_this_host(ctx, backup)
        if backup.service:
            require_in_this_store(ctx, backup)


class WriteBackupStatus(Step, task="write"):
    """Write the status. Idempotent: it is written again."""

    def execute(self, ctx: BackupContext, backup_id: str, status: str) -> None:
        backup = ctx.backups.get(backup_id)
        if not backup.service:
            return
        ctx.backups.update(backup_id, status=status)
        if status == BackupStatus.ERROR:
            remove_temporary(ctx, backup)
        ctx.notifier.backup(ctx.request, "reset_status.end", backup.replace(status=status))


@registered
def flow() -> linear_flow.Flow:
    """Reset a status. Needs ``backup_id`` and ``status``."""
    return linear_flow.Flow("reset_status").add(CheckStore(), WriteBackupStatus())
