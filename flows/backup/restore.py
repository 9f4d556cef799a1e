# SPDX-License-Identifier: Apache-2.0
"""Bring a backup's data back to a volume.

============  =====================================  ===============================
task          does                                   undone by
============  =====================================  ===============================
begin         notifies of the start                  volume ``error_restoring``, but
                                                     ``error`` where it was being
                                                     created; backup ``available``;
                                                     a message
check_volume  the volume is ``restoring-backup`` or  (as begin)
              ``creating``, and large enough
check_backup  the backup is ``restoring``            (volume and backup ``error``)
check_store   the backup is in our store             (volume ``error``, backup
                                                     ``available``)
clone_key     the backup's key for the volume; none  the clone is deleted
              where the volume's has its bytes
bring         attaches, driver.restore, detaches     remains of a kill are detached
exchange_key  the volume has the clone; its former   (the row keeps its key)
              key is deleted
finish        volume ``available``, with             (point of no return)
              ``src_backup_id``; backup
              ``available``
============  =====================================  ===============================

Another status of the backup ends the restore: the volume has an
``error`` then, and no failure is notified.

Source: seeds, BackupDriver.restore; spec/backup-rpc §4.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_utils import timeutils, units
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.backup import Damage
from drivers.interface.records import Record
from flows import messages
from flows.backup import transfer_control
from flows.claims import Claim
from flows.context import BackupContext
from flows.encryption.backup_keys import CloneVolumeKey, ExchangeKey
from flows.engine import moved_data
from flows.errors import (
    AttachFailed,
    BackupUnwanted,
    InvalidBackup,
    InvalidVolume,
    ServiceError,
)
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_interrupted
from flows.statuses import BackupStatus, VolumeStatus
from flows.volume.data import backup_source, open_on_host
from flows.volume.data.open_on_host import RemoteConnections
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)

BACKUP = Statuses(
    during=(BackupStatus.RESTORING,),
    success=BackupStatus.AVAILABLE,
    failure={Exception: BackupStatus.AVAILABLE},
    by_task={"check_backup": BackupStatus.ERROR},
)
VOLUME = Statuses(
    during=(VolumeStatus.RESTORING_BACKUP, VolumeStatus.CREATING),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR_RESTORING},
    by_task={"check_backup": VolumeStatus.ERROR, "check_store": VolumeStatus.ERROR},
)
NEW_VOLUME = Statuses(
    during=(VolumeStatus.CREATING,),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR},
)
"""In place of :data:`VOLUME` where the volume is created from the backup."""

ENDED = VolumeStatus.ERROR
"""Status of a volume whose restore a user has ended."""

SOURCE_KEY = "src_backup_id"
"""Metadata of a volume that names the backup of its data."""

_DETAILS = {
    "check_volume": messages.VOLUME_STATE,
    "check_backup": messages.BACKUP_STATE,
    "clone_key": messages.BACKUP_RESTORE,
    "bring": messages.BACKUP_RESTORE,
    "exchange_key": messages.BACKUP_RESTORE,
}
_GONE = (VolumeStatus.DELETING, VolumeStatus.DELETED)
_ELSEWHERE = {BackupStatus.DELETING, BackupStatus.DELETED, BackupStatus.CREATING}
"""Statuses of a backup in which another operation is at work."""


class BeginRestoreBackup(Step, task="begin"):
    """Notify of the start of a restore. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the volume while its data is restored."""
        return Claim("volume", str(args["volume_id"]), VOLUME.during, handed_over=NEW_VOLUME.during)

    def execute(self, ctx: BackupContext, backup_id: str, volume_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        backup_source.require_on_this_host(ctx, backup)
        ctx.notifier.backup(ctx.request, "restore.start", backup)

    def revert(
        self,
        ctx: BackupContext,
        backup_id: str,
        volume_id: str,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        failure = cause_of(flow_failures)
        backup, volume = ctx.backups.find(backup_id), find(ctx, volume_id)
        if backup is not None and backup_source.began_elsewhere(ctx, backup, result):
            return
        subject = volume if "check_volume" in flow_failures and volume is not None else backup
        if subject is not None:
            detail = backup_source.detail_by_step(flow_failures, _DETAILS)
            backup_source.write_message(ctx, subject, messages.RESTORE_BACKUP, failure, detail)
        if volume is not None:
            when: tuple[str, ...] = VOLUME.during
            if "check_volume" in flow_failures:
                # Data of an interrupted try stays.
                when = tuple({volume.status} - {*_GONE, *VOLUME.failures})
            statuses = NEW_VOLUME if volume.status in NEW_VOLUME.during else VOLUME
            status = statuses.after(failure, flow_failures)
            if not _end(ctx, volume_id, status, when):
                return
        if backup is None or backup.deleted or _is_restored_elsewhere(backup, volume_id):
            return
        if "check_backup" in flow_failures:
            when = tuple({backup.status} - _ELSEWHERE)
            backup_source.set_failed(ctx, backup, failure, BACKUP, when, tasks=flow_failures)
            return
        status = BACKUP.after(failure)
        backup_source.set_status(ctx.backups.transition, backup_id, status, when=BACKUP.during)

    def reopen(self, ctx: BackupContext, args: Mapping[str, Any]) -> None:
        """Set the statuses back to those of a restore."""
        ctx.backups.transition(args["backup_id"], BACKUP.during[0], when=(BACKUP.failed,))
        ctx.volumes.transition(args["volume_id"], VOLUME.during[0], when=VOLUME.failures)


class CheckVolume(Step):
    """Check the volume. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str, volume_id: str) -> None:
        volume, backup = ctx.volumes.get(volume_id), ctx.backups.get(backup_id)
        if volume.status not in VOLUME.during:
            wanted = " or ".join(VOLUME.during)
            raise InvalidVolume(f"volume {volume_id} is {volume.status}, not {wanted}")
        if volume.size < (backup.size or 0):
            sizes = f"has {volume.size} GiB, backup {backup_id} needs {backup.size}"
            raise InvalidVolume(f"volume {volume_id} is too small: it {sizes}")


