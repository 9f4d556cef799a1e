# SPDX-License-Identifier: Apache-2.0
"""Delete a volume, with its snapshots where asked, or only remove its row.

=======  ========================================  =============================
task     does                                      undone by
=======  ========================================  =============================
begin    refuses a foreign volume (nothing is      busy: ``available``; else
         written), checks the status
                                                   ``error_deleting`` or
                                                   ``error_unmanaging``;
                                                   cascading, snapshots that are
                                                   left: ``error_deleting``
remove   refuses an attached volume;               (a deleted one stays deleted)
         driver.remove_export; each snapshot,
         when cascading; driver.delete_volume, or
         unmanage, also of a volume whose
         manage failed
finish   the row, related rows, its quota          (point of no return)
=======  ========================================  =============================

A row that is gone already is a success without a call of the driver. A volume
that is the destination of a migration has no user who would see its error
status: its row is destroyed instead.

Source: seeds, VolumeDriverCore.delete_volume; VolumeManagementDriver.unmanage;
spec/volume-rpc, delete_volume.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import ResourceBusy, VolumeDriverException
from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import Invalid, InvalidSnapshot, StatusChanged, Unavailable, VolumeAttached
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_refused
from flows.snapshot import delete as snapshot_delete
from flows.snapshot.lifecycle import set_failed as set_snapshot_failed
from flows.snapshot.lifecycle import set_status
from flows.statuses import AttachStatus, SnapshotStatus, VolumeStatus, migrating_volume
from flows.volume import lifecycle
from flows.volume.data import temporary_objects
from flows.volume.lifecycle import find, set_finished
from flows.volume.migration import copy_key

LOG = logging.getLogger(__name__)

STATUSES = Statuses(
    during=(VolumeStatus.DELETING, VolumeStatus.UNMANAGING, VolumeStatus.ERROR_MANAGING_DELETING),
    success=VolumeStatus.DELETED,
    failure={ResourceBusy: VolumeStatus.AVAILABLE, Exception: VolumeStatus.ERROR_DELETING},
)

UNMANAGE = Statuses(
    during=(VolumeStatus.UNMANAGING, VolumeStatus.DELETING, VolumeStatus.ERROR_MANAGING_DELETING),
    success=VolumeStatus.DELETED,
    failure={ResourceBusy: VolumeStatus.AVAILABLE, Exception: VolumeStatus.ERROR_UNMANAGING},
)

DELETE = (VolumeStatus.DELETING, VolumeStatus.ERROR_MANAGING_DELETING)
"""Statuses in which a resumed operation deletes the data."""

SNAPSHOTS = Statuses(
    during=(SnapshotStatus.DELETING,),
    success=SnapshotStatus.DELETED,
    failure={Exception: SnapshotStatus.ERROR_DELETING},
)
"""Snapshots of a volume that is deleted with them, when the deletion fails."""


UNMANAGED = "unmanaged"
"""Key of the admin metadata of a deleted volume whose object was let go."""


class BeginDelete(Step, task="begin"):
    """Check the volume's status; a failure of a later step ends in the status for it.

    Idempotent: it only reads, and claims a work row that is already its own.
    """

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim:
        """Claim the volume in a status of this way to delete it."""
        statuses = UNMANAGE.during if args["unmanage_only"] else DELETE
        return Claim("volume", str(args["volume_id"]), statuses, unmarked=True)

    def execute(self, ctx: VolumeContext, volume_id: str, unmanage_only: bool) -> None:
        volume = find(ctx, volume_id)
        if volume is None:
            LOG.info("volume %s is gone already, there is nothing to delete", volume_id)
            return
        if volume.host is not None:  # without a host, no service would delete it
            driver_contract.require_on_this_backend(ctx, volume, volume)
        if volume.status not in STATUSES.during:
            raise StatusChanged(f"volume {volume_id}", volume.status, STATUSES.during)
        ctx.workers.claim("Volume", volume_id, volume.status)
        if volume.use_quota:
            ctx.notifier.volume(ctx.request, f"{_event(unmanage_only)}.start", volume)

    def reopen(self, ctx: VolumeContext, args: Mapping[str, Any]) -> None:
        """Set the statuses of the volume and of the snapshots that go with it back."""
        volume_id, unmanage = args["volume_id"], args["unmanage_only"]
        lifecycle.reopen(ctx, volume_id, UNMANAGE if unmanage else STATUSES)
        for snapshot in ctx.snapshots.of_volume(volume_id) if args["cascade"] else ():
            if snapshot.status in SNAPSHOTS.failures:
                set_status(ctx, snapshot, SNAPSHOTS.failures, SNAPSHOTS.during[0])

    def revert(
        self,
        ctx: VolumeContext,
        volume_id: str,
        unmanage_only: bool,
        cascade: bool,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        volume = find(ctx, volume_id)
        if volume is None or was_refused(result):
            return
        if volume.host is not None and not driver_contract.on_this_backend(ctx, volume):
            LOG.warning("volume %s is on %s and left as it is", volume_id, volume.host)
            return
        if cascade:
            _release_snapshots(ctx, volume_id)
        is_target = migrating_volume(volume.migration_status) is not None
        if is_target and driver_contract.on_this_backend(ctx, volume):
            if volume.attach_status != AttachStatus.ATTACHED:
                copy_key.delete_key_of_copy(ctx, volume)
            ctx.volumes.destroy(volume_id)
            return
        statuses = UNMANAGE if unmanage_only else STATUSES
        status = statuses.after(cause_of(flow_failures))
        columns = copy_key.columns_of_remainder(ctx, volume)
        set_finished(ctx, volume, statuses.during, status, **columns)


class RemoveVolume(Step, task="remove"):
    """Take the volume and, when cascading, its snapshots off the backend.

    Idempotent: absence is a success, and deleted snapshots are not met again.
    """

    def execute(
        self, ctx: VolumeContext, volume_id: str, unmanage_only: bool, cascade: bool
    ) -> None:
        volume = find(ctx, volume_id)
        if volume is None:
            return
        unmanage = getattr(ctx.driver, "unmanage", None)
        # An object that could not be managed is not ours to delete.
        forgets = unmanage_only or (
            volume.status == VolumeStatus.ERROR_MANAGING_DELETING and unmanage
        )
        _check(ctx, volume, unmanage_only, cascade)
        driver = ctx.driver
        driver.remove_export(ctx.request.elevated(), volume)
        if cascade:
            _remove_snapshots(ctx, volume_id)
        if not forgets:
            driver.delete_volume(volume)
            _remove_snapshot_of_clone(ctx, volume)
            copy_key.delete_key_of_copy(ctx, volume)
            return
        if unmanage is None:
            raise VolumeDriverException(f"the driver cannot unmanage volume {volume_id}")
        unmanage(volume)
        # Its object keeps the name with many drivers: an audit takes it for a remainder otherwise.
        ctx.volumes.set_admin_metadata(volume_id, **{UNMANAGED: "True"})


class FinishDelete(Step, task="finish"):
    """Forget the row and give its quota back. Idempotent: both happen once, together."""

    bookkeeping = True

    def execute(self, ctx: VolumeContext, volume_id: str, unmanage_only: bool) -> None:
        volume = find(ctx, volume_id)
        if volume is None or (ctx.resumed and volume.status not in STATUSES.during):
            return
        if ctx.volumes.destroy(volume_id, release=quota_of(volume)) and volume.use_quota:
            shown = volume.replace(status=STATUSES.done)
            ctx.notifier.volume(ctx.request, f"{_event(unmanage_only)}.end", shown)
        ctx.backend.request_report()


@registered
def flow() -> linear_flow.Flow:
    """Delete a volume. Needs ``volume_id``, ``unmanage_only`` and ``cascade``."""
    return linear_flow.Flow("delete_volume").add(BeginDelete(), RemoveVolume(), FinishDelete())


def _check(ctx: VolumeContext, volume: Record, unmanage_only: bool, cascade: bool) -> None:
    """Refuse a volume that must not be deleted here."""
    if volume.attach_status == AttachStatus.ATTACHED:
        raise VolumeAttached(f"volume {volume.id} is attached: detach it first")
    driver_contract.require_on_this_backend(ctx, volume, volume)
    if unmanage_only and cascade:
        raise Invalid(f"volume {volume.id}: unmanaging does not cascade to snapshots")
    if unmanage_only and volume.encryption_key_id:
        raise Invalid(f"volume {volume.id} is encrypted and cannot be unmanaged")
    for snapshot in ctx.snapshots.of_volume(volume.id) if cascade else ():
        if snapshot.status not in SNAPSHOTS.during:
            text = f"snapshot {snapshot.id} is {snapshot.status}, not deleting"
            raise InvalidSnapshot(f"volume {volume.id} keeps a snapshot: {text}")


def _remove_snapshot_of_clone(ctx: VolumeContext, volume: Record) -> None:
    """Delete the temporary snapshot of a clone that was interrupted and not resumed.

    It is not resumed where a user deletes it, or an administrator sets another status. The
    snapshot has no row, and would keep the source from being deleted.
    """
    if not volume.source_volid or volume.get("launched_at"):
        return
    source = find(ctx, volume.source_volid)
    if source is not None and driver_contract.on_this_backend(ctx, source):
        ctx.driver.delete_snapshot(temporary_objects.temporary_snapshot(source, volume.id))


def _remove_snapshots(ctx: VolumeContext, volume_id: str) -> None:
    """Delete every snapshot; one that fails does not keep the others.

    :raises Exception: that of the first one.
    """
    first: Exception | None = None
    for snapshot in ctx.snapshots.of_volume(volume_id):
        try:
            _remove_snapshot(ctx, snapshot)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - raised after the others had their turn
            text = driver_contract.masked(error)
            LOG.warning("snapshot %s of volume %s stays: %s", snapshot.id, volume_id, text)
            first = first or error
    if first is not None:
        raise first


def _remove_snapshot(ctx: VolumeContext, snapshot: Record) -> None:
    ctx.notifier.snapshot(ctx.request, "delete.start", snapshot)
    try:
        ctx.driver.delete_snapshot(snapshot)
    except Exception as error:
        failure = Failure.from_exception(error)
        set_snapshot_failed(ctx, snapshot, snapshot_delete.OPERATION, failure)
        raise
    snapshot_delete.forget(ctx, snapshot)


def _release_snapshots(ctx: VolumeContext, volume_id: str) -> None:
    """Give snapshots that were to go with the volume a status to try again from."""
    for snapshot in ctx.snapshots.of_volume(volume_id):
        if snapshot.status in SNAPSHOTS.during:
            set_status(ctx, snapshot, SNAPSHOTS.during, SNAPSHOTS.failed)


def _event(unmanage_only: bool) -> str:
    return "unmanage" if unmanage_only else "delete"


def quota_of(volume: Record) -> dict[str, int]:
    """Return the quota that is given back with a volume's row."""
    if not volume.use_quota:
        return {}
    if volume.status == VolumeStatus.ERROR_MANAGING_DELETING:
        return {"volumes": 1}  # its gigabytes were never reserved
    return {"volumes": 1, "gigabytes": volume.size or 0}
