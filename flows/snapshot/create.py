# SPDX-License-Identifier: Apache-2.0
"""Create a snapshot.

=========  ==========================================  ========================
task       does                                        undone by
=========  ==========================================  ========================
begin      checks that it is here and ``creating``     ``error``, a message
allocate   driver.create_snapshot; image metadata of   driver.delete_snapshot
           a bootable volume
finish     the status ``available``                    (point of no return)
=========  ==========================================  ========================

Source: seeds, VolumeDriverCore.create_snapshot; spec/volume-rpc, create_snapshot.
"""

from __future__ import annotations

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import errors, messages
from flows.context import VolumeContext
from flows.driver_calls import driver_contract
from flows.factories import registered
from flows.lifecycle import Statuses, Step
from flows.snapshot.lifecycle import BeginSnapshotOperation, SnapshotOperation, set_status
from flows.statuses import SnapshotStatus

STATUSES = Statuses(
    during=(SnapshotStatus.CREATING,),
    success=SnapshotStatus.AVAILABLE,
    failure={Exception: SnapshotStatus.ERROR},
)
OPERATION = SnapshotOperation(
    STATUSES, "create", messages.CREATE_SNAPSHOT, messages.SNAPSHOT_CREATE
)


class AllocateSnapshot(Step, task="allocate"):
    """Make the snapshot on the backend and store the driver's columns.

    Idempotent: a second try first deletes the remains of the interrupted one;
    the snapshot cannot be used before ``finish``.
    """

    def execute(self, ctx: VolumeContext, snapshot_id: str) -> None:
        snapshot = ctx.snapshots.get(snapshot_id)
        if ctx.resumed:
            ctx.driver.delete_snapshot(snapshot)
        answer = ctx.driver.create_snapshot(snapshot)
        update = driver_contract.model_update(answer, snapshot, "create_snapshot")
        driver_contract.store(ctx.snapshots.update, snapshot, update, "create_snapshot")
        copy_image_metadata(ctx, snapshot)

    def revert(
        self, ctx: VolumeContext, snapshot_id: str, flow_failures: dict[str, Failure]
    ) -> None:
        if driver_contract.never_reached_driver(flow_failures):
            return
        snapshot = ctx.snapshots.get(snapshot_id)
        if driver_contract.may_delete(ctx.snapshots, snapshot, STATUSES.during):
            ctx.driver.delete_snapshot(snapshot)


class FinishCreateSnapshot(Step, task="finish"):
    """Make the snapshot available. Idempotent: one that is available stays so."""

    bookkeeping = True

    def execute(self, ctx: VolumeContext, snapshot_id: str) -> None:
        snapshot = ctx.snapshots.get(snapshot_id)
        columns = {
            "progress": "100%",
            "encryption_key_id": snapshot.volume.encryption_key_id,
        }
        if set_status(ctx, snapshot, STATUSES.during, STATUSES.done, **columns):
            shown = snapshot.replace(status=STATUSES.done, **columns)
            ctx.notifier.snapshot(ctx.request, "create.end", shown)


@registered
def flow() -> linear_flow.Flow:
    """Create a snapshot. Needs ``snapshot_id``."""
    return linear_flow.Flow("create_snapshot").add(
        BeginSnapshotOperation(OPERATION),
        AllocateSnapshot("allocate"),
        FinishCreateSnapshot("finish"),
    )


def copy_image_metadata(ctx: VolumeContext, snapshot: Record) -> None:
    """Copy image metadata of a bootable volume. :raises MetadataCopyFailure: it did not fit."""
    if not snapshot.volume.bootable:
        return
    try:
        ctx.snapshots.copy_image_metadata(snapshot.id, from_volume=snapshot.volume_id)
    except errors.Unavailable:
        raise
    except Exception as error:
        text = f"image metadata of snapshot {snapshot.id} could not be copied: {error}"
        raise errors.MetadataCopyFailure(text) from error
