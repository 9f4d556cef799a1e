# SPDX-License-Identifier: Apache-2.0
"""Create a volume from a backup.

=========  ====================================  ================================
task       does                                  undone by
=========  ====================================  ================================
begin      checks that it is here                back to the scheduler, or the
                                                 status ``error`` and a message
allocate   driver.create_volume_from_backup, or  driver.delete_volume
           driver.create_volume
hand       ``available``, where the driver has   backup ``available`` again
           restored it; else has the backup
           service restore it: the volume stays
           ``creating`` until it has
=========  ====================================  ================================

Source: seeds, VolumeDriverCore.create_volume_from_backup; spec/volume-rpc,
create_volume, the kind *backup*.
"""

from __future__ import annotations

from taskflow.patterns import linear_flow

from flows.context import BackupSourceContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidBackup, ServiceUnreachable
from flows.factories import registered
from flows.lifecycle import Statuses
from flows.statuses import BackupStatus
from flows.volume import create
from flows.volume.create import BeginCreate, FinishCreate
from flows.volume.data import backup_source

BACKUP = Statuses(
    during=(BackupStatus.RESTORING,),
    failure={Exception: BackupStatus.AVAILABLE},
)
_RESTORABLE = (BackupStatus.AVAILABLE,)


class AllocateForBackup(create.AllocateVolume, task="allocate"):
    """Make the volume, with the backup's data where the driver can do that itself.

    Idempotent: a second try first deletes the remains of the interrupted one.
    """

    default_provides = "restored"

    def execute(self, ctx: BackupSourceContext, volume_id: str, backup_id: str) -> bool:  # type: ignore[override]
        volume, backup = ctx.volumes.get(volume_id), ctx.backups.get(backup_id)
        driver_contract.positive_gib(volume.size, f"volume {volume_id}")
        create.require_capacity(volume, backup.size, f"backup {backup_id}")
        driver, restored = ctx.driver, True
        if ctx.resumed:
            driver.delete_volume(volume)
        try:
            call, answer = (
                "create_volume_from_backup",
                driver.create_volume_from_backup(volume, backup),
            )
        except NotImplementedError:
            call, answer, restored = "create_volume", driver.create_volume(volume), False
        create.store(ctx, volume, call, answer)
        return restored


class HandToBackupService(FinishCreate, task="hand"):
    """Have the data restored, unless it is there.

    Idempotent: the backup is set to the same restore again, and a cast that is sent twice is
    carried out once.
    """

    def execute(  # type: ignore[override]
        self, ctx: BackupSourceContext, volume_id: str, backup_id: str, restored: bool
    ) -> None:
        if restored:
            super().execute(ctx=ctx, volume_id=volume_id)
            return
        volume, backup = ctx.volumes.get(volume_id), ctx.backups.get(backup_id)
        mine = backup.status in BACKUP.during and backup.restore_volume_id == volume_id
        if backup.status not in _RESTORABLE and not mine:
            raise InvalidBackup(f"backup {backup_id} is {backup.status}, not available")
        host = ctx.backup_service.alive(volume.availability_zone, backup.host)
        if host is None:
            raise ServiceUnreachable(f"no backup service is up to restore backup {backup_id}")
        columns = {"restore_volume_id": volume_id, "host": host}
        ctx.backups.transition(
            backup_id, BACKUP.during[0], when=(*_RESTORABLE, *BACKUP.during), **columns
        )
        known = create.launched(ctx)
        known.pop("launched_at")
        ctx.volumes.update(volume_id, **known)
        if ctx.claim is None or ctx.claim.number is None:
            # Left there, it would have a service that starts meanwhile end the volume. A mark goes
            # at the end of the flow, unless the restore has replaced it by its own.
            ctx.workers.done("Volume", volume_id)
        row = ctx.backups.get(backup_id)
        ctx.backup_service.restore_backup(ctx.request, row, volume_id)
        if volume.use_quota:
            ctx.notifier.volume(ctx.request, "create.end", volume)

    def revert(self, ctx: BackupSourceContext, volume_id: str, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is not None and backup.restore_volume_id == volume_id:
            backup_source.set_status(
                ctx.backups.transition, backup_id, BACKUP.failed, when=BACKUP.during
            )


@registered
def flow() -> linear_flow.Flow:
    """Create a volume from a backup.

    Needs the arguments of :func:`flows.volume.create.flow`, and ``backup_id``.
    """
    return linear_flow.Flow("create_volume_from_backup").add(
        BeginCreate(unmarked=False), AllocateForBackup("allocate"), HandToBackupService("hand")
    )
