# SPDX-License-Identifier: Apache-2.0
"""Create a volume from an image, through the image-volume cache.

=========  ====================================  ================================
task       does                                  undone by
=========  ====================================  ================================
begin      checks that it is here                back to the scheduler, or the
                                                 status ``error`` and a message
clone      checks that the image fits;           driver.delete_volume
           driver.clone_image, or reads the
           certificate of a signed image, clones
           a volume that keeps an unsigned one
cache      chooses a volume of the cache; else
           has the cache filled, and waits for
           that without a thread
allocate   driver.create_cloned_volume, or       driver.delete_volume
           reads the header of an image that is
           not raw, driver.create_volume
download   ``downloading``; checks and writes    the image metadata goes
           the image, unless it was cloned;
           image metadata, bootable
finish     the status ``available``              (point of no return)
=========  ====================================  ================================

A volume that cannot be cloned from the cache, or whose image does not come into it, is made of
the image itself.

Source: spec/volume-rpc, create_volume, the kind *image*; spec/schema §4.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import SnapshotLimitExceeded
from drivers.interface.image import Image
from drivers.interface.records import Record
from flows import messages
from flows.context import ImageCacheContext, ImageContext, VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, OperationDeferred, Unavailable
from flows.factories import registered
from flows.image import facts, signatures
from flows.lifecycle import Step, was_interrupted
from flows.volume import create, create_from_image
from flows.volume.create import BeginCreate, FinishCreate
from flows.volume.data import image_copy, temporary_objects
from flows.volume.image_cache import cache_entries, fill
from flows.volume.image_cache.cache_entries import CachePool
from flows.volume.image_volumes import clone_of_image
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)

_PLACE = ("host", "cluster_name", "availability_zone", "volume_type_id")
"""Columns of a volume that one of the cache has as well."""

_MOST_WAITS = 3
"""How often a volume waits for an image to be read; then it is made of the image itself."""

_LIMIT_REACHED = (SnapshotLimitExceeded.__name__, "SnapshotLimitReached")
"""Errors of a driver that clones no further volume of a source."""


class CloneImage(create.AllocateVolume, task="clone"):
    """Clone the image itself, or a volume that keeps it, where that is possible.

    Idempotent: a second try first deletes the remains of the interrupted one.
    """

    default_provides = "made"

    def execute(self, ctx: ImageCacheContext, volume_id: str, image_id: str) -> bool:  # type: ignore[override]
        volume = ctx.volumes.get(volume_id)
        driver_contract.positive_gib(volume.size, f"volume {volume_id}")
        image = facts.show(ctx, image_id)
        facts.require_fits(ctx, image, volume)
        if ctx.resumed:
            ctx.driver.delete_volume(volume)
        made = clone_of_image.clone(ctx, volume, image)
        if made is not None:
            create.store(ctx, volume, *made)
        return made is not None


class ChooseCachedVolume(Step, task="cache"):
    """Choose the volume of the cache to clone, None to read the image.

    Idempotent: it only asks for an operation, once for all volumes that wait for it.
    """

    bookkeeping = True

    default_provides = "source_id"

    def execute(
        self, ctx: ImageCacheContext, volume_id: str, image_id: str, made: bool
    ) -> str | None:
        volume, cache = ctx.volumes.get(volume_id), ctx.options.image_cache
        if made or cache is None or volume.encryption_key_id:
            return None
        image, pool = facts.show(ctx, image_id), CachePool.of(ctx, volume)
        entry = cache_entries.find(ctx, pool, image)
        if entry is None and not ctx.deferrals:
            self._fill(ctx, volume, image, pool)
        lock = pool.fill_lock(image_id)
        if entry is None and ctx.deferrals < _MOST_WAITS and ctx.operations.fills_image_cache(lock):
            raise OperationDeferred(lock)
        if entry is None or ctx.deferrals:
            ctx.notifier.image_cache(ctx.request, "miss", image_id, volume.host)
        else:
            ctx.notifier.image_cache(ctx.request, "hit", image_id, entry.host)
        if entry is None or entry.size > volume.size or not _is_verified(ctx, image, entry):
            return None
        ctx.image_cache.use(entry)
        return str(entry.volume_id)

    def _fill(self, ctx: ImageCacheContext, volume: Record, image: Image, pool: CachePool) -> None:
        """Have the image read into the cache, and wait for that.

        :raises OperationDeferred: it waits.
        """
        cache, gib = ctx.options.image_cache, facts.disk_gib(image)
        if gib is None:
            LOG.info(
                "image %s does not come into the cache: its disk's size is unknown", image["id"]
            )
            return
        if cache is None or not fill.has_room(cache, gib):
            return
        place = {**{name: volume[name] for name in _PLACE}, "size": gib}
        lock = pool.fill_lock(image["id"])
        named = {"column": pool.column, "name": pool.name}
        ctx.operations.fill_image_cache(lock, image["id"], place, named)
        raise OperationDeferred(lock)


class AllocateFromCache(create.AllocateVolume, task="allocate"):
    """Clone the volume of the cache, or make an empty one for the image.

    Provides the metadata about the image's signature, where the volume has its data.

    Idempotent: a second try first deletes the remains of the interrupted one;
    the volume cannot be used before ``finish``.
    """

    default_provides = "known"

    def execute(  # type: ignore[override]
        self,
        ctx: ImageCacheContext,
        volume_id: str,
        image_id: str,
        made: bool,
        source_id: str | None,
    ) -> dict[str, str] | None:
        if made:
            return {}
        volume = ctx.volumes.get(volume_id)
        if ctx.resumed:
            ctx.driver.delete_volume(volume)
            _remove_temporary_snapshot(ctx, volume, source_id)
        if source_id is not None:
            known = self._clone(ctx, volume, source_id)
            if known is not None:
                return known
        image_copy.require_fitting_begin(ctx, volume, facts.show(ctx, image_id))
        create.store(ctx, volume, "create_volume", ctx.driver.create_volume(volume))
        return None

    def revert(
        self,
        ctx: VolumeContext,
        volume_id: str,
        result: Any,
        flow_failures: dict[str, Failure],
        source_id: str | None = None,
    ) -> None:
        super().revert(ctx=ctx, volume_id=volume_id, result=result, flow_failures=flow_failures)
        volume = find(ctx, volume_id)
        if volume is not None and was_interrupted(result):
            _remove_temporary_snapshot(ctx, volume, source_id)

    def _clone(
        self, ctx: ImageCacheContext, volume: Record, source_id: str
    ) -> dict[str, str] | None:
        """Clone the volume of the cache; return the metadata about its signature.

        It is kept from deletion meanwhile. None: it could not be cloned, and nothing is left.
        """
        with ctx.locks.volume(source_id):
            source = _ready(ctx, source_id)
            if source is None:
                LOG.info("volume %s of the cache was evicted meanwhile", source_id)
                return None
            try:
                call, answer = create.clone(ctx, volume, source)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the image can be read
                _give_up(ctx, volume, source, error)
                return None
            create.store(ctx, volume, call, answer)
            kept = source.glance_metadata or {}
        return {facts.VERIFIED: kept[facts.VERIFIED]} if facts.VERIFIED in kept else {}


class DownloadUnlessCloned(create_from_image.DownloadImage, task="download"):
    """Write the image unless the volume has its data, and its metadata of the volume.

    Idempotent: on a second try the image is written anew from its begin.
    """

    def execute(  # type: ignore[override]
        self, ctx: ImageCacheContext, volume_id: str, image_id: str, known: Mapping[str, str] | None
    ) -> None:
        image = facts.show(ctx, image_id)
        if known is None:
            known = create_from_image.download(ctx, volume_id, image)
        image_copy.record(ctx, volume_id, image, known)


@registered
def flow() -> linear_flow.Flow:
    """Create a volume from an image, with the arguments of ``create_from_image``."""
    begin = BeginCreate(messages.COPY_IMAGE_TO_VOLUME, messages.UNKNOWN_ERROR)
    return linear_flow.Flow("create_volume_from_image").add(
        begin,
        CloneImage("clone"),
        ChooseCachedVolume(),
        AllocateFromCache("allocate"),
        DownloadUnlessCloned(),
        FinishCreate("finish"),
    )


def _is_verified(ctx: ImageContext, image: Image, entry: Record) -> bool:
    """Return whether a volume of the cache has the data that its image's signature wants."""
    if not signatures.is_signed(ctx, image):
        return True
    kept = find(ctx, entry.volume_id)
    return kept is not None and (kept.glance_metadata or {}).get(facts.VERIFIED) == str(True)


def _ready(ctx: VolumeContext, source_id: str) -> Record | None:
    """Return a volume of the cache as it is now; None where it cannot be cloned any more."""
    try:
        source = ctx.volumes.current(source_id)
    except NotFound:
        return None
    return source if source.status == cache_entries.READY else None


def _give_up(ctx: ImageCacheContext, volume: Record, source: Record, error: Exception) -> None:
    """Remove the remains of a clone that failed; the volume is made of its image."""
    text = f"{type(error).__name__}: {driver_contract.masked(error)}"
    LOG.warning("volume %s is not cloned from the cache but made of its image: %s", volume.id, text)
    ctx.driver.delete_volume(volume)
    if type(error).__name__ in _LIMIT_REACHED:
        for entry in ctx.image_cache.every():
            if entry.volume_id == source.id:
                cache_entries.evict(ctx, entry)


def _remove_temporary_snapshot(ctx: VolumeContext, volume: Record, source_id: str | None) -> None:
    """Remove the temporary snapshot of a clone by a driver that has no clones of its own."""
    source = find(ctx, source_id) if source_id else None
    if source is not None:
        ctx.driver.delete_snapshot(temporary_objects.temporary_snapshot(source, volume.id))
