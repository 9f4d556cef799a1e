# SPDX-License-Identifier: Apache-2.0
"""Back up the source that the volume's service has chosen.

=======  ==========================================  ==============================
task     does                                        undone by
=======  ==========================================  ==============================
begin    checks that the backup is ``creating``      backup ``error``, a message;
                                                     a temporary source is deleted;
                                                     the source as before
place    driver.place; writes where it is kept       (delete_backup finds it)
keep     attaches, driver.backup, detaches           remains of a kill are detached
tidy     has the temporary volume or snapshot        (as begin)
         deleted
finish   the source as before; ``available``, with   (point of no return)
         the driver's columns; the parent's count
=======  ==========================================  ==============================

The deletion of a running backup ends it: its objects are deleted, the source
is given back, and no failure is written.

Source: seeds, BackupDriver.backup; spec/backup-rpc §3, continue_backup.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

from oslo_utils import timeutils, units
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import messages
from flows.backup import transfer_control
from flows.claims import Claim
from flows.context import BackupContext
from flows.driver_calls import driver_contract
from flows.engine import moved_data
from flows.errors import (
    BackupNotFound,
    BackupUnwanted,
    FlowError,
    InvalidBackup,
    InvalidInput,
    NotFound,
)
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_interrupted
from flows.statuses import BackupStatus, SnapshotStatus, VolumeStatus
from flows.volume.data import backup_source, open_on_host, temporary_source
from flows.volume.data.backup_source import BackupDevice
from flows.volume.data.open_on_host import RemoteConnections

LOG = logging.getLogger(__name__)

STATUSES = Statuses(
    during=(BackupStatus.CREATING,),
    success=BackupStatus.AVAILABLE,
    failure={Exception: BackupStatus.ERROR},
)
UNWANTED = (BackupStatus.DELETING, BackupStatus.DELETED)

CLAIMED = (*STATUSES.during, *UNWANTED)
"""Statuses of a backup whose data is still to be kept, or to be removed."""

TEMPORARY = {
    "temp_volume_id": VolumeStatus.DELETING,
    "temp_snapshot_id": SnapshotStatus.DELETING,
}
"""Columns of a backup that name temporary objects, with the status that these end in."""

_DETAILS = {
    "place": messages.BACKUP_CREATE,
    "keep": messages.BACKUP_CREATE,
    "tidy": messages.BACKUP_CLEANUP,
}


class BeginContinueBackup(Step, task="begin"):
    """Check that the backup is still wanted. Idempotent: it only reads."""

    bookkeeping = True

    default_provides = "wanted"

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the backup until it is made, or its deletion has ended it."""
        return Claim("backup", str(args["backup_id"]), CLAIMED, unmarked=True)

    def execute(self, ctx: BackupContext, backup_id: str) -> bool:
        backup = ctx.backups.find(backup_id)
        if backup is None:
            raise BackupNotFound(f"backup {backup_id} does not exist")
        backup_source.require_on_this_host(ctx, backup)
        if backup.deleted or backup.status in UNWANTED:
            return False
        if backup.status not in STATUSES.during:
            raise InvalidBackup(f"backup {backup_id} is {backup.status}: it was made already")
        return True

    def revert(
        self, ctx: BackupContext, backup_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup_source.began_elsewhere(ctx, backup, result):
            return
        try:
            remove_temporary(ctx, backup)
        except FlowError as error:
            LOG.error("the temporary source of backup %s may be left: %s", backup_id, error)
        detail = backup_source.detail_by_step(flow_failures, _DETAILS)
        backup_source.fail(ctx, backup, cause_of(flow_failures), detail, STATUSES)

    def reopen(self, ctx: BackupContext, args: Mapping[str, Any]) -> None:
        """Refuse: its source has changed since."""
        raise InvalidBackup(f"backup {args['backup_id']}: create another one")


class PlaceBackup(Step, task="place"):
    """Write where the backup is kept, before it is. Idempotent: a place stays the same."""

    def execute(self, ctx: BackupContext, backup_id: str, wanted: bool) -> None:
        if not wanted:
            return
        backup = ctx.backups.get(backup_id)
        answer = ctx.driver_for(backup).place(backup)
        update = driver_contract.model_update(answer, backup, "place")
        driver_contract.store(ctx.backups.update, backup, update, "place")


class StoreBackup(Step, task="keep"):
    """Read the data and keep it.

    Idempotent: data before the checkpoint is not read again, and a backup that is complete
    is not made again.
    """

    default_provides = "kept"
    moves_data = True

    def execute(
        self, ctx: BackupContext, backup_id: str, device: BackupDevice, wanted: bool
    ) -> dict[str, Any] | None:
        if not wanted:
            return None
        backup = ctx.backups.get(backup_id)
        driver = ctx.driver_for(backup)
        read = source_of(ctx, backup, device)
        moved_data.begin((backup.size or 0) * units.Gi)
        listeners = ProgressNotifications(ctx, backup)
        pace = transfer_control.cancellable(ctx, backup_id, STATUSES.during, listeners.report)
        pace = dataclasses.replace(pace, show=listeners.show)
        offered = {"pace": pace, "changed": _changed(ctx, backup, read)}
        try:
            remote, secure = RemoteConnections(ctx), device["secure"]
            with open_on_host.opened(ctx, remote, read, write=False, secure=secure) as file:
                taken = transfer_control.accepted(driver.backup, offered)
                answer = transfer_control.while_places_stay(
                    ctx,
                    backup_id,
                    lambda one, _again: driver.backup(one, file, True, **taken),
                    own=False,
                )
                listeners.end()
        except BackupUnwanted as ending:
            LOG.info("%s", ending)
            driver.delete_backup(backup)
            return None
        return driver_contract.model_update(answer, backup, "backup")

    def revert(
        self,
        ctx: BackupContext,
        backup_id: str,
        device: BackupDevice,
        wanted: bool,
        result: Any,
    ) -> None:
        if wanted and (was_interrupted(result) or ctx.resumed):
            source = source_of(ctx, ctx.backups.get(backup_id), device)
            open_on_host.release_leftovers(ctx, RemoteConnections(ctx), source)


class DeleteTemporary(Step, task="tidy"):
    """Have the temporary source of the backup deleted. Idempotent: it is named in the row."""

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is not None:
            remove_temporary(ctx, backup)


class FinishContinueBackup(Step, task="finish"):
    """Give the source back and make the backup available. Idempotent: each happens once."""

    bookkeeping = True

    def execute(self, ctx: BackupContext, backup_id: str, kept: dict[str, Any] | None) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None:
            return
        backup_source.release(ctx, backup, backup_source.DONE)
        if kept is None:
            return
        columns = {"size": _size(ctx, backup), **kept}
        if backup.parent_id and "parent_id" in kept and kept["parent_id"] is None:
            backup_source.write_warning(
                ctx, backup, messages.CREATE_BACKUP, messages.INCREMENTAL_IS_FULL
            )
        try:
            ctx.backups.complete(backup_id, when=STATUSES.during, **columns)
        except FlowError as error:
            LOG.info("backup %s is left as it is: %s", backup_id, error)
            return
        shown = backup.replace(status=STATUSES.done, **columns)
        ctx.notifier.backup(ctx.request, "create.end", shown)


@registered
def flow() -> linear_flow.Flow:
    """Make a backup. Needs ``backup_id`` and ``device``: ``kind``, ``id`` and ``secure``."""
    return linear_flow.Flow("continue_backup").add(
        BeginContinueBackup(),
        PlaceBackup(),
        StoreBackup(),
        DeleteTemporary(),
        FinishContinueBackup(),
    )


def source_of(ctx: BackupContext, backup: Record, device: Mapping[str, Any]) -> Record:
    """Return the source that a message names.

    :raises InvalidInput: it is neither a volume nor a snapshot, or not of this backup.
    """
    kinds: dict[str, Any] = {"volume": ctx.volumes, "snapshot": ctx.snapshots}
    if device.get("kind") not in kinds:
        raise InvalidInput(f"a backup is read from a volume or a snapshot, not {device}")
    found: Record = kinds[device["kind"]].get(device["id"])
    temporary_source.require_source(found, backup, ctx.volumes)
    return found


def remove_temporary(ctx: BackupContext, backup: Record) -> None:
    """Have a backup's temporary volume or snapshot deleted, and forget it.

    One that was not made for the backup is forgotten, and one that is in use stays named.
    """
    held: dict[str, Any] = {"temp_volume_id": ctx.volumes, "temp_snapshot_id": ctx.snapshots}
    for column, rows in held.items():
        if not backup[column]:
            continue
        try:
            goes = _delete_temporary(ctx, backup, rows.get(backup[column]), rows)
        except NotFound:
            LOG.info("%s %s of backup %s is gone already", column, backup[column], backup.id)
            goes = True
        if goes and not backup.deleted:
            ctx.backups.update(backup.id, **{column: None})


def _delete_temporary(ctx: BackupContext, backup: Record, temporary: Record, rows: Any) -> bool:
    """Have a temporary object deleted; return whether the backup is to forget it."""
    label = f"{temporary.kind} {temporary.id}"
    if not _is_own(ctx, backup, temporary):
        text = "backup %s names %s as temporary, which was not made for it: it is not deleted"
        LOG.warning(text, backup.id, label)
        return True
    if not temporary_source.is_unused(temporary):
        text = "%s of backup %s is temporary and %s: it is not deleted while it is in use"
        LOG.warning(text, label, backup.id, temporary.status)
        return False
    when = tuple(temporary_source.UNUSED[temporary.kind])
    rows.transition(temporary.id, TEMPORARY[f"temp_{temporary.kind}_id"], when=when)
    ctx.volume_service.delete(ctx.request, temporary)
    return True


def _is_own(ctx: BackupContext, backup: Record, temporary: Record) -> bool:
    """Return whether an object was made for a backup, and for no other one that is made now."""
    if not temporary_source.is_made_for(temporary, backup):
        return False
    others = [ctx.backups.find(one) for one in ctx.backups.being_made_of(backup.volume_id)]
    named = [
        one[f"temp_{temporary.kind}_id"]
        for one in others
        if one is not None and one.id != backup.id
    ]
    return temporary.id not in named and temporary_source.is_on_same_host(
        temporary, backup, ctx.volumes
    )


def _size(ctx: BackupContext, backup: Record) -> int:
    try:
        return int(ctx.volumes.get(backup.volume_id).size)
    except NotFound:
        return int(backup.size)


def _changed(ctx: BackupContext, backup: Record, read: Record) -> Any:
    """Ask which parts may differ from the parent, where it was made from a snapshot."""
    parent = backup.parent if backup.parent_id else None
    if parent is None or not parent.snapshot_id or parent.volume_id != backup.volume_id:
        return None
    try:
        snapshot = ctx.snapshots.get(parent.snapshot_id)
    except NotFound:
        return None
    if snapshot.volume_id != backup.volume_id:
        return None
    found = ctx.volume_service.changed_extents(ctx.request, read, parent.snapshot_id)
    if found is not None:
        count = sum(end - start for start, end in found)
        LOG.info("backup %s: %d bytes may have changed since its parent", backup.id, count)
    return found


class ProgressNotifications:
    """Notifications of the progress: of its begin, then one for each period, and of its end."""

    def __init__(self, ctx: BackupContext, backup: Record) -> None:
        self._ctx = ctx
        self._backup = backup
        self._until_next = timeutils.StopWatch(ctx.progress_every).start()
        self._facts: Callable[[], Mapping[str, Any]] = dict

    def show(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Add facts to the notifications, and send the first, unless an earlier try has."""
        self._facts = facts
        if self._ctx.progress_every and not facts().get("list"):
            self._send(0)

    def report(self, fraction: float) -> None:
        if self._ctx.progress_every and self._until_next.expired():
            self._until_next.restart()
            self._send(int(fraction * 100))

    def end(self) -> None:
        self._send(100)

    def _send(self, percent: int) -> None:
        facts = {**self._facts(), "backup_percent": percent}
        self._ctx.notifier.backup(self._ctx.request, "createprogress", self._backup, **facts)
