# SPDX-License-Identifier: Apache-2.0
"""Read an image into a volume of the cache, from which volumes are cloned.

=========  ========================================  ===============================
task       does                                      undone by
=========  ========================================  ===============================
begin      looks whether it is needed still; the     driver.delete_volume; the row
           volume's row, and quota of the internal   goes, and its quota. A volume
           tenant                                    that cannot be deleted stays
                                                     in ``error``
allocate   reads the header of an image that is
           not raw, driver.create_volume
download   ``downloading``; writes the image         temporary files go
finish     ``available``; evicts others for which    (point of no return)
           there is no room, and adds the entry
=========  ========================================  ===============================

The volumes of users are clones of this one, the first one as well. Cinder reads the image
into the first user's volume and clones it into the cache, so that the entry may depend on a
volume of a user, and a failure of the clone may fail the user's volume. Here a failure of this
operation leaves those volumes untouched: they are made of the image itself.

Source: spec/volume-rpc, create_volume, the kind *image*; spec/schema §4.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import ImageCacheContext, ImageCacheOptions, ImageContext, VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, OverQuota, StatusChanged, Unavailable
from flows.factories import registered
from flows.image import facts
from flows.lifecycle import Statuses, Step, failed_itself
from flows.statuses import AttachStatus, VolumeStatus
from flows.volume import create, create_from_image
from flows.volume.data import image_copy
from flows.volume.image_cache import cache_entries
from flows.volume.image_cache.cache_entries import CachePool
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)

STATUSES = Statuses(
    during=(VolumeStatus.CREATING, VolumeStatus.DOWNLOADING),
    success=cache_entries.READY,
    failure={Exception: VolumeStatus.ERROR},
)

ATTACHMENTS = Statuses(during=(AttachStatus.DETACHED,))

READ_ONLY = {"readonly": "True"}
"""Admin metadata of a volume of the cache."""


class Fill(TypedDict):
    """The result of the first step.

    :param needed: whether there was no entry, and quota for one.
    :param version: when the image was changed last.
    """

    needed: bool
    version: str | None


class BeginFill(Step, task="begin"):
    """Look whether the image is in the cache by now; make the row of its volume.

    Idempotent: the row has the id of the operation's arguments, which its reservation has too.
    """

    bookkeeping = True

    default_provides = "fill"

    def claim(self, args: Mapping[str, Any]) -> Claim:
        """Claim the volume until it is used for the first time."""
        return Claim(
            "volume",
            str(args["volume_id"]),
            STATUSES.during,
            unmarked=True,
            on_backend=True,
            unset=("launched_at",),
            makes_row=True,
        )

    def execute(
        self,
        ctx: ImageCacheContext,
        volume_id: str,
        image_id: str,
        place: Mapping[str, Any],
        pool: Mapping[str, str],
    ) -> Fill:
        image, cache = facts.show(ctx, image_id), ctx.options.image_cache
        changed = cache_entries.version(image)
        found = Fill(needed=False, version=changed.isoformat() if changed else None)
        if cache is None or cache_entries.find(ctx, CachePool(**pool), image) is not None:
            _forget(ctx, volume_id)
            return found
        assert ctx.driver is not None  # raises where it is not up, before there is a row
        volume = _make_row(ctx, volume_id, image_id, place, cache)
        if find(ctx, volume_id) is None:
            return found  # it was filled and evicted: the journal is older than the rows
        try:
            ctx.quotas.reserve_for(volume, {"volumes": 1, "gigabytes": volume.size})
        except OverQuota as error:
            LOG.warning("image %s does not come into the cache: %s", image_id, error)
            _forget(ctx, volume_id)
            return found
        ctx.notifier.volume(ctx.request, "create.start", volume)
        return Fill(needed=True, version=found["version"])

    def revert(
        self, ctx: VolumeContext, volume_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        volume = find(ctx, volume_id)
        never_reached = failed_itself(result) or driver_contract.never_reached_driver(flow_failures)
        if volume is not None and not never_reached:
            if not driver_contract.may_delete(ctx.volumes, volume, STATUSES.during):
                return
            try:
                ctx.driver.delete_volume(volume)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the object may be there
                _keep(ctx, volume, error)
                return
        _forget(ctx, volume_id)

    def remove_temporary(
        self, ctx: VolumeContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Give the quota back that was reserved for a volume which was deleted meanwhile."""
        ctx.quotas.rollback([str(known["volume_id"])])


class AllocateImageVolume(Step, task="allocate"):
    """Make the volume on the backend.

    Idempotent: a second try first deletes the remains of the interrupted one.
    """

    def execute(self, ctx: ImageContext, volume_id: str, image_id: str, fill: Fill) -> None:
        if not fill["needed"]:
            return
        volume = ctx.volumes.get(volume_id)
        if ctx.resumed:
            ctx.driver.delete_volume(volume)
        image_copy.require_fitting_begin(ctx, volume, facts.show(ctx, image_id))
        create.store(ctx, volume, "create_volume", ctx.driver.create_volume(volume))


