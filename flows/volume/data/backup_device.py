# SPDX-License-Identifier: Apache-2.0
"""Choose the source of a backup: the volume, its snapshot, or a temporary copy.

======  ============================================  ================================
task    does                                          undone by
======  ============================================  ================================
begin   checks that the backup is ``creating`` and    backup ``error``, a message; the
        the volume ours                               source as before
choose  makes a temporary clone or snapshot where     the temporary thing goes, with
        the volume is in use, or where a snapshot     its row
        cannot be read as it is
hand    casts continue_backup to the backup's host    (the backup service ends it)
======  ============================================  ================================

A caller gets the answer instead, and ends the backup itself.

Source: seeds, VolumeDriverCore.get_backup_device, backup_use_temp_snapshot;
spec/backup-rpc §3.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import messages
from flows.claims import Claim
from flows.context import BackupSourceContext
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish, InvalidBackup, InvalidInput, NotFound
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of
from flows.statuses import BackupStatus, SnapshotStatus, VolumeStatus
from flows.volume import create
from flows.volume.data import backup_source, temporary_source
from flows.volume.data.backup_source import BackupDevice
from flows.volume.lifecycle import began_elsewhere, find

LOG = logging.getLogger(__name__)

BACKUP = Statuses(during=(BackupStatus.CREATING,), failure={Exception: BackupStatus.ERROR})
"""A success leaves the backup to the backup service."""

TEMPORARY_VOLUME = Statuses(during=(VolumeStatus.CREATING,), success=VolumeStatus.BACKING_UP)
TEMPORARY_SNAPSHOT = Statuses(during=(SnapshotStatus.CREATING,), success=SnapshotStatus.AVAILABLE)


class BeginBackupDevice(Step, task="begin"):
    """Check backup and volume.

    Idempotent: it only reads, and a second try has the first one's id for the source.
    """

    bookkeeping = True

    default_provides = "temporary_id"

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the backup until it is made."""
        return Claim(
            "backup", str(args["backup_id"]), BACKUP.during, unmarked=True, status_stays=True
        )

    def execute(self, ctx: BackupSourceContext, backup_id: str) -> str:
        backup = ctx.backups.get(backup_id)
        if backup.status not in BACKUP.during:
            raise InvalidBackup(f"backup {backup_id} is {backup.status}: nothing is to be read")
        if (volume := find(ctx, backup.volume_id)) is not None:
            driver_contract.require_on_this_backend(ctx, volume, volume)
        return ctx.own_id("source of a backup")

    def revert(
        self,
        ctx: BackupSourceContext,
        backup_id: str,
        async_call: bool,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        backup = ctx.backups.find(backup_id)
        if not async_call or backup is None or backup.deleted:
            return
        if began_elsewhere(ctx, backup.volume_id, result):
            return
        failure, detail = cause_of(flow_failures), messages.BACKUP_DEVICE
        backup_source.fail(ctx, backup, failure, detail, BACKUP)


class ChooseSource(Step, task="choose"):
    """Find, or make, the source.

    Idempotent: the source of an interrupted try is deleted first; it is not read before
    ``hand``.
    """

    default_provides = "device"

    def execute(self, ctx: BackupSourceContext, backup_id: str, temporary_id: str) -> BackupDevice:
        backup = ctx.backups.get(backup_id)
        volume = ctx.volumes.get(backup.volume_id)
        driver = ctx.driver
        found = _drivers_own(ctx, driver, backup) or _ours(ctx, backup, volume, temporary_id)
        secure = bool(driver.secure_file_operations_enabled())
        kind: Literal["volume", "snapshot"] = "snapshot" if found.kind == "snapshot" else "volume"
        return {"kind": kind, "id": found.id, "secure": secure}

    def revert(self, ctx: BackupSourceContext, backup_id: str, temporary_id: str) -> None:
        for kind, rows in (("volume", ctx.volumes), ("snapshot", ctx.snapshots)):
            held: Any = rows
            try:
                made = held.get(temporary_id)
            except NotFound:
                continue
            getattr(ctx.driver, f"delete_{kind}")(made)
            held.destroy(made.id)
        ctx.backups.update(backup_id, temp_volume_id=None, temp_snapshot_id=None)


class SendBackupDevice(Step, task="hand"):
    """Notify the backup's host, or answer. Idempotent: a second message changes nothing."""

    default_provides = "result"

    def execute(
        self, ctx: BackupSourceContext, backup_id: str, device: BackupDevice, async_call: bool
    ) -> dict[str, Any]:
        rows: Any = {"volume": ctx.volumes, "snapshot": ctx.snapshots}[device["kind"]]
        answer = ctx.backup_service.device(rows.get(device["id"]), device["secure"])
        if async_call:
            backup = ctx.backups.get(backup_id)
            ctx.backup_service.continue_backup(ctx.request, backup, answer)
        return answer


@registered
def flow() -> linear_flow.Flow:
    """Choose the source. Needs ``backup_id`` and ``async_call``."""
    return linear_flow.Flow("get_backup_device").add(
        BeginBackupDevice(), ChooseSource(), SendBackupDevice()
    )


def _drivers_own(ctx: BackupSourceContext, driver: Any, backup: Record) -> Record | None:
    """Ask a driver that chooses itself."""
    try:
        answer = driver.get_backup_device(ctx.request.elevated(), backup)
    except NotImplementedError:
        return None
    found = answer[0] if isinstance(answer, tuple) and len(answer) == 2 else None
    if not isinstance(found, Record) or found.kind not in ("volume", "snapshot"):
        text = f"get_backup_device of backup {backup.id}"
        raise DriverReturnedRubbish(f"{text} returned no pair of a volume or snapshot and a flag")
    rows: Any = {"volume": ctx.volumes, "snapshot": ctx.snapshots}[found.kind]
    try:
        row: Record = rows.get(found.id)  # the driver's record proves nothing
        temporary_source.require_source(row, backup, ctx.volumes)
    except (InvalidInput, NotFound) as error:
        raise DriverReturnedRubbish(f"get_backup_device of backup {backup.id}: {error}") from error
    return row


def _ours(ctx: BackupSourceContext, backup: Record, volume: Record, temporary_id: str) -> Record:
    in_use = volume.previous_status == VolumeStatus.IN_USE
    if not ctx.driver.backup_use_temp_snapshot():
        if backup.snapshot_id:
            return _temporary_volume(ctx, backup, volume, temporary_id)
        return _temporary_volume(ctx, backup, volume, temporary_id) if in_use else volume
    if backup.snapshot_id:
        return ctx.snapshots.get(backup.snapshot_id)
    return _temporary_snapshot(ctx, backup, volume, temporary_id) if in_use else volume


def _temporary_volume(
    ctx: BackupSourceContext, backup: Record, volume: Record, temporary_id: str
) -> Record:
    """Make a volume of the snapshot, or a clone; its row names its purpose."""
    made = ctx.volumes.create(
        id=temporary_id,
        size=volume.size,
        host=volume.host,
        cluster_name=volume.cluster_name,
        availability_zone=volume.availability_zone,
        volume_type_id=volume.volume_type_id,
        user_id=ctx.request.user_id or backup.user_id,
        project_id=ctx.request.project_id or backup.project_id,
        display_name=temporary_source.display_name("volume", volume.id),
        use_quota=False,
        status=TEMPORARY_VOLUME.during[0],
        snapshot_id=backup.snapshot_id,
        source_volid=None if backup.snapshot_id else volume.id,
    )
    ctx.backups.update(backup.id, temp_volume_id=temporary_id)
    if made.status == TEMPORARY_VOLUME.success:  # a second try, after all was done
        return made
    if ctx.resumed:
        ctx.driver.delete_volume(made)
    if backup.snapshot_id:
        snapshot = ctx.snapshots.get(backup.snapshot_id)
        call, answer = (
            "create_volume_from_snapshot",
            ctx.driver.create_volume_from_snapshot(made, snapshot),
        )
    else:
        call, answer = create.clone(ctx, made, volume)
    update = driver_contract.model_update(answer, made, call)
    driver_contract.store(ctx.volumes.update, made, update, call)
    statuses = TEMPORARY_VOLUME
    ctx.volumes.transition(temporary_id, statuses.done, when=statuses.during)
    return ctx.volumes.get(temporary_id)


def _temporary_snapshot(
    ctx: BackupSourceContext, backup: Record, volume: Record, temporary_id: str
) -> Record:
    made = ctx.snapshots.create(
        id=temporary_id,
        volume_id=volume.id,
        volume_size=volume.size,
        volume_type_id=volume.volume_type_id,
        user_id=ctx.request.user_id or backup.user_id,
        project_id=ctx.request.project_id or backup.project_id,
        display_name=temporary_source.display_name("snapshot", volume.id),
        use_quota=False,
        status=TEMPORARY_SNAPSHOT.during[0],
        progress="0%",
    )
    ctx.backups.update(backup.id, temp_snapshot_id=temporary_id)
    if made.status == TEMPORARY_SNAPSHOT.success:
        return made
    if ctx.resumed:
        ctx.driver.delete_snapshot(made)
    answer = ctx.driver.create_snapshot(made)
    update = driver_contract.model_update(answer, made, "create_snapshot")
    driver_contract.store(ctx.snapshots.update, made, update, "create_snapshot")
    statuses = TEMPORARY_SNAPSHOT
    ctx.snapshots.transition(temporary_id, statuses.done, when=statuses.during, progress="100%")
    return ctx.snapshots.get(temporary_id)
