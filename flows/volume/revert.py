# SPDX-License-Identifier: Apache-2.0
"""Set a volume back to one of its snapshots.

========  =======================================  ==========================
task      does                                     undone by
========  =======================================  ==========================
begin     checks both, ``reverting`` and           volume ``error``,
          ``restoring``                            snapshot ``available``
safety    a snapshot of the volume as it is,       (kept for the user)
          where the driver wants one
restore   driver.revert_to_snapshot, or a copy     (the safety snapshot has
          from a temporary volume                  what was there before)
finish    both ``available``                       (point of no return)
clean     deletes the safety snapshot              (never fails)
========  =======================================  ==========================

Source: spec/volume-rpc, revert_to_snapshot; spec/interfaces §8.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import edge
from flows.context import Context
from flows.errors import InvalidSnapshot, NotFound, StatusChanged
from flows.lifecycle import Statuses, Step, failed_itself
from flows.snapshot.lifecycle import set_status
from flows.volume import lifecycle, transfer
from flows.volume.lifecycle import set_finished

LOG = logging.getLogger(__name__)

STATUSES = Statuses(during=("reverting",), success="available", failure={Exception: "error"})
RESTORING = ("restoring",)


class Begin(lifecycle.Begin):
    """Check volume and snapshot. Idempotent: it only reads."""

    def __init__(self) -> None:
        super().__init__(STATUSES, None)

    def execute(self, ctx: Context, volume_id: str, snapshot_id: str) -> None:  # type: ignore[override]
        snapshot = ctx.snapshots.get(snapshot_id)
        if snapshot.volume_id != volume_id:
            text = f"snapshot {snapshot_id} is of volume {snapshot.volume_id}"
            raise InvalidSnapshot(f"{text}, not of {volume_id}")
        if snapshot.status not in RESTORING:
            raise StatusChanged(f"snapshot {snapshot_id}", snapshot.status, RESTORING)
        super().execute(ctx=ctx, volume_id=volume_id)
        _notify(ctx, volume_id, snapshot_id, "start")

    def revert(  # type: ignore[override]
        self,
        ctx: Context,
        volume_id: str,
        snapshot_id: str,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if failed_itself(result):
            return
        super().revert(ctx=ctx, volume_id=volume_id, result=result, flow_failures=flow_failures)
        set_status(ctx, ctx.snapshots.get(snapshot_id), RESTORING, "available")
        _notify(ctx, volume_id, snapshot_id, "end")


class Safety(Step):
    """Keep the volume as it is, where a half-done revert could not be told from a done one.

    Idempotent: its id is made out of the two ids, so a second try finds the row
    and lets the backend keep the first moment.
    """

    default_provides = "safety_id"

    def execute(self, ctx: Context, volume_id: str, snapshot_id: str) -> str | None:
        driver = ctx.driver
        if not driver.snapshot_revert_use_temp_snapshot():
            return None
        safety_id = str(uuid.uuid5(uuid.UUID(snapshot_id), f"revert {volume_id}"))
        volume = ctx.volumes.get(volume_id)
        safety = ctx.snapshots.create(
            id=safety_id,
            volume_id=volume_id,
            volume_size=volume.size,
            volume_type_id=volume.volume_type_id,
            user_id=volume.user_id,
            project_id=volume.project_id,
            status="creating",
            use_quota=False,
            display_name=f"[revert] volume {volume_id} backup snapshot",
        )
        if safety.status == "creating":
            update = edge.model_update(driver.create_snapshot(safety), safety, "create_snapshot")
            edge.store(ctx.snapshots.update, safety, update, "create_snapshot")
            set_status(ctx, safety, ("creating",), "available", progress="100%")
        return safety_id


class Restore(Step):
    """Bring the snapshot's data back. Idempotent: the same data again."""

    def execute(self, ctx: Context, volume_id: str, snapshot_id: str) -> None:
        volume, snapshot = ctx.volumes.get(volume_id), ctx.snapshots.get(snapshot_id)
        try:
            ctx.driver.revert_to_snapshot(ctx.request, volume, snapshot)
        except NotImplementedError:
            transfer.copy_snapshot_over(ctx, volume, snapshot)


class Finish(Step):
    """Make volume and snapshot available. Idempotent: those that are stay so."""

    def execute(self, ctx: Context, volume_id: str, snapshot_id: str) -> None:
        set_status(ctx, ctx.snapshots.get(snapshot_id), RESTORING, "available")
        set_finished(ctx, ctx.volumes.get(volume_id), STATUSES.during, "available")


class Clean(Step):
    """Delete the safety snapshot; what is left of it does not undo the revert.

    Idempotent: what is absent is a success.
    """

    def execute(
        self, ctx: Context, volume_id: str, snapshot_id: str, safety_id: str | None
    ) -> None:
        if safety_id is not None:
            _drop(ctx, safety_id)
        _notify(ctx, volume_id, snapshot_id, "end")


def flow() -> linear_flow.Flow:
    """Revert a volume to a snapshot. Needs ``volume_id`` and ``snapshot_id``."""
    return linear_flow.Flow("revert_to_snapshot").add(
        Begin(), Safety(), Restore(), Finish(), Clean()
    )


def _drop(ctx: Context, safety_id: str) -> None:
    try:
        ctx.driver.delete_snapshot(ctx.snapshots.get(safety_id))
        ctx.snapshots.destroy(safety_id)
    except NotFound:
        return
    except Exception as error:
        LOG.warning("the safety snapshot %s is left behind: %s", safety_id, error)


def _notify(ctx: Context, volume_id: str, snapshot_id: str, moment: str) -> None:
    volume: Record = ctx.volumes.get(volume_id)
    ctx.notifier.volume(ctx.request, f"revert.{moment}", volume)
    ctx.notifier.snapshot(ctx.request, f"revert.{moment}", ctx.snapshots.get(snapshot_id))
