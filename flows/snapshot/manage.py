# SPDX-License-Identifier: Apache-2.0
"""Take an existing object of the backend over as a snapshot.

=======  ==========================================  ==============================
task     does                                        undone by
=======  ==========================================  ==============================
begin    checks that it is here and ``creating``     ``error``
measure  driver.manage_existing_snapshot_get_size    (nothing was changed)
reserve  the gigabytes by which the object differs   the reservation is given back
         from its volume, for which the API counted
adopt    driver.manage_existing_snapshot             (the object keeps its data)
finish   size, ``available``; the reservation is     (point of no return)
         used
=======  ==========================================  ==============================

Source: seeds, VolumeSnapshotManagementDriver; spec/interfaces §4;
spec/volume-rpc, manage_existing_snapshot.
"""

from __future__ import annotations

from typing import Any

from taskflow.patterns import linear_flow

from flows.context import VolumeContext
from flows.driver_calls import driver_contract, manage_reference
from flows.factories import registered
from flows.lifecycle import Statuses, Step
from flows.snapshot.lifecycle import BeginSnapshotOperation, SnapshotOperation, set_status
from flows.statuses import SnapshotStatus

STATUSES = Statuses(
    during=(SnapshotStatus.CREATING,),
    success=SnapshotStatus.AVAILABLE,
    failure={Exception: SnapshotStatus.ERROR},
)
OPERATION = SnapshotOperation(STATUSES, "manage_existing_snapshot")


class MeasureSnapshot(Step, task="measure"):
    """Ask the driver how large the object is, in GiB. Idempotent: it only reads."""

    default_provides = "size"

    def execute(self, ctx: VolumeContext, snapshot_id: str, ref: Any) -> int:
        ask = getattr(ctx.driver, "manage_existing_snapshot_get_size", None)
        return manage_reference.measure(ctx, ctx.snapshots.get(snapshot_id), ref, ask)


class ReserveSnapshotQuota(Step, task="reserve"):
    """Reserve the size above the volume's; the unused rest is released at the end.

    Idempotent: the snapshot's own id is that of the reservation.
    """

    bookkeeping = True

    def execute(self, ctx: VolumeContext, snapshot_id: str, size: int) -> None:
        snapshot = ctx.snapshots.get(snapshot_id)
        if snapshot.use_quota and not ctx.options.no_snapshot_gb_quota:
            more = size - (snapshot.volume_size or 0)
            ctx.quotas.reserve_for(snapshot, {"gigabytes": more})

    def revert(self, ctx: VolumeContext, snapshot_id: str) -> None:
        ctx.quotas.rollback([snapshot_id])


class AdoptSnapshot(Step, task="adopt"):
    """Have the driver tie the object to the snapshot, and store its columns.

    Idempotent: a driver finds the object under its new name on a second try.
    """

    def execute(self, ctx: VolumeContext, snapshot_id: str, ref: Any) -> None:
        snapshot = ctx.snapshots.get(snapshot_id)
        manage = getattr(ctx.driver, "manage_existing_snapshot", None)
        manage_reference.supported(snapshot, manage)
        assert manage is not None
        call = "manage_existing_snapshot"
        update = driver_contract.model_update(
            manage(snapshot, ref), snapshot, call, ignored=("size",)
        )
        driver_contract.store(ctx.snapshots.update, snapshot, update, call)


class FinishManageSnapshot(Step, task="finish"):
    """Make the snapshot available in its size.

    Idempotent: one that is available stays so, and the reservation is used once.
    """

    bookkeeping = True

    def execute(self, ctx: VolumeContext, snapshot_id: str, size: int) -> None:
        snapshot = ctx.snapshots.get(snapshot_id)
        columns = {"volume_size": size, "commit": [snapshot_id]}
        if not set_status(ctx, snapshot, STATUSES.during, STATUSES.done, **columns):
            ctx.quotas.rollback([snapshot_id])
            return
        shown = snapshot.replace(status=STATUSES.done, volume_size=size)
        ctx.notifier.snapshot(ctx.request, "manage_existing_snapshot.end", shown)


@registered
def flow() -> linear_flow.Flow:
    """Take an object over. Needs ``snapshot_id`` and ``ref`` as the caller wrote it."""
    return linear_flow.Flow("manage_existing_snapshot").add(
        BeginSnapshotOperation(OPERATION),
        MeasureSnapshot(),
        ReserveSnapshotQuota(),
        AdoptSnapshot(),
        FinishManageSnapshot(),
    )
