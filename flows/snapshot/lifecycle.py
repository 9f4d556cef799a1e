# SPDX-License-Identifier: Apache-2.0
"""First step of an operation that changes one snapshot's status, and its failure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import messages
from flows.claims import Claim
from flows.context import VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, StatusChanged
from flows.lifecycle import Statuses, Step, cause_of, was_refused

LOG = logging.getLogger(__name__)

MESSAGE_TYPE = "VOLUME_SNAPSHOT"


@dataclass(frozen=True)
class SnapshotOperation:
    """The properties of an operation on a snapshot.

    :param event: notified as ``snapshot.<event>.start`` and ``.end``.
    :param action: number of the user message about a failure; none without it.
    :param detail: the message's detail unless the error has its own.
    """

    statuses: Statuses
    event: str
    action: str = ""
    detail: str = ""


class BeginSnapshotOperation(Step):
    """Check that the snapshot's volume is on this backend, and the snapshot's status.

    Idempotent: it only reads, and claims a work row that is already its own.
    When it fails itself, the operation does not own the snapshot, and writes nothing.
    """

    bookkeeping = True

    def __init__(self, operation: SnapshotOperation) -> None:
        super().__init__("begin")
        self._operation = operation

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the snapshot in a status of the operation."""
        return Claim(
            "snapshot", str(args["snapshot_id"]), self._operation.statuses.during, unmarked=True
        )

    def execute(self, ctx: VolumeContext, snapshot_id: str) -> None:
        snapshot, during = ctx.snapshots.get(snapshot_id), self._operation.statuses.during
        driver_contract.require_on_this_backend(ctx, snapshot, snapshot.volume)
        if snapshot.status not in during:
            raise StatusChanged(f"snapshot {snapshot_id}", snapshot.status, during)
        ctx.workers.claim("Snapshot", snapshot_id, snapshot.status)
        ctx.notifier.snapshot(ctx.request, f"{self._operation.event}.start", snapshot)

    def reopen(self, ctx: VolumeContext, args: Mapping[str, Any]) -> None:
        """Set the status back to that of the operation."""
        snapshot, statuses = ctx.snapshots.get(args["snapshot_id"]), self._operation.statuses
        driver_contract.require_on_this_backend(ctx, snapshot, snapshot.volume)
        if snapshot.status not in statuses.during:
            ctx.snapshots.transition(snapshot.id, statuses.during[0], when=statuses.failures)

    def revert(
        self, ctx: VolumeContext, snapshot_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if was_refused(result):
            return
        snapshot = ctx.snapshots.get(snapshot_id)
        if driver_contract.on_this_backend(ctx, snapshot.volume):
            set_failed(ctx, snapshot, self._operation, cause_of(flow_failures))


def set_failed(
    ctx: VolumeContext, snapshot: Record, operation: SnapshotOperation, failure: Failure
) -> None:
    """Write the message for the user, and then the failure status.

    In this order: after a kill in between it is repeated, and the user gets two messages
    rather than never.
    """
    statuses = operation.statuses
    if operation.action and snapshot.status in statuses.during:
        ctx.messages.create(
            ctx.request,
            snapshot,
            action=operation.action,
            detail=messages.detail_of(operation.action, failure, operation.detail),
            resource_type=MESSAGE_TYPE,
        )
    set_status(ctx, snapshot, statuses.during, statuses.after(failure))


def set_status(
    ctx: VolumeContext, snapshot: Record, when: tuple[str, ...], status: str, **columns: Any
) -> bool:
    """Write a final status and say whether it took.

    It never raises because the status moved on: the snapshot belongs to
    another operation by then.
    """
    try:
        ctx.snapshots.transition(snapshot.id, status, when=when, done=True, **columns)
    except (StatusChanged, NotFound) as error:
        LOG.warning("snapshot %s is left as it is: %s", snapshot.id, error)
        return False
    return True
