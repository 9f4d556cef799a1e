# SPDX-License-Identifier: Apache-2.0
"""Go on with a backend's target of replication, or come back to the backend itself.

=======  ============================================  ================================
task     does                                          undone by
=======  ============================================  ================================
begin    (nothing)                                     no such target: the status that
                                                       the service had; else: disabled,
                                                       ``failover-error``, and volumes
                                                       that are not replicated ``error``
move     driver.failover_host, or failover in a        (the driver answers for it)
         cluster, of what is replicated
store    what the driver told of volumes and groups;   (statuses stay as told)
         snapshots of a volume that could not be
         moved: ``error``; volumes that are not
         replicated, and their snapshots: ``error``,
         unless it comes back
finish   the service: disabled, ``failed-over``; back  (point of no return)
         again: ``enabled``, and disabled only where
         it is frozen; other processes are told
=======  ============================================  ================================

Nothing is written before the driver has answered, so that a target that does not exist
costs nothing. A driver whose set-up failed is asked as well: that is what a lost backend
looks like. Source: spec/volume-rpc, failover.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import InvalidReplicationTarget
from drivers.interface.records import Record
from flows import errors
from flows.context import HostContext as Context
from flows.host import failover_answer
from flows.host.failover_answer import Moved
from flows.lifecycle import Step, cause_of, never_began
from flows.replication import BACK, is_replicated

LOG = logging.getLogger(__name__)

FAILED_OVER, ENABLED, FAILED = "failed-over", "enabled", "failover-error"


class BeginFailover(Step, task="begin"):
    """Stand first, to write the failure. Idempotent: it does nothing."""

    def execute(self, ctx: Context) -> None:
        """Nothing: whatever the service is in, an administrator wants it moved."""

    def revert(
        self,
        ctx: Context,
        secondary_id: str | None,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if never_began(result):
            return
        failure, row = cause_of(flow_failures), ctx.service.get()
        if failure.check(InvalidReplicationTarget) and not ctx.resumed:
            if row.replication_status == "failing-over":
                before = FAILED_OVER if row.active_backend_id else ENABLED
                ctx.service.update(replication_status=before)
            return
        # A second try that finds its target gone may have moved half of it before.
        if secondary_id != BACK and not failure.check(NotImplementedError):
            _give_up(ctx, _not_replicated(ctx))
        ctx.service.update(disabled=True, replication_status=FAILED)


class FailOver(Step, task="move"):
    """Have the driver fail over. Idempotent: one that has answers the same again."""

    default_provides = "moved"

    def execute(self, ctx: Context, secondary_id: str | None) -> Moved:
        driver, row = ctx.backend.any_driver(), ctx.service.get()
        method = driver.failover if row.cluster_name else driver.failover_host
        volumes = [volume for volume in ctx.host.volumes() if is_replicated(volume)]
        groups = list(ctx.host.replicated_groups())
        answer = method(ctx.request, volumes, secondary_id=secondary_id, groups=groups)
        return failover_answer.of(answer, volumes, groups, ctx.backend.host)


class StoreFailover(Step, task="store"):
    """Write what has become of volumes and groups.

    Idempotent: the same is written again, and a status that was kept is not kept twice.
    """

    def execute(self, ctx: Context, secondary_id: str | None, moved: Moved) -> None:
        now = _status_of(secondary_id)
        for entry in moved["volumes"]:
            _store_volume(ctx, entry, now)
        for entry in moved["groups"]:
            _store_group(ctx, entry, now)
        if secondary_id != BACK:
            told = {entry["id"] for entry in moved["volumes"]}
            _give_up(ctx, (v for v in _not_replicated(ctx) if v.id not in told))


class FinishFailover(Step, task="finish"):
    """Write the service's row and tell the other processes. Idempotent: it is written again."""

    def execute(self, ctx: Context, secondary_id: str | None, moved: Moved) -> None:
        columns: dict[str, Any] = {
            "replication_status": FAILED_OVER,
            "active_backend_id": moved["active"],
            "disabled": True,
            "disabled_reason": FAILED_OVER,
        }
        if secondary_id == BACK:
            frozen = bool(ctx.service.get().frozen)
            columns = {
                "replication_status": ENABLED,
                "active_backend_id": "",
                "disabled": frozen,
                "disabled_reason": "frozen" if frozen else "",
            }
        ctx.service.update(**columns)
        ctx.service.spread(**columns)
        LOG.info(
            "backend %s is served by %s", ctx.backend.host, columns["active_backend_id"] or BACK
        )


def flow() -> linear_flow.Flow:
    """Fail a backend over. Needs ``secondary_id``: a target, ``default``, or None."""
    return linear_flow.Flow("failover").add(
        BeginFailover(), FailOver(), StoreFailover(), FinishFailover()
    )


def _status_of(secondary_id: str | None) -> str:
    return ENABLED if secondary_id == BACK else FAILED_OVER


def _not_replicated(ctx: Context) -> Iterable[Record]:
    return (volume for volume in ctx.host.volumes() if not is_replicated(volume))


def _store_volume(ctx: Context, entry: Mapping[str, Any], now: str) -> None:
    try:
        volume = ctx.volumes.get(entry["id"])
        try:
            _write(ctx, volume, _completed(entry["columns"], now))
        except ValueError as error:
            LOG.error("what was told of volume %s is not stored: %s", volume.id, error)
            _write(ctx, volume, _completed({"status": "error"}, now))
    except errors.NotFound:
        LOG.info("volume %s is gone by now", entry["id"])


def _store_group(ctx: Context, entry: Mapping[str, Any], now: str) -> None:
    columns = _completed(entry["columns"], now)
    try:
        ctx.groups["group"].update(entry["id"], **columns)
    except (ValueError, errors.NotFound) as error:
        LOG.error("what was told of group %s is not stored: %s", entry["id"], error)


def _completed(told: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Return the columns of a volume or group, with what a failure means."""
    columns = dict(told)
    if columns.get("status") == "error":
        columns["replication_status"] = FAILED
    elif columns.get("replication_status") in (None, FAILED_OVER):
        columns["replication_status"] = now
    if columns["replication_status"] == FAILED:
        columns.setdefault("status", "error")
    return columns


def _write(ctx: Context, volume: Record, columns: dict[str, Any]) -> None:
    """Write what a driver told of a volume. :raises ValueError: it does not fit."""
    if columns.get("status", volume.status) != volume.status:
        columns["previous_status"] = volume.status
    ctx.volumes.update(volume.id, **columns)
    if columns["replication_status"] == FAILED:
        _break_snapshots(ctx, volume)


def _give_up(ctx: Context, volumes: Iterable[Record]) -> None:
    """Set what was not replicated to ``error``: it is where nobody reaches it."""
    for volume in volumes:
        try:
            _break_snapshots(ctx, volume)
            kept = {"previous_status": volume.status} if volume.status != "error" else {}
            ctx.volumes.update(volume.id, status="error", replication_status="not-capable", **kept)
        except errors.NotFound:
            LOG.info("volume %s is gone by now", volume.id)


def _break_snapshots(ctx: Context, volume: Record) -> None:
    for snapshot in ctx.snapshots.of_volume(volume.id):
        ctx.snapshots.update(snapshot.id, status="error")
