# SPDX-License-Identifier: Apache-2.0
"""Create a volume: empty, from a snapshot, or from another volume.

=========  ====================================  ================================
task       does                                  undone by
=========  ====================================  ================================
begin      checks that it is here                back to the scheduler, or the
                                                 status ``error`` and a message
allocate   driver.create_volume, or from a       driver.delete_volume
           snapshot, or a clone
finish     the status ``available``              (point of no return)
=========  ====================================  ================================

Source: seeds, VolumeDriverCore.create_volume, create_volume_from_snapshot;
spec/volume-rpc, create_volume.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from oslo_utils import timeutils
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import ImageCopyFailure, ImageError
from drivers.interface.records import Record
from flows import errors, messages
from flows.claims import Claim
from flows.context import CreateContext, VolumeContext
from flows.driver_calls import creation_place, driver_contract
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_interrupted, was_refused
from flows.statuses import VolumeStatus
from flows.volume import reschedule
from flows.volume.data import temporary_objects
from flows.volume.lifecycle import BeginVolumeOperation, find, set_failed

LOG = logging.getLogger(__name__)

STATUSES = Statuses(
    during=(VolumeStatus.CREATING, VolumeStatus.DOWNLOADING),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR},
)


class BeginCreate(BeginVolumeOperation):
    """Check the volume; after a failure return it to the scheduler, or set ``error``.

    :param action: number of the user message about a failure.
    :param detail: the message's detail unless the error has its own.
    :param unmarked: False where the volume stays ``creating`` after the end of the operation.
    """

    def __init__(
        self,
        action: str = messages.CREATE_VOLUME,
        detail: str = messages.DRIVER_FAILED_CREATE,
        *,
        unmarked: bool = True,
    ) -> None:
        super().__init__(STATUSES, "create")
        self._action, self._detail, self._unmarked = action, detail, unmarked

    def claim(self, args: Mapping[str, Any]) -> Claim:
        """Claim the volume until it is used for the first time, as long as it is here."""
        volume_id, unset = str(args["volume_id"]), ("launched_at",)
        return Claim(
            "volume",
            volume_id,
            STATUSES.during,
            unmarked=self._unmarked,
            on_backend=True,
            unset=unset,
        )

    def started(self, ctx: VolumeContext, volume: Record) -> None:
        """Write this host into the row of a cluster's volume, and notify of the start."""
        columns = creation_place.columns(ctx.backend, volume)
        if columns:
            ctx.volumes.update(volume.id, **columns)
        super().started(ctx, volume.replace(**columns))

    def revert(  # type: ignore[override]
        self,
        ctx: CreateContext,
        volume_id: str,
        request_spec: Any,
        filter_properties: dict[str, Any] | None,
        allow_reschedule: bool,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        volume = find(ctx, volume_id)
        if was_refused(result) or volume is None:
            return
        if volume.host and not driver_contract.on_this_backend(ctx, volume):
            LOG.info("volume %s is on %s by now", volume_id, volume.host)
            return
        failure = cause_of(flow_failures)
        if allow_reschedule and reschedule.is_possible(request_spec, filter_properties, failure):
            properties = filter_properties or {}
            detail = _detail_of_try(volume, failure, flow_failures)
            reschedule.return_to_scheduler(
                ctx, volume, STATUSES, request_spec, properties, failure, detail
            )
            return
        if set_failed(ctx, volume, STATUSES.during, STATUSES.after(failure)):
            action, default = self._action, self._detail
            if not failure.check(ImageError):
                action, default = messages.CREATE_VOLUME, messages.DRIVER_FAILED_CREATE
            detail = messages.detail_of(action, failure, default)
            ctx.messages.create(ctx.request, volume, action=action, detail=detail)


class AllocateVolume(Step, task="allocate"):
    """Make the volume on the backend and store the driver's columns.

    Idempotent: a second try first deletes the remains of the interrupted one;
    the volume cannot be used before ``finish``.
    """

    def execute(self, ctx: VolumeContext, volume_id: str, request_spec: Any) -> None:
        volume = ctx.volumes.get(volume_id)
        driver_contract.positive_gib(volume.size, f"volume {volume_id}")
        driver = ctx.driver
        if ctx.resumed:
            driver.delete_volume(volume)
        call, answer = _create(ctx, volume, request_spec)
        store(ctx, volume, call, answer)

    def revert(
        self, ctx: VolumeContext, volume_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        volume = find(ctx, volume_id)
        if driver_contract.never_reached_driver(flow_failures) or volume is None:
            return
        if not driver_contract.may_delete(ctx.volumes, volume, STATUSES.during):
            return
        ctx.driver.delete_volume(volume)
        if volume.source_volid and was_interrupted(result):
            source = ctx.volumes.get(volume.source_volid)
            ctx.driver.delete_snapshot(temporary_objects.temporary_snapshot(source, volume_id))


class FinishCreate(Step, task="finish"):
    """Make the volume available and notify.

    Idempotent: a volume that is available already stays so. Where the row has gone,
    the volume is an orphan and is removed.
    """

    bookkeeping = True

    def execute(self, ctx: VolumeContext, volume_id: str) -> None:
        volume = ctx.volumes.get(volume_id)
        columns = launched(ctx)
        try:
            ctx.volumes.transition(
                volume_id, STATUSES.done, when=STATUSES.during, done=True, **columns
            )
        except errors.StatusChanged as error:
            LOG.warning("volume %s is left as it is: %s", volume_id, error)
            return
        except errors.VolumeNotFound:
            ctx.driver.delete_volume(volume)
            raise
        if volume.use_quota:
            shown = volume.replace(status=STATUSES.done, **columns)
            ctx.notifier.volume(ctx.request, "create.end", shown)


@registered
def flow() -> linear_flow.Flow:
    """Create a volume.

    Needs ``volume_id``, ``request_spec`` and ``filter_properties`` as they came,
    or None, and ``allow_reschedule``.
    """
    return linear_flow.Flow("create_volume").add(
        BeginCreate(), AllocateVolume("allocate"), FinishCreate("finish")
    )


def launched(ctx: VolumeContext) -> dict[str, Any]:
    """Return the columns of a volume when it can be used for the first time."""
    return {
        "launched_at": timeutils.utcnow(),
        "shared_targets": shared_targets(ctx.backend.stats()),
        "service_uuid": ctx.backend.service_uuid,
    }


def shared_targets(stats: Mapping[str, Any]) -> bool | None:
    """Return whether attachments must lock the host (spec/volume-rpc, create_volume 10)."""
    if stats.get("shared_targets") is False:
        return False
    protocol = str(stats.get("storage_protocol", "")).lower()
    if protocol.startswith("nvme"):
        return None
    return protocol == "iscsi"


def _detail_of_try(
    volume: Record, failure: Failure, flow_failures: Mapping[str, Failure]
) -> str | None:
    """Return the detail of the message about a try after which the volume is rescheduled.

    Cinder has one where the driver does not make an empty volume, for an image too.
    """
    of_driver = "allocate" in flow_failures and not volume.snapshot_id and not volume.source_volid
    if not of_driver or driver_contract.never_reached_driver(flow_failures):
        return None
    return messages.detail_of(messages.CREATE_VOLUME, failure, messages.DRIVER_FAILED_CREATE)


def _create(ctx: VolumeContext, volume: Record, request_spec: Any) -> tuple[str, Any]:
    driver = ctx.driver
    if volume.snapshot_id:
        snapshot = ctx.snapshots.get(volume.snapshot_id)
        require_capacity(volume, snapshot.volume_size, f"snapshot {snapshot.id}")
        return "create_volume_from_snapshot", driver.create_volume_from_snapshot(volume, snapshot)
    if volume.source_volid:
        source = ctx.volumes.get(volume.source_volid)
        require_capacity(volume, source.size, f"volume {source.id}")
        return clone(ctx, volume, source)
    for source_kind in ("image", "backup"):
        if source_id := _named(request_spec, f"{source_kind}_id"):
            # An empty volume in place of the data that was asked for would be worse.
            text = f"volume {volume.id} cannot be made from {source_kind} {source_id} here"
            raise ImageCopyFailure(text)
    return "create_volume", driver.create_volume(volume)


def store(ctx: VolumeContext, volume: Record, call: str, answer: Any) -> None:
    """Write the driver's columns of a new volume, and those that its source gives."""
    try:
        update = driver_contract.model_update(answer, volume, call)
        driver_contract.store(ctx.volumes.update, volume, update, call)
        inherit(ctx, volume)
    except errors.VolumeNotFound:
        ctx.driver.delete_volume(volume)  # the revert has no row of the volume
        raise


def require_capacity(volume: Record, size: int | None, source: str) -> None:
    if size and volume.size < size:
        text = f"volume {volume.id} has {volume.size} GiB, {source} needs {size}"
        raise errors.InvalidInput(text)


def _named(request_spec: Any, name: str) -> Any:
    """Look a field up in a request spec, sent as a plain dict or as an object."""
    if not isinstance(request_spec, Mapping):
        return None
    data = request_spec.get("versioned_object.data")
    return (data if isinstance(data, Mapping) else request_spec).get(name)


def clone(ctx: VolumeContext, volume: Record, source: Record) -> tuple[str, Any]:
    """Clone, through a temporary snapshot where the driver has no clone of its own.

    :returns: the method that made it, and its answer.
    """
    driver = ctx.driver
    try:
        return "create_cloned_volume", driver.create_cloned_volume(volume, source)
    except NotImplementedError:
        snapshot = temporary_objects.temporary_snapshot(source, volume.id)
    driver.delete_snapshot(snapshot)  # remains of an interrupted try
    try:
        update = driver_contract.model_update(
            driver.create_snapshot(snapshot), snapshot, "create_snapshot"
        )
        snapshot = snapshot.replace(**update)
        return "create_volume_from_snapshot", driver.create_volume_from_snapshot(volume, snapshot)
    finally:
        driver.delete_snapshot(snapshot)


def inherit(ctx: VolumeContext, volume: Record) -> None:
    """Copy the bootable flag and the image metadata of the source.

    :raises MetadataCopyFailure: the image metadata did not fit.
    """
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
    except (errors.Unavailable, errors.VolumeNotFound):
        raise
    except Exception as error:
        text = f"image metadata of volume {volume.id} could not be copied: {error}"
        raise errors.MetadataCopyFailure(text) from error
