# SPDX-License-Identifier: Apache-2.0
"""Delete a snapshot, or only forget it.

========  ========================================  ============================
task      does                                      undone by
========  ========================================  ============================
begin     checks that it is here                    busy: ``available``; else
                                                    ``error_deleting``; a message
remove    driver.delete_snapshot, or                (a deleted one stays deleted)
          driver.unmanage_snapshot
finish    the row, its metadata and its quota       (point of no return)
========  ========================================  ============================

Source: seeds, VolumeDriverCore.delete_snapshot; VolumeSnapshotManagementDriver,
unmanage_snapshot; spec/volume-rpc, delete_snapshot.
"""

from __future__ import annotations

from taskflow.patterns import linear_flow

from drivers.interface.errors import SnapshotIsBusy, VolumeDriverException
from drivers.interface.records import Record
from flows import messages
from flows.context import VolumeContext
from flows.errors import SnapshotNotFound
from flows.factories import registered
from flows.lifecycle import Statuses, Step
from flows.snapshot.lifecycle import BeginSnapshotOperation, SnapshotOperation
from flows.statuses import SnapshotStatus

STATUSES = Statuses(
    during=(SnapshotStatus.DELETING, SnapshotStatus.UNMANAGING),
    success=SnapshotStatus.DELETED,
    failure={
        SnapshotIsBusy: SnapshotStatus.AVAILABLE,
        Exception: SnapshotStatus.ERROR_DELETING,
    },
)
OPERATION = SnapshotOperation(
    STATUSES, "delete", messages.DELETE_SNAPSHOT, messages.SNAPSHOT_DELETE
)


class RemoveSnapshot(Step, task="remove"):
    """Delete the snapshot on the backend. Idempotent: absence is a success."""

    def execute(self, ctx: VolumeContext, snapshot_id: str, unmanage_only: bool) -> None:
        snapshot = ctx.snapshots.get(snapshot_id)
        if not unmanage_only:
            ctx.driver.delete_snapshot(snapshot)
            return
        unmanage = getattr(ctx.driver, "unmanage_snapshot", None)
        if unmanage is None:
            raise VolumeDriverException(f"the driver cannot unmanage snapshot {snapshot_id}")
        unmanage(snapshot)


class FinishDeleteSnapshot(Step, task="finish"):
    """Forget the row and give its quota back. Idempotent: both happen once, together."""

    bookkeeping = True

    def execute(self, ctx: VolumeContext, snapshot_id: str) -> None:
        try:
            snapshot = ctx.snapshots.get(snapshot_id)
        except SnapshotNotFound:  # a second try, after the row went
            return
        if ctx.resumed and snapshot.status not in STATUSES.during:
            return
        forget(ctx, snapshot)


@registered
def flow() -> linear_flow.Flow:
    """Delete a snapshot. Needs ``snapshot_id`` and ``unmanage_only``."""
    return linear_flow.Flow("delete_snapshot").add(
        BeginSnapshotOperation(OPERATION), RemoveSnapshot("remove"), FinishDeleteSnapshot("finish")
    )


def forget(ctx: VolumeContext, snapshot: Record) -> None:
    """Delete a snapshot's row, release its quota, and notify."""
    shown = snapshot.replace(status=STATUSES.done, deleted=True)
    if ctx.snapshots.destroy(snapshot.id, release=_quota(ctx, snapshot)):
        ctx.notifier.snapshot(ctx.request, "delete.end", shown)


def _quota(ctx: VolumeContext, snapshot: Record) -> dict[str, int]:
    if not snapshot.use_quota:
        return {}
    if ctx.options.no_snapshot_gb_quota:
        return {"snapshots": 1}
    return {"snapshots": 1, "gigabytes": snapshot.volume_size or 0}
