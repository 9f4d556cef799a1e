# SPDX-License-Identifier: Apache-2.0
"""Create a volume: empty, from a snapshot, or from another volume.

=========  ====================================  ================================
task       does                                  undone by
=========  ====================================  ================================
begin      checks that it is ours                back to the scheduler, or the
                                                 status ``error``
allocate   driver.create_volume, or from a       driver.delete_volume
           snapshot, or a clone
finish     the status ``available``              (point of no return)
=========  ====================================  ================================

Source: seeds, VolumeDriverCore.create_volume, create_volume_from_snapshot;
spec/volume-rpc, create_volume.
"""

from __future__ import annotations

import datetime
import logging
import traceback
from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface import errors as driver_errors
from drivers.interface.records import Record
from flows import edge, errors, messages
from flows.context import Context
from flows.lifecycle import Statuses, Step, cause_of, failed_itself
from flows.volume.lifecycle import Begin, set_failed, set_finished

LOG = logging.getLogger(__name__)

STATUSES = Statuses(
    during=("creating", "downloading"), success="available", failure={Exception: "error"}
)

NOT_RESCHEDULED = (
    driver_errors.ImageCopyFailure,
    driver_errors.ImageConversionNotAllowed,
    driver_errors.ImageUnacceptable,
    driver_errors.ImageTooBig,
    errors.MetadataCopyFailure,
    errors.VolumeNotFound,
    errors.SnapshotNotFound,
    errors.VolumeTypeNotFound,
    errors.InvalidInput,
)
"""Another backend would fail in the same way."""


