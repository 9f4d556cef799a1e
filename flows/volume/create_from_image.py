# SPDX-License-Identifier: Apache-2.0
"""Create a volume from an image.

=========  ====================================  ================================
task       does                                  undone by
=========  ====================================  ================================
begin      checks that it is here                back to the scheduler, or the
                                                 status ``error`` and a message
allocate   checks that the image fits;           driver.delete_volume
           driver.clone_image, or reads the
           certificate of a signed image, clones
           a volume that keeps an unsigned one,
           reads the header of an image that is
           not raw, driver.create_volume
download   ``downloading``; checks and writes    the image metadata goes
           the image, unless it was cloned;
           image metadata, bootable
finish     the status ``available``              (point of no return)
=========  ====================================  ================================

A failure that has to do with the image ends in ``error`` at once: it would be the same
on every backend.

Source: seeds, VolumeDriverCore.clone_image, copy_image_to_volume; spec/volume-rpc,
create_volume, the kind *image*.
"""

from __future__ import annotations

from typing import Any

from taskflow.patterns import linear_flow

from drivers.interface.image import Image
from flows import errors, messages
from flows.context import ImageCloneContext, ImageContext
from flows.driver_calls import driver_contract
from flows.factories import registered
from flows.image import facts, signatures
from flows.lifecycle import Step
from flows.statuses import VolumeStatus
from flows.volume import create
from flows.volume.create import STATUSES, BeginCreate, FinishCreate
from flows.volume.data import image_copy
from flows.volume.image_volumes import clone_of_image

DOWNLOADING = VolumeStatus.DOWNLOADING
"""Status of a volume while its image is written."""


class AllocateFromImage(create.AllocateVolume, task="allocate"):
    """Make the volume, with the image's data where the driver can clone it.

    Idempotent: a second try first deletes the remains of the interrupted one;
    the volume cannot be used before ``finish``.
    """

    default_provides = "cloned"

    def execute(self, ctx: ImageCloneContext, volume_id: str, image_id: str) -> bool:  # type: ignore[override]
        volume = ctx.volumes.get(volume_id)
        driver_contract.positive_gib(volume.size, f"volume {volume_id}")
        driver = ctx.driver
        image = facts.show(ctx, image_id)
        facts.require_fits(ctx, image, volume)
        if ctx.resumed:
            driver.delete_volume(volume)
        made = clone_of_image.clone(ctx, volume, image)
        if made is None:
            image_copy.require_fitting_begin(ctx, volume, image)
        call, answer = made or ("create_volume", driver.create_volume(volume))
        create.store(ctx, volume, call, answer)
        return made is not None


class DownloadImage(Step, task="download"):
    """Write the image, and its metadata of the volume.

    Idempotent: on a second try the image is written anew from its begin.
    """

    moves_data = True

    def execute(self, ctx: ImageContext, volume_id: str, image_id: str, cloned: bool) -> None:
        image = facts.show(ctx, image_id)
        verified = None if cloned else download(ctx, volume_id, image)
        image_copy.record(ctx, volume_id, image, verified)

    def revert(self, ctx: ImageContext, volume_id: str, result: Any) -> None:
        image_copy.remove_leftovers(ctx, volume_id, result)
        try:
            ctx.volumes.replace_image_metadata(volume_id, {})
        except errors.VolumeNotFound:
            return


def download(ctx: ImageContext, volume_id: str, image: Image) -> dict[str, str]:
    """Write an image into a new volume; return the metadata about its signature."""
    volume, check = ctx.volumes.get(volume_id), signatures.check(ctx, image)
    facts.require_fits(ctx, image, volume)  # it may be another one than a step before
    ctx.volumes.transition(volume_id, DOWNLOADING, when=STATUSES.during)
    ctx.workers.claim("Volume", volume_id, DOWNLOADING)
    if ctx.resumed:
        ctx.driver.clear_download(ctx.request, volume)
    image_copy.from_image(ctx, volume, image, check)
    return signatures.metadata(ctx, check)


@registered
def flow() -> linear_flow.Flow:
    """Create a volume from an image.

    Needs the arguments of :func:`flows.volume.create.flow`, and ``image_id``.
    """
    begin = BeginCreate(messages.COPY_IMAGE_TO_VOLUME, messages.UNKNOWN_ERROR)
    return linear_flow.Flow("create_volume_from_image").add(
        begin, AllocateFromImage("allocate"), DownloadImage(), FinishCreate("finish")
    )
