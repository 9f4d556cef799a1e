# SPDX-License-Identifier: Apache-2.0
"""Take an existing object of the backend over as a volume.

=======  ==========================================  ==============================
task     does                                        undone by
=======  ==========================================  ==============================
begin    checks that it is here and ``managing``     ``error_managing``
measure  driver.manage_existing_get_size             (nothing was changed)
reserve  the limit for one volume; reserves the      the reservation is given back
         gigabytes, the volume itself was counted
         by the API
adopt    driver.manage_existing                      (the object keeps its data)
finish   size, ``available``; the reservation is     (point of no return)
         used
=======  ==========================================  ==============================

An object whose volume failed here is not deleted with the row: see ``delete``.

Source: seeds, VolumeManagementDriver; spec/interfaces §3; spec/volume-rpc,
manage_existing.
"""

from __future__ import annotations

from typing import Any

from oslo_utils import timeutils
from taskflow.patterns import linear_flow

from flows.context import VolumeContext
from flows.driver_calls import driver_contract, manage_reference
from flows.factories import registered
from flows.lifecycle import Statuses, Step
from flows.statuses import VolumeStatus
from flows.volume.lifecycle import BeginVolumeOperation, set_finished

STATUSES = Statuses(
    during=(VolumeStatus.MANAGING,),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR_MANAGING},
    unmarked=True,
)


class MeasureVolume(Step, task="measure"):
    """Ask the driver how large the object is, in GiB. Idempotent: it only reads."""

    default_provides = "size"

    def execute(self, ctx: VolumeContext, volume_id: str, ref: Any) -> int:
        ask = getattr(ctx.driver, "manage_existing_get_size", None)
        return manage_reference.measure(ctx, ctx.volumes.get(volume_id), ref, ask)


class ReserveVolumeQuota(Step, task="reserve"):
    """Reserve the gigabytes. Idempotent: the volume's own id is that of the reservation."""

    bookkeeping = True

    def execute(self, ctx: VolumeContext, volume_id: str, size: int) -> None:
        volume = ctx.volumes.get(volume_id)
        if volume.use_quota:
            ctx.quotas.require_volume_size(volume.project_id, size)
            ctx.quotas.reserve_for(volume, {"gigabytes": size})

    def revert(self, ctx: VolumeContext, volume_id: str) -> None:
        ctx.quotas.rollback([volume_id])


class AdoptVolume(Step, task="adopt"):
    """Have the driver tie the object to the volume, and store its columns.

    Idempotent: a driver finds the object under its new name on a second try.
    """

    def execute(self, ctx: VolumeContext, volume_id: str, ref: Any) -> None:
        volume, manage = ctx.volumes.get(volume_id), getattr(ctx.driver, "manage_existing", None)
        manage_reference.supported(volume, manage)
        assert manage is not None
        answer = manage(volume, ref)
        update = driver_contract.model_update(answer, volume, "manage_existing", ignored=("size",))
        driver_contract.store(ctx.volumes.update, volume, update, "manage_existing")


class FinishManage(Step, task="finish"):
    """Make the volume available in its size.

    Idempotent: one that is available stays so, and the reservation is used once.
    """

    bookkeeping = True

    def execute(self, ctx: VolumeContext, volume_id: str, size: int) -> None:
        volume = ctx.volumes.get(volume_id)
        columns = {
            "size": size,
            "launched_at": timeutils.utcnow(),
        }
        done = set_finished(
            ctx, volume, STATUSES.during, STATUSES.done, commit=[volume_id], **columns
        )
        if not done:
            ctx.quotas.rollback([volume_id])
        elif volume.use_quota:
            shown = volume.replace(status=STATUSES.done, **columns)
            ctx.notifier.volume(ctx.request, "manage_existing.end", shown)
        ctx.backend.request_report()


@registered
def flow() -> linear_flow.Flow:
    """Take an object over. Needs ``volume_id`` and ``ref`` as the caller wrote it."""
    return linear_flow.Flow("manage_existing").add(
        BeginVolumeOperation(STATUSES, "manage_existing"),
        MeasureVolume(),
        ReserveVolumeQuota(),
        AdoptVolume(),
        FinishManage(),
    )
