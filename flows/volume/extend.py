# SPDX-License-Identifier: Apache-2.0
"""Extend a volume.

=======  ===========================================  =============================
task     does                                         undone by
=======  ===========================================  =============================
begin    checks that it is here and ``extending``     ``error_extending``, and the
                                                      reservations are given back
grow     driver.extend_volume                         (a volume never shrinks)
finish   the size; ``in-use`` with attachments,       (point of no return)
         else ``available``; reservations are used
tell     compute service, where instances have it     (it fails nothing)
=======  ===========================================  =============================

``completion`` is the second half alone, for a volume whose host took part.

Source: seeds, VolumeDriverCore.extend_volume; spec/volume-rpc, extend_volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import TargetUpdateFailed, VolumeBackendAPIException
from drivers.interface.records import Record
from flows import messages
from flows.context import VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidInput
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_refused
from flows.statuses import VolumeStatus
from flows.volume import lifecycle
from flows.volume.connections.instance_events import NotifyExtended
from flows.volume.lifecycle import LOG, find, idle_status, set_failed, set_finished

STATUSES = Statuses(
    during=(VolumeStatus.EXTENDING,), failure={Exception: VolumeStatus.ERROR_EXTENDING}
)
"""A success gives the status of :data:`flows.volume.lifecycle.IDLE`."""


class BeginExtend(lifecycle.BeginVolumeOperation):
    """Check the volume; after a failure also roll the reservations back."""

    def __init__(self, event: str | None) -> None:
        super().__init__(STATUSES, event)

    def reopen(self, ctx: VolumeContext, args: Mapping[str, Any]) -> None:
        """Refuse: the failure has rolled the reservations back."""
        text = f"volume {args['volume_id']}: its reservations were given back, ask for it again"
        raise InvalidInput(text)

    def revert(  # type: ignore[override]
        self,
        ctx: VolumeContext,
        volume_id: str,
        reservations: list[str],
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        volume = find(ctx, volume_id)
        if was_refused(result) or volume is None:
            return
        failure, action = cause_of(flow_failures), messages.EXTEND_VOLUME
        status = STATUSES.after(failure)
        if set_failed(ctx, volume, STATUSES.during, status, rollback=reservations):
            detail = messages.detail_of(action, failure, messages.DRIVER_FAILED_EXTEND)
            ctx.messages.create(ctx.request, volume, action=action, detail=detail)


class ExtendVolume(Step, task="grow"):
    """Make the volume larger on the backend.

    Idempotent: a driver leaves a volume alone that has the size already.
    """

    def execute(self, ctx: VolumeContext, volume_id: str, new_size: Any) -> None:
        volume = ctx.volumes.get(volume_id)
        _require_larger(volume, new_size)
        try:
            ctx.driver.extend_volume(volume, new_size)
        except TargetUpdateFailed as error:
            LOG.warning("volume %s has grown, its export shows the old size: %s", volume_id, error)


class CompleteExtend(Step, task="complete"):
    """Take over how the host says that the extension ended. Idempotent: it only reads."""

    bookkeeping = True

    def execute(self, ctx: VolumeContext, volume_id: str, new_size: Any, error: bool) -> None:
        if error:
            raise VolumeBackendAPIException(f"the host could not extend volume {volume_id}")
        _require_larger(ctx.volumes.get(volume_id), new_size)


class FinishExtend(Step, task="finish"):
    """Write the new size and use up the reservations.

    Idempotent: both are one transaction. A row that has the size was finished by the
    interrupted try, and if it is ``extending`` again that is another extension.
    """

    bookkeeping = True

    def execute(
        self, ctx: VolumeContext, volume_id: str, new_size: int, reservations: list[str]
    ) -> None:
        volume = ctx.volumes.get(volume_id)
        if volume.size == new_size:
            return
        status = idle_status(ctx, volume_id)
        if set_finished(ctx, volume, STATUSES.during, status, size=new_size, commit=reservations):
            shown = volume.replace(size=new_size, status=status)
            ctx.notifier.volume(ctx.request, "resize.end", shown)


@registered
def flow() -> linear_flow.Flow:
    """Extend a volume. Needs ``volume_id``, ``new_size`` in GiB and ``reservations``."""
    return linear_flow.Flow("extend_volume").add(
        BeginExtend("resize"), ExtendVolume(), FinishExtend(), NotifyExtended()
    )


@registered
def completion() -> linear_flow.Flow:
    """End an extension. Needs the arguments of :func:`flow`, and ``error``."""
    return linear_flow.Flow("extend_volume_completion").add(
        BeginExtend(None), CompleteExtend(), FinishExtend()
    )


def _require_larger(volume: Record, new_size: Any) -> None:
    driver_contract.positive_gib(new_size, f"the extension of volume {volume.id}")
    if new_size <= volume.size:
        raise InvalidInput(f"volume {volume.id} has {volume.size} GiB, {new_size} is not more")
