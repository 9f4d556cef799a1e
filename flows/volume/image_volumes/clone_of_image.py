# SPDX-License-Identifier: Apache-2.0
"""Make a volume of an image without copying its data: from the location of the image.

The driver may know the location (``clone_image``). Where Glance keeps its images in volumes,
``cinder://`` locations name them, and one on this backend is cloned. Such a volume needs the
consent of its owner, since users may give an image any location: it belongs to the project of the
image, or names that project in its metadata.

Source: seeds, VolumeDriverCore.clone_image; spec/volume-rpc, create_volume, the kind *image*.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from oslo_utils import uuidutils

from drivers.interface.image import Image, Locations
from drivers.interface.records import Record
from flows.context import ImageCloneContext, ImageContext
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish, NotFound, Unavailable
from flows.image import facts, signatures
from flows.statuses import VolumeStatus
from flows.volume.data import encrypted_image
from flows.volume.image_cache.cache_entries import CachePool

LOG = logging.getLogger(__name__)

SCHEME = "cinder"
"""Scheme of the location of an image that is kept in a volume."""

IMAGE_OWNER = "image_owner"
"""Metadata of a volume: the project whose image it keeps, where that is another one."""

_READABLE = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)


def clone(ctx: ImageCloneContext, volume: Record, image: Image) -> tuple[str, Any] | None:
    """Make a volume of an image without copying its data.

    :returns: the method of the driver that made it, and its answer; None where the data has to be
        copied: then nothing is left, and the log has the reason.
    :raises ImageError: the data must not be copied, as its signature cannot be verified, or as it
        cannot be read in this volume.
    """
    encrypted_image.room(ctx, volume, image)  # refuses what could not be read
    locations: Locations = None, None
    if not (volume.encryption_key_id or facts.is_packed(image)):
        locations = ctx.images.service.get_location(ctx.request, image["id"]) or locations
        cloned, answer = _by_driver(ctx, volume, image, locations)
        if cloned:
            return "clone_image", answer
    signed = signatures.check(ctx, image) is not None  # it reads the certificate early
    if volume.encryption_key_id:
        reason = "it is encrypted"
    elif facts.is_packed(image):
        reason = "its data has to be unpacked"
    elif signed:
        reason = "its signature is to be verified"
    else:
        answer, reason = _from_image_volume(ctx, volume, image, locations)
        if not reason:
            return "create_cloned_volume", answer
    LOG.info("volume %s gets a copy of image %s, no clone: %s", volume.id, image["id"], reason)
    return None


def _by_driver(
    ctx: ImageContext, volume: Record, image: Image, locations: Locations
) -> tuple[bool, Any]:
    """Ask the driver for a clone.

    :returns: whether it made one, and its columns.
    :raises DriverReturnedRubbish: the answer is neither a pair nor a dict nor None.
    """
    driver, service = ctx.driver, ctx.images.for_driver(None)  # some copy data all the same
    arguments: tuple[Any, ...] = (volume, locations, image["id"], image, service)
    if next(iter(inspect.signature(driver.clone_image).parameters), "") == "context":
        arguments = (ctx.request, volume, locations, image, service)
    try:
        answer = driver.clone_image(*arguments)
    except NotImplementedError:
        return False, None
    if answer is None:
        return False, None
    if isinstance(answer, Mapping):
        return True, answer
    if isinstance(answer, tuple) and len(answer) == 2:
        return bool(answer[1]), answer[0]
    shown = f"{type(answer).__name__} {answer!r:.80}"
    raise DriverReturnedRubbish(f"clone_image of volume {volume.id} returned {shown}")


def _from_image_volume(
    ctx: ImageCloneContext, volume: Record, image: Image, locations: Locations
) -> tuple[Any, str]:
    """Clone a volume that keeps the image; return the driver's answer, or the reason why not."""
    found, urls = [], _urls(locations)
    if not urls:
        return None, "the image service shows no location of it"
    schemes = ", ".join(sorted({url.partition(":")[0] for url in urls}))
    reasons = [f"the driver does not clone the image from its location ({schemes})"]
    if found := _volume_ids(urls):
        if not ctx.options.clone_image_volumes:
            reasons.append(f"{SCHEME} is not in allowed_direct_url_schemes")
            found = []
        elif image.get("disk_format") != "raw":
            reasons.append(f"the disk format of the image is {image.get('disk_format')}, not raw")
            found = []
    for source_id in found:
        answer, obstacle = _of_volume(ctx, source_id, volume, image)
        if not obstacle:
            return answer, ""
        reasons.append(f"volume {source_id} of the image {obstacle}")
    return None, "; ".join(reasons)


def _of_volume(
    ctx: ImageCloneContext, source_id: str, volume: Record, image: Image
) -> tuple[Any, str]:
    """Clone a volume that keeps the image; return the driver's answer, or the reason why not.

    Only a volume that may be cloned is locked: users choose which volume a location names, and
    could have the operation wait for itself, or for a volume of another project.
    """
    source, obstacle = _source(ctx, source_id, volume, image)
    if source is None:
        return None, obstacle
    with ctx.locks.volume(source.id):
        source, obstacle = _source(
            ctx, source.id, volume, image
        )  # its deletion may have come first
        if source is None:
            return None, obstacle
        try:
            return ctx.driver.create_cloned_volume(volume, source), ""
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the image can be read
            text = f"{type(error).__name__}: {driver_contract.masked(error)}"
            ctx.driver.delete_volume(volume)
            return None, f"could not be cloned: {text}"


def _source(
    ctx: ImageCloneContext, source_id: str, volume: Record, image: Image
) -> tuple[Record | None, str]:
    """Return a volume of an image if it may be cloned, else the reason why not."""
    try:
        source = ctx.volumes.current(source_id)
    except NotFound:
        return None, "does not exist here"
    owner, consent = image.get("owner"), (source.metadata or {}).get(IMAGE_OWNER)
    obstacles = {
        "is the new volume itself": source.id == volume.id,
        "is of another project than the image": not owner
        or owner not in (source.project_id, consent),
        f"is on {source.host}": not CachePool.of(ctx, volume).has(source),
        f"is {source.status}": source.status not in _READABLE,
        "is encrypted": bool(source.encryption_key_id),
        f"has {source.size} GiB, more than {volume.size}": source.size > volume.size,
    }
    obstacle = next((text for text, found in obstacles.items() if found), None)
    return (source, "") if obstacle is None else (None, obstacle)


def _urls(locations: Locations) -> list[str]:
    direct, further = locations
    known = [one.get("url") for one in further or () if isinstance(one, Mapping)]
    return [url for url in (direct, *known) if isinstance(url, str)]


def _volume_ids(urls: list[str]) -> list[str]:
    """Return the ids in addresses as ``cinder://ID`` and ``cinder://STORE/ID``."""
    found = []
    for url in urls:
        scheme, _, path = url.partition("://")
        volume_id = path.rpartition("/")[2]
        if scheme == SCHEME and path.count("/") < 2 and uuidutils.is_uuid_like(volume_id):
            found.append(volume_id)
    return list(dict.fromkeys(found))
