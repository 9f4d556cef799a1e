# SPDX-License-Identifier: Apache-2.0
"""First step of an operation that changes one snapshot's status."""

from __future__ import annotations

import logging
from typing import Any

from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import edge, messages
from flows.context import Context
from flows.errors import NotFound, StatusChanged
from flows.lifecycle import Statuses, Step, cause_of, failed_itself

LOG = logging.getLogger(__name__)

MESSAGE_TYPE = "VOLUME_SNAPSHOT"


class Begin(Step):
    """Check that the snapshot's volume is ours and the snapshot in the right status.

    Idempotent: it only reads, and claims a work row that is already its own.
    When it fails itself the snapshot was never ours, and nothing is written.

    :param event: notified as ``snapshot.<event>.start``.
    :param action: number of the user message about a failure.
    :param detail: what the message says unless the error says more.
    """

    def __init__(self, statuses: Statuses, event: str, action: str, detail: str) -> None:
        super().__init__("begin")
        self._statuses = statuses
        self._event = event
        self._action = action
        self._detail = detail

    def execute(self, ctx: Context, snapshot_id: str) -> None:
        snapshot = ctx.snapshots.get(snapshot_id)
        edge.require_ours(ctx, snapshot, snapshot.volume.host)
        if snapshot.status not in self._statuses.during:
            raise StatusChanged(f"snapshot {snapshot_id}", snapshot.status, self._statuses.during)
        ctx.workers.claim("Snapshot", snapshot_id, snapshot.status)
        ctx.notifier.snapshot(ctx.request, f"{self._event}.start", snapshot)

    def revert(
        self, ctx: Context, snapshot_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        if failed_itself(result):
            return
        snapshot = ctx.snapshots.get(snapshot_id)
        failure = cause_of(flow_failures)
        set_status(ctx, snapshot, self._statuses.during, self._statuses.after(failure))
        ctx.messages.create(
            ctx.request,
            snapshot,
            action=self._action,
            detail=messages.detail_of(failure, self._detail),
            resource_type=MESSAGE_TYPE,
        )


def set_status(
    ctx: Context, snapshot: Record, when: tuple[str, ...], status: str, **columns: Any
) -> bool:
    """Write a final status and say whether it took.

    It never raises because the status moved on: what the snapshot has become is
    somebody else's by then.
    """
    try:
        ctx.snapshots.transition(snapshot.id, status, when=when, done=True, **columns)
    except (StatusChanged, NotFound) as error:
        LOG.warning("snapshot %s has moved on, nothing is written: %s", snapshot.id, error)
        return False
    return True
