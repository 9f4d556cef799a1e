# SPDX-License-Identifier: Apache-2.0
"""Set a volume back to one of its snapshots.

========  =======================================  ==========================
task      does                                     undone by
========  =======================================  ==========================
begin     checks that the volume is here and       volume ``error``,
          ``reverting``                            snapshot ``available``
check     that the snapshot is of this volume,     (it only reads)
          ``restoring`` and of the same size
safety    a snapshot of the volume as it is,       removed when it failed;
          where the driver wants one               else kept for the user
restore   driver.revert_to_snapshot, or a copy     (the safety snapshot has
          from a temporary volume                  the data before it)
finish    both ``available``                       (point of no return)
clean     deletes the safety snapshot              (never fails)
========  =======================================  ==========================

Source: spec/volume-rpc, revert_to_snapshot; spec/interfaces §8.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.context import DataContext, VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import (
    InvalidSnapshot,
    RunInterrupted,
    SnapshotNotFound,
    StatusChanged,
    Unavailable,
)
from flows.factories import registered
from flows.lifecycle import Statuses, Step, failed_itself, was_interrupted
from flows.snapshot.delete import forget
from flows.snapshot.lifecycle import set_status
from flows.statuses import SnapshotStatus, VolumeStatus
from flows.volume import lifecycle
from flows.volume.data import data_copy
from flows.volume.lifecycle import find, set_finished

LOG = logging.getLogger(__name__)

STATUSES = Statuses(
    during=(VolumeStatus.REVERTING,),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR},
)
SNAPSHOT = Statuses(
    during=(SnapshotStatus.RESTORING,),
    success=SnapshotStatus.AVAILABLE,
    failure={Exception: SnapshotStatus.AVAILABLE},
)
SAFETY = Statuses(
    during=(SnapshotStatus.CREATING,),
    success=SnapshotStatus.AVAILABLE,
    failure={Exception: SnapshotStatus.ERROR},
)
"""The snapshot of the volume as it was before."""


class BeginRevert(lifecycle.BeginVolumeOperation):
    """Check the volume, and choose the id of a safety snapshot. Idempotent: it only reads."""

    default_provides = "spare_id"  # the id of the safety snapshot; journals store this name

    def __init__(self) -> None:
        super().__init__(STATUSES, None)

    def execute(self, ctx: VolumeContext, volume_id: str, snapshot_id: str) -> str:  # type: ignore[override]
        super().execute(ctx=ctx, volume_id=volume_id)
        _notify(ctx, volume_id, snapshot_id, "start")
        return ctx.own_id("safety snapshot")

    def reopen(self, ctx: VolumeContext, args: Mapping[str, Any]) -> None:
        """Set the statuses of the volume and of the snapshot back."""
        super().reopen(ctx, args)
        snapshot = ctx.snapshots.get(args["snapshot_id"])
        if snapshot.status not in SNAPSHOT.during:
            ctx.snapshots.transition(snapshot.id, SNAPSHOT.during[0], when=SNAPSHOT.failures)

    def revert(  # type: ignore[override]
        self,
        ctx: VolumeContext,
        volume_id: str,
        snapshot_id: str,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if lifecycle.began_elsewhere(ctx, volume_id, result):
            return
        super().revert(ctx=ctx, volume_id=volume_id, result=result, flow_failures=flow_failures)
        snapshot = _snapshot(ctx, snapshot_id)
        if snapshot is not None and snapshot.volume_id == volume_id:
            set_status(ctx, snapshot, SNAPSHOT.during, SNAPSHOT.failed)
        _notify(ctx, volume_id, snapshot_id, "end")


class CheckRevert(Step, task="check"):
    """Check the snapshot. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: VolumeContext, volume_id: str, snapshot_id: str) -> None:
        volume, snapshot = ctx.volumes.get(volume_id), ctx.snapshots.get(snapshot_id)
        label = f"snapshot {snapshot_id}"
        if snapshot.volume_id != volume_id:
            raise InvalidSnapshot(f"{label} is of volume {snapshot.volume_id}, not of {volume_id}")
        if snapshot.status not in SNAPSHOT.during:
            raise StatusChanged(label, snapshot.status, SNAPSHOT.during)
        if snapshot.volume_size != volume.size:
            sizes = f"{snapshot.volume_size} GiB, volume {volume_id} has {volume.size}"
            raise InvalidSnapshot(f"{label} has {sizes}: a revert never changes the size")