class CheckRestoredBackup(Step, task="check_backup"):
    """Check the backup. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        if backup.status not in BACKUP.during:
            wanted = BACKUP.during[0]
            raise InvalidBackup(f"backup {backup_id} is {backup.status}, not {wanted}")


class CheckRestoreStore(Step, task="check_store"):
    """Check that the backup is in the store of this service. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        require_in_this_store(ctx, ctx.backups.get(backup_id))


class WriteVolume(Step, task="bring"):
    """Write the data. Idempotent: data before the checkpoint is not written again.

    Provides whether it was completed: it may have been cancelled.
    """

    default_provides = "brought"
    moves_data = True

    def execute(
        self,
        ctx: BackupContext,
        backup_id: str,
        volume_id: str,
        volume_is_new: bool,
        past_damage: bool = False,
    ) -> bool:
        backup, volume = ctx.backups.get(backup_id), ctx.volumes.get(volume_id)
        driver = ctx.driver_for(backup)
        secure = _is_secure(ctx, volume)
        moved_data.begin((backup.size or 0) * units.Gi)
        pace = transfer_control.cancellable(ctx, backup_id, BACKUP.during)
        # An interrupted attempt may have written data of a chain that was changed since.
        new = volume_is_new and not ctx.resumed
        new = new and ctx.volume_service.new_volumes_are_zero(ctx.request, volume)
        damage: list[Damage] = []
        try:
            remote = RemoteConnections(ctx)
            with open_on_host.opened(ctx, remote, volume, write=True, secure=secure) as file:

                def write(backup: Record, again: bool) -> None:
                    offered: dict[str, Any] = {"volume_is_new": new and not again, "pace": pace}
                    if past_damage:
                        damage.clear()
                        offered["damage"] = damage
                    taken = transfer_control.accepted(driver.restore, offered)
                    driver.restore(backup, volume_id, file, **taken)

                transfer_control.while_places_stay(
                    ctx, backup_id, write, doubtful=lambda: bool(damage)
                )
        except BackupUnwanted as ending:
            LOG.info("%s", ending)
            return False
        _report(ctx, backup_id, volume_id, damage)
        return True

    def revert(self, ctx: BackupContext, volume_id: str, result: Any) -> None:
        if was_interrupted(result) or ctx.resumed:
            volume = ctx.volumes.get(volume_id)
            open_on_host.release_leftovers(ctx, RemoteConnections(ctx), volume)