class FillImageVolume(Step, task="download"):
    """Write the image; the volume keeps the metadata about its signature.

    Idempotent: on a second try the image is written anew from its begin.
    """

    moves_data = True

    def execute(self, ctx: ImageContext, volume_id: str, image_id: str, fill: Fill) -> None:
        if not fill["needed"]:
            return
        image = facts.show(ctx, image_id)
        facts.require_fits(ctx, image, ctx.volumes.get(volume_id))
        verified = create_from_image.download(ctx, volume_id, image)
        ctx.volumes.replace_image_metadata(volume_id, verified)

    def revert(self, ctx: ImageContext, volume_id: str, result: Any) -> None:
        image_copy.remove_leftovers(ctx, volume_id, result)


class FinishFill(Step, task="finish"):
    """Make the volume available and add its entry.

    Idempotent: both are done where they are not done yet. A volume whose status has changed
    meanwhile gets no entry.
    """

    bookkeeping = True

    def execute(
        self,
        ctx: ImageCacheContext,
        volume_id: str,
        image_id: str,
        pool: Mapping[str, str],
        fill: Fill,
    ) -> None:
        if not fill["needed"]:
            return
        columns = {**create.launched(ctx), "use_quota": True}
        try:
            ctx.volumes.transition(
                volume_id,
                STATUSES.done,
                when=STATUSES.during,
                commit=[volume_id],
                done=True,
                **columns,
            )
        except (StatusChanged, NotFound) as error:
            LOG.warning("volume %s does not come into the cache: %s", volume_id, error)
            ctx.quotas.rollback([volume_id])
            return
        volume = ctx.volumes.current(volume_id)
        ctx.notifier.volume(ctx.request, "create.end", volume)
        _enter(ctx, volume, image_id, CachePool(**pool), fill["version"])


@registered
def flow() -> linear_flow.Flow:
    """Read an image into a volume of the cache.

    Needs ``volume_id``, ``image_id``, ``place`` with columns of the volume, and ``pool`` with
    the fields of a :class:`CachePool`.
    """
    return linear_flow.Flow("fill_image_cache").add(
        BeginFill(), AllocateImageVolume(), FillImageVolume(), FinishFill()
    )


def has_room(cache: ImageCacheOptions, gib: int) -> bool:
    """Return whether a volume of a size may come into the cache at all."""
    return not cache.max_gib or gib <= cache.max_gib


def victims(cache: ImageCacheOptions, entries: Sequence[Record], gib: int) -> list[Record]:
    """Return the entries to be evicted before one of a size is added.

    :param entries: all of the pool, the least recently used first.
    """
    found, left = [], list(entries)
    while left and not (
        (not cache.max_gib or sum(one.size for one in left) + gib <= cache.max_gib)
        and (not cache.max_count or len(left) < cache.max_count)
    ):
        found.append(left.pop(0))
    return found


def _enter(
    ctx: ImageCacheContext, volume: Record, image_id: str, pool: CachePool, changed: str | None
) -> None:
    """Add an entry, and evict those for which there is no room beside it."""
    cache = ctx.options.image_cache
    with ctx.locks.exclusive(pool.lock):
        if cache is None or not has_room(cache, volume.size):
            LOG.warning("volume %s has no place in the cache any more", volume.id)
            ctx.operations.evict_image_volume(volume.id, image_id)
            return
        others = [one for one in ctx.image_cache.every() if pool.has(one)]
        others = [one for one in others if one.volume_id != volume.id]
        for entry in victims(cache, others, volume.size):
            text = "image %s is evicted from the cache of %s: its limits are reached"
            LOG.info(text, entry.image_id, pool.name)
            cache_entries.evict(ctx, entry)
        moment = datetime.datetime.fromisoformat(changed) if changed else None
        ctx.image_cache.add(volume.id, image_id, moment)


def _make_row(
    ctx: VolumeContext,
    volume_id: str,
    image_id: str,
    place: Mapping[str, Any],
    cache: ImageCacheOptions,
) -> Record:
    """Insert the row; it counts for quota when its reservation is used."""
    return ctx.volumes.create(
        **place,
        id=volume_id,
        project_id=cache.project_id,
        user_id=cache.user_id,
        display_name=f"image-{image_id}",
        status=STATUSES.during[0],
        attach_status=ATTACHMENTS.during[0],
        use_quota=False,
        admin_metadata=READ_ONLY,
    )


def _forget(ctx: VolumeContext, volume_id: str) -> None:
    """Give the quota back and remove the row, in this order: without a row nothing resumes."""
    ctx.quotas.rollback([volume_id])
    if find(ctx, volume_id) is not None:
        ctx.volumes.destroy(volume_id)


def _keep(ctx: VolumeContext, volume: Record, error: Exception) -> None:
    """Keep the row of a volume that is left on the backend, for an administrator."""
    text = driver_contract.masked(error)
    LOG.error("volume %s of the cache could not be removed: %s", volume.id, text)
    ctx.volumes.transition(
        volume.id,
        STATUSES.failed,
        when=STATUSES.during,
        commit=[volume.id],
        done=True,
        use_quota=True,
    )
