# SPDX-License-Identifier: Apache-2.0
"""End the interrupted operations of a service, by its rows in the table ``workers``.

=========  ============  =====================================================
row        status        end
=========  ============  =====================================================
Volume     creating      ``error``
Volume     downloading   driver.clear_download, ``error``
Volume     uploading     ``in-use`` with attachments, else ``available``
Volume     deleting      it is deleted, with its snapshots, by an operation of
                         its own
Snapshot   creating      ``error``
any        another one   the row goes: the work has ended
=========  ============  =====================================================

A resource that cannot be ended keeps its row, for the next time. One with an operation in
the journal is left to that, and a volume into which a backup is being restored to the
service that restores it. Source: spec/volume-rpc §8.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping
from typing import Any

from oslo_utils import timeutils
from taskflow.patterns import linear_flow

from drivers.interface.records import Record
from flows.context import HostContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, RunInterrupted, Unavailable
from flows.factories import registered
from flows.lifecycle import Step
from flows.snapshot.lifecycle import set_status
from flows.statuses import SnapshotStatus, VolumeStatus
from flows.volume.lifecycle import idle_status, set_finished

LOG = logging.getLogger(__name__)

_KINDS = {"Volume": "volumes", "Snapshot": "snapshots"}

VOLUMES: Mapping[str, str] = {
    VolumeStatus.CREATING: VolumeStatus.ERROR,
    VolumeStatus.DOWNLOADING: VolumeStatus.ERROR,
}
"""Volumes that end in a status of their own; the module's table has the others."""

SNAPSHOTS: Mapping[str, str] = {SnapshotStatus.CREATING: SnapshotStatus.ERROR}


class CleanUpHost(Step, task="clean"):
    """End one piece of work after the other.

    Idempotent: an ended operation has no row any more. A row that an interrupted try has
    taken belongs to this service then, and is found at its next start.
    """

    def execute(
        self,
        ctx: HostContext,
        service_id: int | None,
        resource_type: str | None,
        resource_id: str | None,
        until: str | None,
    ) -> None:
        found = ctx.workers.left(service_id, resource_type, resource_id, _moment(until))
        # In this order: an operation is in the journal before it claims a row.
        underway = ctx.operations.in_progress() if found else ()
        for work in found:
            if work.resource_id not in underway and work.resource_type in _KINDS:
                _clean(ctx, work)


@registered
def flow() -> linear_flow.Flow:
    """End the interrupted operations of a service.

    Needs the service's row id (``service_id``; None for ours), ``resource_type`` and
    ``resource_id``, or None for all, and the time ``until`` which no service has worked on it
    since, as text in UTC, or None for now.
    """
    return linear_flow.Flow("do_cleanup").add(CleanUpHost())


def _moment(until: str | None) -> datetime.datetime | None:
    return timeutils.normalize_time(timeutils.parse_isotime(until)) if until else None


def _clean(ctx: HostContext, work: Record) -> None:
    if not ctx.workers.take(work):
        LOG.info("%s %s is being worked on", work.resource_type, work.resource_id)
        return
    try:
        goes = _end(ctx, work)
    except (Unavailable, RunInterrupted):
        ctx.workers.put_back(work)
        raise
    except Exception as error:  # noqa: BLE001 - the others have their turn
        text = driver_contract.masked(error)
        LOG.error("%s %s stays %s: %s", work.resource_type, work.resource_id, work.status, text)
        ctx.workers.put_back(work)
        return
    if goes:
        ctx.workers.drop(work)


def _end(ctx: HostContext, work: Record) -> bool:
    """Give a resource its end; say whether the row goes."""
    rows: Any = getattr(ctx, _KINDS[work.resource_type])
    try:
        resource = rows.get(work.resource_id)
    except NotFound:
        return True
    if resource.status != work.status:
        return True
    LOG.warning("%s %s was left %s", resource.kind, resource.id, resource.status)
    if resource.kind == "snapshot":
        if end := SNAPSHOTS.get(resource.status):
            set_status(ctx, resource, (resource.status,), end)
        return True
    return _end_volume(ctx, resource)


def _end_volume(ctx: HostContext, volume: Record) -> bool:
    status = volume.status
    if status == VolumeStatus.DELETING:
        ctx.operations.delete_volume(volume)
        return False
    if status == VolumeStatus.CREATING and ctx.host.is_restored(volume.id):
        return True
    if status == VolumeStatus.DOWNLOADING:
        ctx.driver.clear_download(ctx.request, volume)
    if status == VolumeStatus.UPLOADING:
        set_finished(ctx, volume, (status,), idle_status(ctx, volume.id))
    elif end := VOLUMES.get(status):
        set_finished(ctx, volume, (status,), end)
    return True
