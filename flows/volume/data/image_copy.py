# SPDX-License-Identifier: Apache-2.0
"""Write an image into a volume, and a volume into an image.

By the driver, or through a connection to this host where it cannot by itself.
Source: seeds, VolumeDriverCore.copy_image_to_volume, copy_volume_to_image.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from oslo_utils import units

from drivers.blockio import BlockFile
from drivers.interface.errors import ImageCopyFailure
from drivers.interface.image import Image, SignatureCheck
from drivers.interface.records import Record
from drivers.interface.volume import ZEROED
from flows.context import ImageContext
from flows.driver_calls import driver_contract
from flows.engine import moved_data
from flows.errors import (
    AttachFailed,
    DetachFailed,
    InvalidInput,
    MetadataCopyFailure,
)
from flows.image import facts
from flows.lifecycle import was_interrupted
from flows.volume.data import encrypted_image, open_volume
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)


def require_fitting_begin(ctx: ImageContext, volume: Record, image: Image) -> None:
    """Look at the begin of an image that is to be read, before its volume is made.

    :raises ImageUnacceptable: the header does not fit the metadata, or the volume.
    """
    with facts.explained(f"the begin of image {image['id']} could not be read"):
        room = encrypted_image.room(ctx, volume, image)
        ctx.images.check_begin(ctx.request, image, room)


def from_image(
    ctx: ImageContext,
    volume: Record,
    image: Image,
    check: SignatureCheck | None,
    *,
    sparse: bool = True,
) -> None:
    """Write an image over a volume that is there.

    :param check: of the image's signature, None for none.
    :param sparse: whether the volume is new, so that a driver whose new volumes read as zeros
        may leave out zeros.
    :raises ImageError: the volume's data is to be thrown away.
    """
    with facts.explained(f"image {image['id']} could not be written to volume {volume.id}"):
        answer = _copied(ctx, volume, image, check, sparse)
        if check is not None:
            check.require_right()
        update = driver_contract.model_update(answer, volume, "copy_image_to_volume")
        driver_contract.store(ctx.volumes.update, volume, update, "copy_image_to_volume")


def to_image(ctx: ImageContext, volume: Record, image: Image) -> None:
    """Write a volume into an image that has no data yet.

    :raises Exception: the image is incomplete and is to be thrown away.
    """
    driver, service = ctx.driver, ctx.images.service
    try:
        answer = driver.copy_volume_to_image(ctx.request, volume, service, image)
    except NotImplementedError:
        pass
    else:
        update = driver_contract.model_update(answer, volume, "copy_volume_to_image")
        driver_contract.store(ctx.volumes.update, volume, update, "copy_volume_to_image")
        return
    _store(ctx, volume, image)


def remove_leftovers(ctx: ImageContext, volume_id: str, result: Any) -> None:
    """Remove everything that a failed or interrupted copy may have left.

    :param result: of the step that is being undone.
    """
    ctx.images.clear(volume_id)
    volume = find(ctx, volume_id)
    if volume is not None and (was_interrupted(result) or ctx.resumed):
        open_volume.release_leftovers(ctx, volume)


def _store(ctx: ImageContext, volume: Record, image: Image) -> None:
    stored = False
    try:
        with open_volume.opened(ctx, volume, write=False) as file:
            placement = facts.placement(volume)
            moved_data.begin(volume.size * units.Gi)
            ctx.images.store(ctx.request, image, file, volume.id, ctx.pace, placement)
            stored = True
    except Exception as error:
        if not stored:
            raise
        # The image has its data, although the volume could not be disconnected.
        LOG.warning(
            "volume %s stays exported to this host: %s", volume.id, driver_contract.masked(error)
        )


def record(
    ctx: ImageContext, volume_id: str, image: Image, verified: Mapping[str, str] | None = None
) -> None:
    """Write the metadata that a volume keeps of its image.

    :param verified: the metadata about the signature; None where the data was not copied.
    :raises MetadataCopyFailure: a property does not fit into its column.
    """
    try:
        ctx.volumes.replace_image_metadata(volume_id, facts.glance_metadata(image, verified or {}))
    except ValueError as error:
        text = f"image metadata of volume {volume_id} does not fit: {error}"
        raise MetadataCopyFailure(text) from error
    ctx.volumes.update(volume_id, bootable=True)


def _copied(
    ctx: ImageContext, volume: Record, image: Image, check: SignatureCheck | None, sparse: bool
) -> Any:
    encrypted_image.room(ctx, volume, image)  # drivers that write images do not look at this
    copy, service = ctx.driver.copy_image_to_volume, ctx.images.for_driver(check)
    sparse = sparse and ctx.backend.stats().get(ZEROED) is True
    options = (
        {}
        if sparse or not driver_contract.takes(copy, "disable_sparse")
        else {"disable_sparse": True}
    )
    try:
        return copy(ctx.request, volume, service, image["id"], **options)
    except NotImplementedError:
        pass
    with _opened_for_image(ctx, volume) as file:
        target = encrypted_image.target(ctx, volume, image, file)
        size = target.size if isinstance(target, BlockFile) else volume.size * units.Gi
        moved_data.begin(size)
        ctx.images.fetch(ctx.request, image, target, size, volume.id, ctx.pace, check)
    return None


@contextlib.contextmanager
def _opened_for_image(ctx: ImageContext, volume: Record) -> Iterator[BinaryIO]:
    """Open a volume for writing.

    :raises ImageCopyFailure: it cannot be opened, or stays attached. An image that cannot be
        written never sends the volume back to the scheduler.
    """
    try:
        with open_volume.opened(ctx, volume, write=True) as file:
            yield file
    except (AttachFailed, DetachFailed, InvalidInput) as error:
        raise ImageCopyFailure(f"volume {volume.id}: {error}") from error