class BeginCreate(Begin):
    """Check the volume; after a failure hand it back to the scheduler, or set ``error``."""

    def __init__(self) -> None:
        super().__init__(STATUSES, "create")

    def revert(  # type: ignore[override]
        self,
        ctx: Context,
        volume_id: str,
        request_spec: Any,
        filter_properties: dict[str, Any] | None,
        allow_reschedule: bool,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if failed_itself(result):
            return
        volume = ctx.volumes.get(volume_id)
        failure = cause_of(flow_failures)
        if allow_reschedule and may_reschedule(request_spec, filter_properties, failure):
            hand_back(ctx, volume, request_spec, filter_properties or {}, failure)
            return
        self.failed(ctx, volume, failure)
        ctx.messages.create(
            ctx.request,
            volume,
            action=messages.CREATE_VOLUME,
            detail=messages.detail_of(failure, messages.DRIVER_FAILED_CREATE),
        )


class Allocate(Step):
    """Make the volume on the backend and store what the driver says about it.

    Idempotent: on a second try, what the interrupted one left is deleted first;
    nobody can use the volume before ``finish``.
    """

    def execute(self, ctx: Context, volume_id: str) -> None:
        volume = ctx.volumes.get(volume_id)
        edge.positive_gib(volume.size, f"volume {volume_id}")
        driver = ctx.driver
        if ctx.resumed:
            driver.delete_volume(volume)
        call, answer = _create(ctx, volume)
        edge.store(ctx.volumes.update, volume, edge.model_update(answer, volume, call), call)
        _inherit(ctx, volume)

    def revert(self, ctx: Context, volume_id: str, flow_failures: dict[str, Failure]) -> None:
        if not edge.never_reached_driver(flow_failures):
            ctx.driver.delete_volume(ctx.volumes.get(volume_id))


class Finish(Step):
    """Make the volume available and tell that it is.

    Idempotent: a volume that is available already stays so.
    """

    def execute(self, ctx: Context, volume_id: str) -> None:
        volume = ctx.volumes.get(volume_id)
        columns = {
            "launched_at": datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
            "shared_targets": shared_targets(ctx.backend.stats()),
            "service_uuid": ctx.backend.service_uuid,
        }
        if set_finished(ctx, volume, STATUSES.during, "available", **columns) and volume.use_quota:
            shown = volume.replace(status="available", **columns)
            ctx.notifier.volume(ctx.request, "create.end", shown)


def flow() -> linear_flow.Flow:
    """Create a volume.

    Needs ``volume_id``, ``request_spec`` and ``filter_properties`` as they came,
    or None, and ``allow_reschedule``.
    """
    return linear_flow.Flow("create_volume").add(
        BeginCreate(), Allocate("allocate"), Finish("finish")
    )


def may_reschedule(
    request_spec: Any, filter_properties: Mapping[str, Any] | None, failure: Failure
) -> bool:
    """Say whether the scheduler may try another backend (spec/volume-rpc, create_volume)."""
    if not request_spec or not (filter_properties or {}).get("retry"):
        return False
    return failure.check(*NOT_RESCHEDULED) is None


def hand_back(
    ctx: Context,
    volume: Record,
    request_spec: Any,
    filter_properties: Mapping[str, Any],
    failure: Failure,
) -> None:
    """Give the volume back to the scheduler, without a host and still ``creating``.

    The leftover on this backend is gone by now, so it cannot race with the next try.
    """
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    try:
        ctx.volumes.transition(
            volume.id, "creating", when=STATUSES.during, host=None, scheduled_at=now
        )
    except (errors.StatusChanged, errors.NotFound) as error:
        LOG.warning("volume %s is not rescheduled: %s", volume.id, error)
        return
    ctx.workers.offer("Volume", volume.id, "creating")
    retry = {**filter_properties["retry"], "exc": _formatted(failure)}
    onward = volume.replace(status="creating", host=None, scheduled_at=now)
    try:
        ctx.scheduler.create_volume(
            ctx.request, onward, request_spec, {**filter_properties, "retry": retry}
        )
    except Exception as error:  # the bus may raise anything; the volume must not stay creating
        LOG.error("volume %s could not be handed to the scheduler: %s", volume.id, error)
        set_failed(ctx, volume, STATUSES.during, "error", host=volume.host)
        return
    LOG.info("volume %s goes back to the scheduler for another backend", volume.id)


def shared_targets(stats: Mapping[str, Any]) -> bool | None:
    """Return whether attachments must lock the host (spec/volume-rpc, create_volume 10)."""
    if stats.get("shared_targets") is False:
        return False
    protocol = str(stats.get("storage_protocol", "")).lower()
    if protocol.startswith("nvme"):
        return None
    return protocol == "iscsi"


def _create(ctx: Context, volume: Record) -> tuple[str, Any]:
    driver = ctx.driver
    if volume.snapshot_id:
        snapshot = ctx.snapshots.get(volume.snapshot_id)
        return "create_volume_from_snapshot", driver.create_volume_from_snapshot(volume, snapshot)
    if volume.source_volid:
        source = ctx.volumes.get(volume.source_volid)
        return _clone(ctx, volume, source)
    return "create_volume", driver.create_volume(volume)


def _clone(ctx: Context, volume: Record, source: Record) -> tuple[str, Any]:
    """Clone, through a snapshot of the moment where the driver has no clone of its own."""
    driver = ctx.driver
    try:
        return "create_cloned_volume", driver.create_cloned_volume(volume, source)
    except NotImplementedError:
        moment = _moment(source, volume)
    driver.create_snapshot(moment)
    try:
        return "create_volume_from_snapshot", driver.create_volume_from_snapshot(volume, moment)
    finally:
        driver.delete_snapshot(moment)


def _moment(source: Record, volume: Record) -> Record:
    """A snapshot that has no row; its id is the clone's, so that a second try finds it."""
    return Record(
        "snapshot",
        {
            "id": volume.id,
            "name": f"clone-{volume.id}",
            "volume_id": source.id,
            "volume_name": source.name,
            "volume_size": source.size,
            "volume": source,
            "project_id": volume.project_id,
            "status": "creating",
            "provider_location": None,
            "provider_id": None,
            "metadata": {},
        },
    )


def _inherit(ctx: Context, volume: Record) -> None:
    """A bootable source makes a bootable volume with the same image metadata."""
    if volume.snapshot_id:
        snapshot = ctx.snapshots.get(volume.snapshot_id)
        bootable = snapshot.volume.bootable
        source = {"from_snapshot": volume.snapshot_id}
    elif volume.source_volid:
        bootable = ctx.volumes.get(volume.source_volid).bootable
        source = {"from_volume": volume.source_volid}
    else:
        return
    if not bootable:
        return
    try:
        ctx.volumes.copy_image_metadata(volume.id, **source)
        ctx.volumes.update(volume.id, bootable=True)
    except errors.Unavailable:
        raise
    except Exception as error:
        text = f"image metadata of volume {volume.id} could not be copied: {error}"
        raise errors.MetadataCopyFailure(text) from error


def _formatted(failure: Failure) -> list[str]:
    if failure.exc_info is not None:
        return traceback.format_exception(*failure.exc_info)
    return [str(failure.traceback_str), failure.exception_str]
