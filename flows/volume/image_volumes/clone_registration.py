# SPDX-License-Identifier: Apache-2.0
"""Give the image service the location of a clone, and find out whether an image needs the clone.

An image whose clone is removed has lost its data. Only an answer of the image service therefore
shows that no image needs a clone; an outage never does.
"""

from __future__ import annotations

import logging
import operator
import time

import tenacity

from drivers.interface.errors import ImageCopyFailure, ImageError, ImageNotFound
from drivers.interface.image import Image, ImageStatus
from drivers.interface.records import Record
from flows.context import CloneUploads, ImageContext
from flows.driver_calls import driver_contract
from flows.image import facts
from flows.volume import upload
from flows.volume.image_volumes import clone_of_image

LOG = logging.getLogger(__name__)

_IMPORT = "os_glance_import_task"
"""Property of an image that Glance looks at before it takes a location."""

_WITH_DATA = (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED, ImageStatus.PENDING_DELETE)
_WITHOUT_DATA = (*upload.INCOMPLETE, ImageStatus.KILLED)

_PAUSE = tenacity.wait_exponential(multiplier=0.2, max=3.0)
"""Seconds between two looks at an image that the image service looks at."""


def register(ctx: ImageContext, volume: Record, image_id: str, made_id: str) -> None:
    """Give an image the location of a volume, and wait until it has its data.

    :raises ImageError: the image service did not take it in time, or does not answer.
    """
    refusal: ImageError | None = None
    image = facts.show(ctx, image_id)
    if not (ctx.resumed and (image.get("status") in _WITH_DATA or _is_looked_at(image))):
        store = facts.placement(volume).get("store_id")
        url = f"{clone_of_image.SCHEME}://{f'{store}/' if store else ''}{made_id}"
        try:
            metadata = {"store": store} if store else {}
            ctx.images.service.add_location(ctx.request, image_id, url, metadata)
        except ImageError as error:
            refusal = error  # its answer may have been lost
    _wait(ctx, image_id, refusal)
    if refusal is not None and not _names(ctx, image_id, made_id):
        raise refusal


def may_go(ctx: ImageContext, made: Record, image_id: str) -> bool:
    """Return whether the image service has said that an image does not need a clone."""
    try:
        image = ctx.images.service.show(ctx.request, image_id)
        status = image.get("status")
        if status in _WITHOUT_DATA and not _is_looked_at(image):
            return True
        if status in _WITH_DATA and _is_elsewhere(ctx, image_id, made.id):
            return True
    except ImageNotFound:
        return True
    except Exception as error:  # noqa: BLE001 - whatever it is, the image may have the clone
        text = "volume %s stays, as it may keep the data of image %s: %s"
        LOG.error(text, made.id, image_id, driver_contract.masked(error))
        return False
    text = "volume %s stays: image %s, which is %s, may have its data there"
    LOG.info(text, made.id, image_id, status)
    return False


def _wait(ctx: ImageContext, image_id: str, refusal: ImageError | None) -> None:
    """Wait until an image has its data, through outages of the image service.

    :raises ImageError: it is without data again, or not ready in time.
    """
    timeout, begun = (ctx.options.clone_uploads or CloneUploads()).timeout, time.monotonic()

    def has_data() -> bool:
        image = _look(ctx, image_id)
        if image is not None:
            status = image.get("status")
            if status in _WITH_DATA:
                return True
            if not _is_looked_at(image):
                text = f"it is {status} again, the log of the image service has the reason"
                raise refusal or ImageCopyFailure(text)
        waited = time.monotonic() - begun
        if waited > timeout:
            raise ImageCopyFailure(f"it is not active after {timeout:.0f} s")
        # The growing fraction shows that nothing is stuck; the call ends an operation that is to.
        ctx.progress(min(1.0, waited / max(timeout, 1.0)))
        return False

    def pause(seconds: float) -> None:
        ctx.pause(seconds)

    until_ready = tenacity.retry_if_result(operator.not_)
    tenacity.Retrying(retry=until_ready, wait=_PAUSE, sleep=pause)(has_data)


def _look(ctx: ImageContext, image_id: str) -> Image | None:
    """Return an image; None where the image service does not answer.

    :raises ImageNotFound: it has been deleted.
    """
    try:
        return facts.show(ctx, image_id)
    except ImageNotFound:
        raise
    except ImageError as error:
        text = "image %s gets its location, and cannot be looked at for now: %s"
        LOG.warning(text, image_id, driver_contract.masked(error))
        return None


def _is_looked_at(image: Image) -> bool:
    """Return whether the image service has been given a location, and looks at the data."""
    waiting = image.get("status") == ImageStatus.QUEUED and _IMPORT in (
        image.get("properties") or {}
    )
    return image.get("status") == ImageStatus.IMPORTING or waiting


def _names(ctx: ImageContext, image_id: str, made_id: str) -> bool:
    """Return whether a location of an image names a volume."""
    direct, further = ctx.images.service.get_location(ctx.request, image_id)
    return any(made_id in str(one) for one in (direct, *(further or ())))


def _is_elsewhere(ctx: ImageContext, image_id: str, made_id: str) -> bool:
    """Return whether all locations of an image are known, and none names a volume."""
    _direct, further = ctx.images.service.get_location(ctx.request, image_id)
    return bool(further) and not _names(ctx, image_id, made_id)
