# SPDX-License-Identifier: Apache-2.0
"""First and last step of an operation that changes one volume's status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import OperationContext, VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, StatusChanged
from flows.lifecycle import Statuses, Step, cause_of, was_refused
from flows.statuses import VolumeStatus

LOG = logging.getLogger(__name__)

IDLE = {True: VolumeStatus.IN_USE, False: VolumeStatus.AVAILABLE}
"""Status of a volume that no operation works on, by whether it has attachments."""


class BeginVolumeOperation(Step):
    """Check that the volume is on this backend, and in a status of this operation.

    Idempotent: it only reads, and claims a work row that is already its own.
    When it fails itself, the operation does not own the volume, and writes nothing.
    """

    bookkeeping = True

    def __init__(self, statuses: Statuses, event: str | None = None) -> None:
        super().__init__("begin")
        self._statuses = statuses
        self._event = event

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the volume in a status of the operation."""
        return Claim(
            "volume",
            str(args["volume_id"]),
            self._statuses.during,
            unmarked=self._statuses.unmarked,
        )

    def execute(self, ctx: VolumeContext, volume_id: str) -> None:
        volume = ctx.volumes.get(volume_id)
        driver_contract.require_on_this_backend(ctx, volume, volume)
        if volume.status not in self._statuses.during:
            raise StatusChanged(f"volume {volume_id}", volume.status, self._statuses.during)
        if ctx.claim is None or ctx.claim.number is None:
            ctx.workers.claim("Volume", volume_id, volume.status)
        self.started(ctx, volume)

    def revert(
        self, ctx: VolumeContext, volume_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if was_refused(result):
            return
        volume = find(ctx, volume_id)
        if volume is not None:
            self.failed(ctx, volume, cause_of(flow_failures))

    def reopen(self, ctx: VolumeContext, args: Mapping[str, Any]) -> None:
        """Set the status back to that of the operation."""
        reopen(ctx, args["volume_id"], self._statuses)

    def started(self, ctx: VolumeContext, volume: Record) -> None:
        """Notify of the start."""
        if self._event and volume.use_quota:
            ctx.notifier.volume(ctx.request, f"{self._event}.start", volume)

    def failed(self, ctx: VolumeContext, volume: Record, failure: Failure) -> None:
        """Write the failure status; a subclass adds further effects of a failure."""
        set_failed(ctx, volume, self._statuses.during, self._statuses.after(failure))


def reopen(ctx: VolumeContext, volume_id: str, statuses: Statuses) -> None:
    """Set a volume back from a status in which an operation failed.

    :raises StatusChanged: it is in another status by now.
    :raises Invalid: it is on another backend.
    """
    volume = ctx.volumes.get(volume_id)
    driver_contract.require_on_this_backend(ctx, volume, volume)
    if volume.status not in statuses.during:
        ctx.volumes.transition(volume_id, statuses.during[0], when=statuses.failures)


def find(ctx: OperationContext, volume_id: str) -> Record | None:
    """Return the volume for a revert or a last step; None when its row is gone."""
    try:
        return ctx.volumes.get(volume_id)
    except NotFound:
        return None


def began_elsewhere(ctx: VolumeContext, volume_id: str, result: Any) -> bool:
    """Return whether the first step has not accepted a volume, see ``belongs_elsewhere``."""
    return driver_contract.belongs_elsewhere(ctx, result, find(ctx, volume_id))


def idle_status(ctx: VolumeContext, volume_id: str) -> str:
    """Return the status of a volume that no operation works on."""
    return IDLE[bool(ctx.attachments.of_volume(volume_id))]


def set_failed(
    ctx: VolumeContext, volume: Record, when: tuple[str, ...], status: str, **columns: Any
) -> bool:
    """Write a failure status and say whether it took.

    It does not where the volume's status moved on meanwhile, or its backend.
    """
    if volume.host and not driver_contract.on_this_backend(ctx, volume):
        LOG.warning("volume %s is on %s now and left as it is", volume.id, volume.host)
        return False
    return _transition(ctx, volume, when, status, columns)


def set_finished(
    ctx: VolumeContext, volume: Record, when: tuple[str, ...], status: str, **columns: Any
) -> bool:
    """Write the final status of a success and say whether it took.

    It never raises because the status moved on: a resumed flow may find the
    volume in use, and a revert would delete its data.
    """
    return _transition(ctx, volume, when, status, columns)


def _transition(
    ctx: VolumeContext, volume: Record, when: tuple[str, ...], status: str, columns: dict[str, Any]
) -> bool:
    try:
        ctx.volumes.transition(volume.id, status, when=when, done=True, **columns)
    except (StatusChanged, NotFound) as error:
        LOG.warning("volume %s is left as it is: %s", volume.id, error)
        return False
    return True
