# SPDX-License-Identifier: Apache-2.0
"""Delete a backup.

============  ====================================  ================================
task          does                                  undone by
============  ====================================  ================================
begin         refuses a backup of another host      ``error``, a message; see below
              (nothing is written), notifies of
              the start
check_status  the backup is ``deleting``            (``error``)
check_alone   no other backup builds on it          (``available``)
check_store   the store works, and is ours          (not working: ``error_deleting``)
remove        driver.delete_backup                  (a deleted backup stays deleted)
delete_key    the backup's key, if it has one       ``error_deleting``, a message
finish        the row, its quota, the parent's      (point of no return)
              count
============  ====================================  ================================

A backup that no service ever took has nothing in a store, so only its row goes.

Source: seeds, BackupDriver.delete_backup; spec/backup-rpc §5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from flows import messages
from flows.backup.restore import require_in_this_store
from flows.claims import Claim
from flows.context import BackupContext
from flows.encryption.backup_keys import DeleteBackupKey
from flows.errors import DriverNotInitialized, InvalidBackup
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of
from flows.statuses import BackupStatus
from flows.volume.data import backup_source

STATUSES = Statuses(
    during=(BackupStatus.DELETING,),
    success=BackupStatus.DELETED,
    failure={
        DriverNotInitialized: BackupStatus.ERROR_DELETING,
        Exception: BackupStatus.ERROR,
    },
    by_task={
        "check_alone": BackupStatus.AVAILABLE,
        "delete_key": BackupStatus.ERROR_DELETING,
    },
)

_DETAILS = {
    "check_status": messages.BACKUP_STATE,
    "remove": messages.BACKUP_DELETE,
    "delete_key": messages.BACKUP_DELETE,
}
_SILENT = ("check_alone",)
"""Steps that refuse a deletion before anything is done: without a message for the user."""

_BUSY = frozenset({BackupStatus.CREATING, BackupStatus.RESTORING, BackupStatus.DELETED})
"""Statuses in which another operation is running: it writes its own end."""


class BeginDeleteBackup(Step, task="begin"):
    """Notify of the start of a deletion. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the backup while it is deleted."""
        return Claim("backup", str(args["backup_id"]), STATUSES.during, unmarked=True)

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is not None and not backup.deleted:
            backup_source.require_on_this_host(ctx, backup)
            ctx.notifier.backup(ctx.request, "delete.start", backup)

    def revert(
        self, ctx: BackupContext, backup_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        backup, failure = ctx.backups.find(backup_id), cause_of(flow_failures)
        if backup is None or backup.deleted:
            return
        if backup_source.began_elsewhere(ctx, backup, result):
            return
        detail = backup_source.detail_by_step(flow_failures, _DETAILS)
        when: tuple[str, ...] = STATUSES.during
        if "check_status" in flow_failures:
            when = tuple({backup.status} - _BUSY)
        if not any(step in flow_failures for step in _SILENT):
            backup_source.write_message(ctx, backup, messages.DELETE_BACKUP, failure, detail)
        backup_source.set_failed(ctx, backup, failure, STATUSES, when, tasks=flow_failures)

    def reopen(self, ctx: BackupContext, args: Mapping[str, Any]) -> None:
        """Set the status back to that of a deletion."""
        failed = tuple(STATUSES.failure.values())
        ctx.backups.transition(args["backup_id"], STATUSES.during[0], when=failed)


class CheckStatus(Step):
    """Check the backup's status; one that is gone is a success. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup.deleted:
            return
        if backup.status not in STATUSES.during:
            wanted = STATUSES.during[0]
            raise InvalidBackup(f"backup {backup_id} is {backup.status}, not {wanted}")


class CheckNoDependents(Step, task="check_alone"):
    """Refuse a parent of other backups. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        require_no_dependents(ctx, backup_id)


class CheckDeleteStore(Step, task="check_store"):
    """Check that the backup is in the store of this service. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is not None and not backup.deleted and backup.service:
            _ = ctx.driver
            require_in_this_store(ctx, backup)
            _ = ctx.driver_for(backup)


class RemoveBackup(Step, task="remove"):
    """Remove the backup from the store. Idempotent: absence is a success."""

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is not None and not backup.deleted and backup.service:
            with ctx.waiting():
                ctx.driver_for(backup).delete_backup(backup)


class FinishDeleteBackup(Step, task="finish"):
    """Forget the row. Idempotent: row, quota and the parent's count go once, together."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None or (ctx.resumed and backup.status not in STATUSES.during):
            return
        release = {"backups": 1, "backup_gigabytes": backup.size or 0}
        if ctx.backups.destroy(backup_id, release=release):
            shown = backup.replace(status=STATUSES.done, deleted=True)
            ctx.notifier.backup(ctx.request, "delete.end", shown)


def require_no_dependents(ctx: BackupContext, backup_id: str) -> None:
    """:raises InvalidBackup: other backups build on it."""
    if found := ctx.backups.dependants(backup_id):
        text = f"{len(found)} others build on it: {', '.join(found[:3])}"
        raise InvalidBackup(f"backup {backup_id} cannot be deleted: {text}")


@registered
def flow() -> linear_flow.Flow:
    """Delete a backup. Needs ``backup_id``."""
    return linear_flow.Flow("delete_backup").add(
        BeginDeleteBackup(),
        CheckStatus(),
        CheckNoDependents(),
        CheckDeleteStore(),
        RemoveBackup(),
        DeleteBackupKey(),
        FinishDeleteBackup(),
    )
