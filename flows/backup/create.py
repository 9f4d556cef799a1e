# SPDX-License-Identifier: Apache-2.0
"""Begin a backup: check it, and have the volume's service choose the source.

============  =====================================  ===============================
task          does                                   undone by
============  =====================================  ===============================
begin         notifies of the start                  backup ``error``, a message; the
                                                     volume or snapshot as before
check_source  the source exists and is               (backup ``error``, and nothing
              ``backing-up``                         is done to the source)
check_backup  the backup is ``creating``             (as begin)
accept        the store works; writes service        (as begin)
              and availability zone
clone_key     the volume's key for the backup, if    (as begin; the backup keeps it
              it has one                             until it is deleted)
ask           casts get_backup_device                (as begin)
============  =====================================  ===============================

The rest is :mod:`flows.backup.continue_`, when the volume's service has answered.

Source: seeds, BackupDriver.backup; spec/backup-rpc §2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from flows import messages
from flows.claims import Claim
from flows.context import BackupContext
from flows.encryption.backup_keys import CloneBackupKey
from flows.errors import InvalidBackup, InvalidSnapshot, InvalidVolume
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of
from flows.statuses import BackupStatus
from flows.volume.data import backup_source

STATUSES = Statuses(during=(BackupStatus.CREATING,), failure={Exception: BackupStatus.ERROR})
"""The rest of the backup is made by another operation, which has a success of its own."""

_DETAILS = {
    "check_backup": messages.BACKUP_STATE,
    "ask": messages.BACKUP_DEVICE,
}
_SILENT = "check_source"
_OURS = (
    *(BackupStatus.CREATING, BackupStatus.AVAILABLE),
    *(BackupStatus.ERROR, BackupStatus.ERROR_DELETING),
)
"""Statuses that a failure may be written over: in the others another operation is running."""


class BeginCreateBackup(Step, task="begin"):
    """Notify of the start of a backup. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the backup until it is made."""
        return Claim("backup", str(args["backup_id"]), STATUSES.during, unmarked=True)

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        backup_source.require_on_this_host(ctx, backup)
        ctx.notifier.backup(ctx.request, "create.start", backup)

    def revert(
        self, ctx: BackupContext, backup_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        backup, failure = ctx.backups.find(backup_id), cause_of(flow_failures)
        if backup is None or backup.deleted:
            return
        if backup_source.began_elsewhere(ctx, backup, result):
            return
        if _SILENT in flow_failures:
            backup_source.set_failed(ctx, backup, failure, STATUSES, _OURS)
            return
        detail = backup_source.detail_by_step(flow_failures, _DETAILS)
        backup_source.fail(ctx, backup, failure, detail, STATUSES, _OURS)

    def reopen(self, ctx: BackupContext, args: Mapping[str, Any]) -> None:
        """Refuse: the moment has passed."""
        raise InvalidBackup(f"backup {args['backup_id']}: create another one")


class CheckSource(Step):
    """Check the volume and the snapshot. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        volume = ctx.volumes.get(backup.volume_id)
        if not backup.snapshot_id:
            if volume.status not in backup_source.VOLUME.during:
                raise InvalidVolume(f"volume {volume.id} is {volume.status}, not backing-up")
            return
        snapshot = ctx.snapshots.get(backup.snapshot_id)
        if snapshot.status not in backup_source.SNAPSHOT.during:
            raise InvalidSnapshot(f"snapshot {snapshot.id} is {snapshot.status}, not backing-up")


class CheckBackup(Step):
    """Check the backup's own status. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        if backup.status not in STATUSES.during:
            wanted = STATUSES.during[0]
            raise InvalidBackup(f"backup {backup_id} is {backup.status}, not {wanted}")


class AcceptBackup(Step, task="accept"):
    """Take the backup over. Idempotent: the same is written again."""

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        _ = ctx.driver_for(backup)  # or there is no use in reading anything
        zone = backup.availability_zone or ctx.backend.zone
        ctx.backups.update(backup_id, service=ctx.backend.service, availability_zone=zone)


class AskForDevice(Step, task="ask"):
    """Ask the volume's service. Idempotent: it answers twice, and the second is refused."""

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        volume = ctx.volumes.get(backup.volume_id)
        ctx.volume_service.get_backup_device(ctx.request, backup, volume)


@registered
def flow() -> linear_flow.Flow:
    """Begin a backup. Needs ``backup_id``."""
    return linear_flow.Flow("create_backup").add(
        BeginCreateBackup(),
        CheckSource(),
        CheckBackup(),
        AcceptBackup(),
        CloneBackupKey(),
        AskForDevice(),
    )
