# SPDX-License-Identifier: Apache-2.0
"""Write a volume into an image.

=======  ===========================================  ==============================
task     does                                         undone by
=======  ===========================================  ==============================
begin    checks that it is here and ``uploading``     the image is deleted where it
                                                      has no data;
                                                      ``in-use`` with attachments,
                                                      else ``available``; a message
upload   driver.copy_volume_to_image, or through a    temporary files go
         connection
finish   ``in-use`` with attachments, else            (point of no return)
         ``available``
=======  ===========================================  ==============================

Source: seeds, VolumeDriverCore.copy_volume_to_image; spec/volume-rpc,
copy_volume_to_image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import ImageError
from drivers.interface.image import Image, ImageStatus
from drivers.interface.records import Record
from flows import messages
from flows.context import ImageContext, VolumeContext
from flows.errors import InvalidInput, NotFound
from flows.factories import registered
from flows.image import facts
from flows.image.facts import require_image
from flows.lifecycle import Statuses, Step
from flows.statuses import VolumeStatus
from flows.volume import lifecycle
from flows.volume.data import image_copy, open_volume
from flows.volume.lifecycle import LOG, idle_status, set_failed, set_finished

STATUSES = Statuses(during=(VolumeStatus.UPLOADING,))
"""Success and failure give the status of :data:`flows.volume.lifecycle.IDLE`."""

INCOMPLETE = (ImageStatus.QUEUED, ImageStatus.SAVING, ImageStatus.IMPORTING)
_FORMATS = ("disk_format", "container_format")


class BeginUpload(lifecycle.BeginVolumeOperation):
    """Check the volume; success and failure leave it as usable as before."""

    def __init__(self) -> None:
        super().__init__(STATUSES, None)

    def reopen(self, ctx: VolumeContext, args: Mapping[str, Any]) -> None:
        """Refuse: the image is gone."""
        raise InvalidInput(
            f"volume {args['volume_id']}: its image is gone, upload it to another one"
        )

    def revert(  # type: ignore[override]
        self,
        ctx: ImageContext,
        volume_id: str,
        image_meta: Any,
        result: Any,
        flow_failures: dict[str, Failure],
    ) -> None:
        if not lifecycle.began_elsewhere(ctx, volume_id, result):
            drop(ctx, volume_id, image_meta)
        super().revert(ctx=ctx, volume_id=volume_id, result=result, flow_failures=flow_failures)

    def failed(self, ctx: VolumeContext, volume: Record, failure: Failure) -> None:
        """Restore the volume's status, and write a message for the user."""
        if set_failed(ctx, volume, STATUSES.during, idle_status(ctx, volume.id)):
            action = messages.COPY_VOLUME_TO_IMAGE
            detail = messages.detail_of(action, failure, messages.GLANCE_UPLOAD)
            ctx.messages.create(ctx.request, volume, action=action, detail=detail)


class UploadVolume(Step, task="upload"):
    """Write the volume into the image.

    Idempotent: an image that is active has its data; else it is written anew.
    """

    moves_data = True

    def execute(self, ctx: ImageContext, volume_id: str, image_meta: dict[str, Any]) -> None:
        volume, image = own_image(ctx, volume_id, image_meta)
        if ctx.resumed:
            open_volume.release_leftovers(ctx, volume)
            if image.get("status") == ImageStatus.ACTIVE:
                return
        wanted = {**image, **{k: v for k, v in image_meta.items() if k in _FORMATS}}
        image_copy.to_image(ctx, volume, wanted)

    def revert(self, ctx: ImageContext, volume_id: str, result: Any) -> None:
        image_copy.remove_leftovers(ctx, volume_id, result)


class FinishUpload(Step, task="finish"):
    """Give the volume its status back. Idempotent: it is written again."""

    bookkeeping = True

    def execute(self, ctx: ImageContext, volume_id: str) -> None:
        volume = ctx.volumes.get(volume_id)
        set_finished(ctx, volume, STATUSES.during, idle_status(ctx, volume.id))


@registered
def flow() -> linear_flow.Flow:
    """Write a volume into an image. Needs ``volume_id`` and ``image_meta`` with its ``id``."""
    return linear_flow.Flow("copy_volume_to_image").add(
        BeginUpload(), UploadVolume(), FinishUpload()
    )


def own_image(ctx: ImageContext, volume_id: str, image_meta: Any) -> tuple[Record, Image]:
    """Return a volume, and the image that is to have its data.

    :raises InvalidInput: the image is of another project.
    """
    volume, image_id = ctx.volumes.get(volume_id), require_image(image_meta)["id"]
    image = facts.show(ctx, image_id)
    if not _is_own(ctx, volume, image):
        raise InvalidInput(f"image {image_id} is of another project: it is not written")
    return volume, image


def drop(ctx: ImageContext, volume_id: str, image_meta: Any) -> None:
    """Delete an image that has no data, or half of it, if it was made for the upload."""
    try:
        image_id, service = require_image(image_meta)["id"], ctx.images.service
        image = service.show(ctx.request, image_id)
        volume = lifecycle.find(ctx, volume_id)
        if image["status"] in INCOMPLETE and _is_own(ctx, volume, image):
            service.delete(ctx.request, image_id)
    except (ImageError, InvalidInput, NotFound) as error:
        LOG.warning("an image may be left without data: %s", error)


def _is_own(ctx: ImageContext, volume: Record | None, image: Mapping[str, Any]) -> bool:
    """Return whether an image is of the caller's project, or the service knows no owners."""
    projects = {ctx.request.project_id, volume.project_id if volume is not None else None}
    return image.get("owner") in (None, *projects)