class CreateSafetySnapshot(Step, task="safety"):
    """Keep the volume as it is, where an incomplete revert could not be distinguished.

    Idempotent: ``begin`` chose its id, and a second try first deletes the snapshot of the
    interrupted one; the volume has not been changed yet.
    """

    default_provides = "safety_id"

    def execute(self, ctx: VolumeContext, volume_id: str, spare_id: str) -> str | None:
        driver = ctx.driver
        if not driver.snapshot_revert_use_temp_snapshot():
            return None
        volume = ctx.volumes.get(volume_id)
        safety = ctx.snapshots.create(
            id=spare_id,
            volume_id=volume_id,
            volume_size=volume.size,
            volume_type_id=volume.volume_type_id,
            user_id=volume.user_id,
            project_id=volume.project_id,
            encryption_key_id=volume.encryption_key_id,
            status=SAFETY.during[0],
            use_quota=False,
            display_name=f"[revert] volume {volume_id} backup snapshot",
        )
        if ctx.resumed:
            driver.delete_snapshot(safety)
        ctx.notifier.snapshot(ctx.request, "create.start", safety)
        update = driver_contract.model_update(
            driver.create_snapshot(safety), safety, "create_snapshot"
        )
        driver_contract.store(ctx.snapshots.update, safety, update, "create_snapshot")
        made = {"status": SAFETY.done, "progress": "100%"}
        if set_status(ctx, safety, SAFETY.during, SAFETY.done, progress=made["progress"]):
            ctx.notifier.snapshot(ctx.request, "create.end", safety.replace(**made))
        return spare_id

    def revert(self, ctx: VolumeContext, spare_id: str, result: Any) -> None:
        if failed_itself(result):
            _drop(ctx, spare_id)


class RestoreData(Step, task="restore"):
    """Bring the snapshot's data back. Idempotent: the same data again."""

    moves_data = True

    def execute(self, ctx: DataContext, volume_id: str, snapshot_id: str) -> None:
        volume, snapshot = ctx.volumes.get(volume_id), ctx.snapshots.get(snapshot_id)
        try:
            ctx.driver.revert_to_snapshot(ctx.request, volume, snapshot)
        except NotImplementedError:
            data_copy.restore_from_snapshot(ctx, volume, snapshot)

    def revert(self, ctx: DataContext, volume_id: str, snapshot_id: str, result: Any) -> None:
        if was_interrupted(result) or ctx.resumed:
            volume, snapshot = ctx.volumes.get(volume_id), ctx.snapshots.get(snapshot_id)
            data_copy.remove_leftovers(ctx, volume, snapshot)

    def remove_temporary(
        self, ctx: DataContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Remove the temporary volume where the status was reset meanwhile."""
        if self.name in begun:
            data_copy.remove_unfinished(ctx, known["volume_id"], known["snapshot_id"])


class FinishRevert(Step, task="finish"):
    """Make volume and snapshot available. Idempotent: those that are stay so."""

    bookkeeping = True

    def execute(self, ctx: VolumeContext, volume_id: str, snapshot_id: str) -> None:
        snapshot, volume = _snapshot(ctx, snapshot_id), find(ctx, volume_id)
        if snapshot is not None:
            set_status(ctx, snapshot, SNAPSHOT.during, SNAPSHOT.done)
        if volume is not None:
            set_finished(ctx, volume, STATUSES.during, STATUSES.done)


class CleanUpRevert(Step, task="clean"):
    """Delete the safety snapshot; a failure does not undo the revert.

    Idempotent: absence is a success.
    """

    runs_after_end = True

    def execute(
        self, ctx: VolumeContext, volume_id: str, snapshot_id: str, safety_id: str | None
    ) -> None:
        if safety_id is not None:
            _drop(ctx, safety_id, notified=True)
        _notify(ctx, volume_id, snapshot_id, "end")

    def revert(self, ctx: VolumeContext, safety_id: str | None) -> None:
        if safety_id is not None:  # an incomplete one is of no use
            _drop(ctx, safety_id)


@registered
def flow() -> linear_flow.Flow:
    """Revert a volume to a snapshot. Needs ``volume_id`` and ``snapshot_id``."""
    return linear_flow.Flow("revert_to_snapshot").add(
        BeginRevert(),
        CheckRevert(),
        CreateSafetySnapshot(),
        RestoreData(),
        FinishRevert(),
        CleanUpRevert(),
    )


def _snapshot(ctx: VolumeContext, snapshot_id: str) -> Record | None:
    try:
        return ctx.snapshots.get(snapshot_id)
    except SnapshotNotFound:
        return None


def _drop(ctx: VolumeContext, safety_id: str, *, notified: bool = False) -> None:
    """Delete a safety snapshot.

    :param notified: False for one that was not completed, whose creation has no end either.
    """
    safety = _snapshot(ctx, safety_id)
    if safety is None:
        return
    if notified:
        ctx.notifier.snapshot(ctx.request, "delete.start", safety)
    try:
        ctx.driver.delete_snapshot(safety)
    except (RunInterrupted, Unavailable):
        raise
    except BaseException as error:  # noqa: BLE001 - a driver may raise anything at all
        LOG.warning(
            "the safety snapshot %s is left behind: %s", safety_id, driver_contract.masked(error)
        )
        if safety.status in SAFETY.during:
            set_status(ctx, safety, SAFETY.during, SAFETY.failed)
        return
    if notified:
        forget(ctx, safety)
    else:
        ctx.snapshots.destroy(safety_id)


def _notify(ctx: VolumeContext, volume_id: str, snapshot_id: str, phase: str) -> None:
    volume, snapshot = find(ctx, volume_id), _snapshot(ctx, snapshot_id)
    if volume is not None:
        ctx.notifier.volume(ctx.request, f"revert.{phase}", volume)
    if snapshot is not None:
        ctx.notifier.snapshot(ctx.request, f"revert.{phase}", snapshot)
