# SPDX-License-Identifier: Apache-2.0
"""Delete a backup that others build on: its data is handed on to them first.

============  ========================================  ================================
task          does                                      undone by
============  ========================================  ================================
begin         refuses a backup of another host or in    (status as before, with the
              use, notifies of the start                reason)
check_store   the store works, and is ours              (nothing was changed)
plan          the backups that build on it, and places  (nothing was changed)
              of second copies
rewrite       driver.rewrite: each is stored anew, on   the copies that no row names are
              the backup before the deleted one         removed
switch        their rows name the second copies         (a switched row stays)
clear         driver.remove_copy: their first copies    (never fails)
check_alone   no other backup builds on it now          (nothing was changed)
mark          ``deleting``; no other backup builds on   ``available``
              it even then
remove        driver.delete_backup                      ``error``, a message: it may be
                                                        incomplete
delete_key    the backup's key, if it has one           ``error_deleting``, a message
finish        as of a deletion                          (point of no return)
============  ========================================  ================================

Nothing of the deleted backup is removed before all rows name copies that do without it. Until then
it is ``available``: a ``cinder-backup`` of the same host deletes every ``deleting`` backup at its
start, and does not look whether others build on it.

Source: docs/backup, Chains; Cinder refuses such a deletion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from flows import messages
from flows.backup import delete, rewrites
from flows.backup.delete import (
    CheckDeleteStore,
    CheckNoDependents,
    FinishDeleteBackup,
    RemoveBackup,
)
from flows.backup.rewrites import RemoveFormer, Rewrite, StoreCopies, SwitchCopies
from flows.claims import Claim
from flows.context import BackupContext
from flows.encryption.backup_keys import DeleteBackupKey
from flows.errors import InvalidBackup
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, reason
from flows.statuses import BackupStatus
from flows.volume.data import backup_source

STATUSES = Statuses(
    during=(BackupStatus.AVAILABLE, BackupStatus.DELETING),
    success=BackupStatus.DELETED,
    failure={Exception: BackupStatus.AVAILABLE},
)
"""Until the removal begins; then :data:`flows.backup.delete.STATUSES` count."""

(_DELETING,) = delete.STATUSES.during


class BeginDeleteFromChain(Step, task="begin"):
    """Check the backup, and notify of the start. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the backup, which has no status of its own for this until it is marked."""
        backup_id = str(args["backup_id"])
        return Claim("backup", backup_id, STATUSES.during, unmarked=True, status_stays=True)

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup.deleted:
            return
        backup_source.require_on_this_host(ctx, backup)
        if backup.status not in STATUSES.during and not ctx.resumed:
            raise InvalidBackup(f"backup {backup_id} is {backup.status}, not available")
        ctx.notifier.backup(ctx.request, "delete.start", backup)

    def revert(
        self, ctx: BackupContext, backup_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        backup, failure = ctx.backups.find(backup_id), cause_of(flow_failures)
        if backup is None or backup.deleted:
            return
        if backup_source.began_elsewhere(ctx, backup, result):
            return
        if backup.status not in STATUSES.during:  # another operation has it by now
            text = reason(failure)[: backup_source.REASON_MOST]
            ctx.backups.update(backup_id, fail_reason=text)
            return
        backup_source.set_failed(ctx, backup, failure, STATUSES)

    def reopen(self, ctx: BackupContext, args: Mapping[str, Any]) -> None:
        """Set the status back to that of a deletion, where the removal had begun."""
        failed = tuple(delete.STATUSES.failure.values())
        if ctx.backups.get(args["backup_id"]).status in failed:
            ctx.backups.transition(args["backup_id"], _DELETING, when=failed)


class PlanHandOn(Step, task="plan"):
    """Choose the places of second copies of all that build on a backup. Idempotent: it reads."""

    default_provides = "rewrites"

    def execute(self, ctx: BackupContext, backup_id: str) -> list[Rewrite]:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup.deleted:
            return []
        children = [ctx.backups.get(one) for one in ctx.backups.dependants(backup_id)]
        base = backup.parent_id or None
        return [rewrites.planned(ctx, one, base) for one in children]


class MarkDeleting(Step, task="mark"):
    """Set ``deleting``, unless another operation has the backup.

    Idempotent: the status is compared and set. A backup that was made on it since the last check
    ends the deletion; none begins afterwards, as a parent has to be ``available``.
    """

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup.deleted:
            return
        ctx.backups.transition(backup_id, _DELETING, when=STATUSES.during)
        delete.require_no_dependents(ctx, backup_id)


class RemoveUnneeded(RemoveBackup, task="remove"):
    """Remove the backup from the store. Idempotent: absence is a success.

    An administrator may have made it ``available`` during an interruption: then it stays.
    """

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is not None and not backup.deleted:
            if backup.status not in delete.STATUSES.during:
                raise InvalidBackup(f"backup {backup_id} is {backup.status}, not deleting")
            delete.require_no_dependents(ctx, backup_id)
        super().execute(ctx, backup_id)

    def revert(self, ctx: BackupContext, backup_id: str, flow_failures: dict[str, Failure]) -> None:
        """Write an error: some of its objects may be gone."""
        backup, failure = ctx.backups.find(backup_id), cause_of(flow_failures)
        if backup is None or backup.deleted:
            return
        detail = messages.BACKUP_DELETE
        backup_source.write_message(ctx, backup, messages.DELETE_BACKUP, failure, detail)
        backup_source.set_failed(ctx, backup, failure, delete.STATUSES, tasks=flow_failures)


@registered
def flow() -> linear_flow.Flow:
    """Delete a backup and keep those that build on it. Needs ``backup_id``."""
    return linear_flow.Flow("delete_from_chain").add(
        BeginDeleteFromChain(),
        CheckDeleteStore(),
        PlanHandOn(),
        StoreCopies(),
        SwitchCopies(),
        RemoveFormer(),
        CheckNoDependents(),
        MarkDeleting(),
        RemoveUnneeded(),
        DeleteBackupKey(),
        FinishDeleteBackup(),
    )