class FinishRestoreBackup(Step, task="finish"):
    """Make volume and backup available. Idempotent: the same is written again."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str, volume_id: str, brought: bool) -> None:
        backup, volume = ctx.backups.find(backup_id), find(ctx, volume_id)
        if volume is not None:
            if brought:
                _name_source(ctx, volume, backup_id, backup)
            is_new = volume.status in NEW_VOLUME.during
            launched = {"launched_at": timeutils.utcnow()} if is_new and brought else {}
            status = VOLUME.done if brought else ENDED
            if not _end(ctx, volume_id, status, VOLUME.during, **launched):
                return
        if backup is not None and _is_restored_elsewhere(backup, volume_id):
            return
        backup_source.set_status(ctx.backups.transition, backup_id, BACKUP.done, when=BACKUP.during)
        if backup is not None:
            shown = backup.replace(status=BACKUP.done)
            ctx.notifier.backup(ctx.request, "restore.end", shown)


@registered
def flow() -> linear_flow.Flow:
    """Restore a backup.

    Needs ``backup_id``, ``volume_id`` and ``volume_is_new``; ``past_damage`` may say that damaged
    objects are left out.
    """
    return linear_flow.Flow("restore_backup").add(
        BeginRestoreBackup(),
        CheckVolume(),
        CheckRestoredBackup(),
        CheckRestoreStore(),
        CloneVolumeKey(),
        WriteVolume(),
        ExchangeKey(),
        FinishRestoreBackup(),
    )


def require_in_this_store(ctx: BackupContext, backup: Record) -> None:
    """:raises InvalidBackup: it was kept by another driver than ours."""
    if not ctx.backend.is_this_store(backup.service):
        text = f"was stored by {backup.service}, and this service has {ctx.backend.service}"
        raise InvalidBackup(f"backup {backup.id} {text}")


def _report(ctx: BackupContext, backup_id: str, volume_id: str, damage: Sequence[Damage]) -> None:
    """Log the ranges that a restore past damage has left out, and name them in the backup."""
    if not damage:
        return
    for one in damage:
        text = "volume %s has not all of bytes %d to %d, from backup %s: %s"
        LOG.warning(text, volume_id, one.start, one.end, backup_id, one.reason)
    names = ", ".join(one.name for one in damage)
    text = f"restored to volume {volume_id} without {len(damage)} damaged objects: {names}"
    ctx.backups.update(backup_id, fail_reason=text[: backup_source.REASON_MOST])


def _is_secure(ctx: BackupContext, volume: Record) -> bool:
    """:raises AttachFailed: the volume cannot be opened."""
    try:
        return ctx.volume_service.secure_file_operations_enabled(ctx.request, volume)
    except ServiceError as error:
        raise AttachFailed(f"volume {volume.id}: {error}") from error


def _end(
    ctx: BackupContext, volume_id: str, status: str, when: tuple[str, ...], **columns: Any
) -> bool:
    """Write the volume's status; return False where a later restore is under way."""
    backup_source.set_status(
        ctx.volumes.transition, volume_id, status, when=when, done=True, **columns
    )
    volume = find(ctx, volume_id)
    return volume is None or volume.status not in VOLUME.during


def _is_restored_elsewhere(backup: Record, volume_id: str) -> bool:
    return backup.restore_volume_id not in (None, volume_id)


def _name_source(ctx: BackupContext, volume: Record, backup_id: str, backup: Record | None) -> None:
    """Write of which backup the data is, unless it is plain from the volume itself."""
    known = dict(volume.metadata)
    other = backup is None or volume.id != backup.volume_id
    if known.get(SOURCE_KEY) != backup_id and (other or SOURCE_KEY in known):
        ctx.volumes.update(volume.id, metadata={**known, SOURCE_KEY: backup_id})
