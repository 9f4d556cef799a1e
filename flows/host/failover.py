# SPDX-License-Identifier: Apache-2.0
"""Fail a backend over to a replication target, or back to the backend itself.

=======  ============================================  ================================
task     does                                          undone by
=======  ============================================  ================================
begin    (nothing)                                     no such target: the status that
                                                       the service had; else: disabled,
                                                       ``failover-error``, and volumes
                                                       that are not replicated ``error``
move     driver.failover_host, or failover in a        (the driver answers for it)
         cluster, of replicated volumes
store    the driver's columns of volumes and groups;   (statuses stay)
         snapshots of a volume that could not be
         moved: ``error``; volumes that are not
         replicated, and their snapshots: ``error``,
         unless it comes back
finish   the service: disabled, ``failed-over``; back  (point of no return)
         again: ``enabled``, and disabled only where
         it is frozen; other processes are notified
=======  ============================================  ================================

Nothing is written before the driver has answered, so that a target that does not exist
costs nothing. A driver whose set-up failed is asked as well: that is the state of a lost
backend. Source: spec/volume-rpc, failover.
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
from flows.claims import Claim
from flows.context import HostContext
from flows.factories import registered
from flows.host import failover_answer
from flows.host.failover_answer import Moved
from flows.lifecycle import Statuses, Step, cause_of, was_refused
from flows.replication_statuses import BACK, is_replicated
from flows.statuses import GroupStatus, ReplicationStatus, SnapshotStatus, VolumeStatus

LOG = logging.getLogger(__name__)

SERVICE = Statuses(
    during=(ReplicationStatus.FAILING_OVER,),
    success=ReplicationStatus.FAILED_OVER,
    failure={Exception: ReplicationStatus.FAILOVER_ERROR},
)
"""``replication_status`` of the service, and of the volumes and groups that are replicated."""

ENABLED = ReplicationStatus.ENABLED
"""In place of the success when the backend itself is the target."""

FOLLOWED = Statuses(during=(), failure={Exception: ReplicationStatus.ERROR})
"""Of a service that could not follow the failover of another host of its cluster."""

VOLUMES = Statuses(during=(), failure={Exception: VolumeStatus.ERROR})
"""Of volumes that are not replicated, or whose failover failed."""

SNAPSHOTS = Statuses(during=(), failure={Exception: SnapshotStatus.ERROR})
GROUPS = Statuses(during=(), failure={Exception: GroupStatus.ERROR})

_WITHOUT_REPLICA = ReplicationStatus.NOT_CAPABLE


class BeginFailover(Step, task="begin"):
    """Stand first, to write the failure. Idempotent: it does nothing."""

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the service while it fails over."""
        return Claim("service", "", SERVICE.during, "replication_status", unmarked=True)

    def execute(self, ctx: HostContext) -> None:
        """Nothing: whatever the service is in, an administrator wants it moved."""

    def revert(
        self,
        ctx: HostContext,
        secondary_id: str | None,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if was_refused(result):
            return
        failure, row = cause_of(flow_failures), ctx.service.get()
        if failure.check(InvalidReplicationTarget) and not ctx.resumed:
            if row.replication_status in SERVICE.during:
                before = SERVICE.done if row.active_backend_id else ENABLED
                write_everywhere(ctx, replication_status=before)
            return
        # A second try that finds its target gone may have moved half of it before.
        if secondary_id != BACK and not failure.check(NotImplementedError):
            _set_unreachable(ctx, _not_replicated(ctx))
        write_everywhere(ctx, disabled=True, replication_status=SERVICE.failed)


class FailOver(Step, task="move"):
    """Have the driver fail over. Idempotent: one that has answers the same again."""

    default_provides = "moved"

    def execute(self, ctx: HostContext, secondary_id: str | None) -> Moved:
        driver, row = ctx.backend.any_driver(), ctx.service.get()
        method = driver.failover if row.cluster_name else driver.failover_host
        volumes = [volume for volume in ctx.host.volumes() if is_replicated(volume)]
        groups = list(ctx.host.replicated_groups())
        answer = method(ctx.request, volumes, secondary_id=secondary_id, groups=groups)
        return failover_answer.of(answer, volumes, groups, ctx.backend.host)


class StoreFailover(Step, task="store"):
    """Write the columns of volumes and groups.

    Idempotent: the same is written again, and a status that was kept is not kept twice.
    """

    def execute(self, ctx: HostContext, secondary_id: str | None, moved: Moved) -> None:
        now = _status_of(secondary_id)
        for entry in moved["volumes"]:
            _store_volume(ctx, entry, now)
        for entry in moved["groups"]:
            _store_group(ctx, entry, now)
        if secondary_id != BACK:
            moved_ids = {entry["id"] for entry in moved["volumes"]}
            _set_unreachable(ctx, (v for v in _not_replicated(ctx) if v.id not in moved_ids))


class FinishFailover(Step, task="finish"):
    """Write the service's row and notify the other processes. Idempotent: it is written again."""

    bookkeeping = True

    def execute(self, ctx: HostContext, secondary_id: str | None, moved: Moved) -> None:
        columns: dict[str, Any] = {
            "replication_status": SERVICE.done,
            "active_backend_id": moved["active"],
            "disabled": True,
            "disabled_reason": SERVICE.done,
        }
        if secondary_id == BACK:
            frozen = bool(ctx.service.get().frozen)
            columns = {
                "replication_status": ENABLED,
                "active_backend_id": "",
                "disabled": frozen,
                "disabled_reason": "frozen" if frozen else "",
            }
        if ctx.resumed and ctx.claim is not None and not _is_under_way(ctx, columns):
            return
        write_everywhere(ctx, **columns)
        LOG.info(
            "backend %s is served by %s", ctx.backend.host, columns["active_backend_id"] or BACK
        )


@registered
def flow() -> linear_flow.Flow:
    """Fail a backend over. Needs ``secondary_id``: a target, ``default``, or None."""
    return linear_flow.Flow("failover").add(
        BeginFailover(), FailOver(), StoreFailover(), FinishFailover()
    )


def write_everywhere(ctx: HostContext, **columns: Any) -> None:
    """Write columns of the service's row, and send them to those who follow a failover."""
    ctx.service.update(**columns)
    ctx.service.spread(**columns)


def _is_under_way(ctx: HostContext, columns: Mapping[str, Any]) -> bool:
    """Return whether the row is that of this failover: before its end, or after it."""
    row, written = ctx.service.get(), ("replication_status", "active_backend_id")
    ended = all((row[name] or "") == (columns[name] or "") for name in written)
    return ended or row.replication_status in SERVICE.during


def _status_of(secondary_id: str | None) -> str:
    return ENABLED if secondary_id == BACK else SERVICE.done


def _not_replicated(ctx: HostContext) -> Iterable[Record]:
    return (volume for volume in ctx.host.volumes() if not is_replicated(volume))


def _store_volume(ctx: HostContext, entry: Mapping[str, Any], now: str) -> None:
    try:
        volume = ctx.volumes.get(entry["id"])
        try:
            _write(ctx, volume, _with_replication(entry["columns"], now, VOLUMES))
        except ValueError as error:
            LOG.error("the driver's columns of volume %s are not stored: %s", volume.id, error)
            _write(ctx, volume, _with_replication({"status": VOLUMES.failed}, now, VOLUMES))
    except errors.NotFound:
        LOG.info("volume %s is gone by now", entry["id"])


def _store_group(ctx: HostContext, entry: Mapping[str, Any], now: str) -> None:
    columns = _with_replication(entry["columns"], now, GROUPS)
    try:
        ctx.groups["group"].update(entry["id"], **columns)
    except (ValueError, errors.NotFound) as error:
        LOG.error("the driver's columns of group %s are not stored: %s", entry["id"], error)


def _with_replication(update: Mapping[str, Any], now: str, statuses: Statuses) -> dict[str, Any]:
    """Return the columns of a volume or group, with those of a failure."""
    columns = dict(update)
    if columns.get("status") == statuses.failed:
        columns["replication_status"] = SERVICE.failed
    elif columns.get("replication_status") in (None, SERVICE.done):
        columns["replication_status"] = now
    if columns["replication_status"] == SERVICE.failed:
        columns.setdefault("status", statuses.failed)
    return columns


def _write(ctx: HostContext, volume: Record, columns: dict[str, Any]) -> None:
    """Write a driver's columns of a volume. :raises ValueError: it does not fit."""
    if columns.get("status", volume.status) != volume.status:
        columns["previous_status"] = volume.status
    ctx.volumes.update(volume.id, **columns)
    if columns["replication_status"] == SERVICE.failed:
        _set_snapshots_failed(ctx, volume)


def _set_unreachable(ctx: HostContext, volumes: Iterable[Record]) -> None:
    """Set volumes without replication to ``error``: they cannot be reached."""
    for volume in volumes:
        try:
            _set_snapshots_failed(ctx, volume)
            columns = {"status": VOLUMES.failed, "replication_status": _WITHOUT_REPLICA}
            if volume.status != VOLUMES.failed:
                columns["previous_status"] = volume.status
            ctx.volumes.update(volume.id, **columns)
        except errors.NotFound:
            LOG.info("volume %s is gone by now", volume.id)


def _set_snapshots_failed(ctx: HostContext, volume: Record) -> None:
    for snapshot in ctx.snapshots.of_volume(volume.id):
        ctx.snapshots.update(snapshot.id, status=SNAPSHOTS.failed)
