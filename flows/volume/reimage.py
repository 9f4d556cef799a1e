# SPDX-License-Identifier: Apache-2.0
"""Write an image over a volume that is there.

=======  ===========================================  ==============================
task     does                                         undone by
=======  ===========================================  ==============================
begin    checks that it is here and ``downloading``   ``error``; the status that it
                                                      had is the previous one; a
                                                      message
write    driver.copy_image_to_volume, or through a    (the old data is gone)
         connection, or from a snapshot that has it;
         image metadata, bootable
finish   the status that it had before                (point of no return)
tell     compute service, where an instance waits     (it fails nothing)
         for it
=======  ===========================================  ==============================

Source: seeds, VolumeDriverCore.copy_image_to_volume; spec/volume-rpc, reimage.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows import messages
from flows.context import ImageContext, VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidSnapshot
from flows.factories import registered
from flows.image import facts, signatures
from flows.image.facts import require_image
from flows.lifecycle import Statuses, Step, was_interrupted
from flows.statuses import SnapshotStatus, VolumeStatus
from flows.volume import lifecycle
from flows.volume.connections.instance_events import NotifyReimaged
from flows.volume.data import data_copy, encrypted_image, image_copy
from flows.volume.data.image_copy import record
from flows.volume.lifecycle import set_failed, set_finished

STATUSES = Statuses(
    during=(VolumeStatus.DOWNLOADING,),
    success=VolumeStatus.AVAILABLE,
    failure={Exception: VolumeStatus.ERROR},
)
"""A success gives back the previous status, if that is one of :data:`BEFORE`."""

BEFORE = (VolumeStatus.AVAILABLE, VolumeStatus.ERROR, VolumeStatus.RESERVED)
"""Statuses that a volume may have had before, and gets back."""

_READABLE = (SnapshotStatus.AVAILABLE, SnapshotStatus.BACKING_UP)
"""Statuses of a snapshot that a volume can be written from."""


class BeginReimage(lifecycle.BeginVolumeOperation):
    """Check the volume; after a failure its data is neither the old nor the new."""

    def __init__(self) -> None:
        super().__init__(STATUSES, None)

    def failed(self, ctx: VolumeContext, volume: Record, failure: Failure) -> None:
        """Write ``error``, and a message for the user."""
        columns = {"previous_status": STATUSES.during[0]}
        if set_failed(ctx, volume, STATUSES.during, STATUSES.after(failure), **columns):
            action = messages.REIMAGE_VOLUME
            detail = messages.detail_of(action, failure, messages.UNKNOWN_ERROR)
            ctx.messages.create(ctx.request, volume, action=action, detail=detail)


class WriteImage(Step, task="write"):
    """Write the image, and its metadata of the volume. Idempotent: the same data again."""

    moves_data = True

    def execute(
        self, ctx: ImageContext, volume_id: str, image_meta: Any, snapshot_id: str | None
    ) -> None:
        volume, verified = ctx.volumes.get(volume_id), None
        if snapshot_id is not None:
            image = require_image(image_meta)
            data_copy.restore_from_snapshot(ctx, volume, _source(ctx, snapshot_id, volume))
        else:
            image = facts.show(ctx, require_image(image_meta)["id"])
            facts.require_fits(ctx, image, volume)
            encrypted_image.require_its_key(ctx, volume, image)
            check = signatures.check(ctx, image)
            if ctx.resumed:
                ctx.driver.clear_download(ctx.request, volume)
            image_copy.from_image(ctx, volume, image, check, sparse=False)
            verified = signatures.metadata(ctx, check)
        record(ctx, volume_id, image, verified)

    def revert(
        self, ctx: ImageContext, volume_id: str, snapshot_id: str | None, result: Any
    ) -> None:
        image_copy.remove_leftovers(ctx, volume_id, result)
        if snapshot_id is not None and (was_interrupted(result) or ctx.resumed):
            volume, snapshot = ctx.volumes.get(volume_id), ctx.snapshots.get(snapshot_id)
            data_copy.remove_leftovers(ctx, volume, snapshot)

    def remove_temporary(
        self, ctx: ImageContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Remove the temporary volume where the status was reset meanwhile."""
        if self.name in begun and known["snapshot_id"] is not None:
            data_copy.remove_unfinished(ctx, known["volume_id"], known["snapshot_id"])


class FinishReimage(Step, task="finish"):
    """Give the volume the status that it had. Idempotent: it is written again."""

    bookkeeping = True

    def execute(self, ctx: ImageContext, volume_id: str) -> None:
        volume = ctx.volumes.get(volume_id)
        before = volume.previous_status
        set_finished(ctx, volume, STATUSES.during, before if before in BEFORE else STATUSES.done)


@registered
def flow() -> linear_flow.Flow:
    """Write an image over a volume.

    Needs ``volume_id``, ``image_meta`` with its ``id``, and ``snapshot_id`` of a snapshot
    with the image's data, or None.
    """
    return linear_flow.Flow("reimage").add(
        BeginReimage(), WriteImage(), FinishReimage(), NotifyReimaged()
    )


def _source(ctx: ImageContext, snapshot_id: str, volume: Record) -> Record:
    snapshot = ctx.snapshots.get(snapshot_id)
    driver_contract.require_on_this_backend(ctx, snapshot, snapshot.volume)
    if snapshot.status not in _READABLE:
        raise InvalidSnapshot(f"snapshot {snapshot_id} is {snapshot.status}: it has no data")
    if (snapshot.volume_size or 0) > volume.size:
        text = f"has {snapshot.volume_size} GiB, volume {volume.id} only {volume.size}"
        raise InvalidSnapshot(f"snapshot {snapshot_id} {text}")
    encrypted_image.require_like(ctx, volume, snapshot)
    return snapshot
