# SPDX-License-Identifier: Apache-2.0
"""Find the volume of the cache from which a volume of an image can be cloned.

An entry whose volume is gone, or not ``available``, is removed. An entry of an earlier version
of its image is removed as well, and its volume deleted. The place of an entry is that of its
volume, also when the volume was migrated.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from dataclasses import dataclass
from typing import Any

from oslo_utils import timeutils

from drivers.interface.image import Image
from drivers.interface.records import Record
from flows.context import ImageCacheContext, VolumeContext
from flows.statuses import VolumeStatus

LOG = logging.getLogger(__name__)

READY = VolumeStatus.AVAILABLE
"""Status of a volume from which others are cloned."""

_ACROSS_POOLS = "clone_across_pools"
"""Statistic of a driver that clones volumes of one pool into another."""


@dataclass(frozen=True)
class CachePool:
    """The place of the volumes from which a new one can be cloned.

    :param column: of the place in rows: ``host``, or ``cluster_name`` in a cluster.
    :param name: a pool; the whole backend, where the driver clones across pools.
    """

    column: str
    name: str

    @classmethod
    def of(cls, ctx: VolumeContext, volume: Record) -> CachePool:
        """Return the place of a volume."""
        column = "cluster_name" if ctx.backend.cluster and volume.cluster_name else "host"
        name = str(volume[column])
        across = ctx.backend.stats().get(_ACROSS_POOLS) is True
        return cls(column, name.partition("#")[0] if across else name)

    def has(self, entry: Record) -> bool:
        """Return whether the volume of an entry is in this place."""
        found = str(entry[self.column])
        return self.name in (found, found.partition("#")[0])

    @property
    def lock(self) -> str:
        """The lock under which entries are added and evicted."""
        return f"image_cache-{uuid.uuid5(uuid.NAMESPACE_OID, self.name)}"

    def fill_lock(self, image_id: str) -> str:
        """Return the lock of the operation that reads an image into the cache."""
        return f"image-{uuid.uuid5(uuid.NAMESPACE_OID, f'{self.name} {image_id}')}"


def find(ctx: ImageCacheContext, pool: CachePool, image: Image) -> Record | None:
    """Return the entry of an image that was used last; None without one."""
    for entry in ctx.image_cache.of_image(image["id"]):
        if not pool.has(entry):
            continue
        if entry.volume_status != READY:
            state = entry.volume_status or "gone"
            text = "volume %s of image %s in the cache is %s: its entry is removed"
            LOG.warning(text, entry.volume_id, entry.image_id, state)
            ctx.image_cache.remove(entry.id)
        elif entry.image_updated_at != version(image):
            LOG.info("image %s has changed: volume %s is evicted", entry.image_id, entry.volume_id)
            evict(ctx, entry)
        else:
            return entry
    return None


def evict(ctx: ImageCacheContext, entry: Record) -> None:
    """Remove an entry, and have its volume deleted.

    The deletion comes first: after a kill in between it removes the rest, and a repetition of
    this finds it in the journal.
    """
    ctx.operations.evict_image_volume(entry.volume_id, entry.image_id)
    ctx.image_cache.remove(entry.id)


def version(image: Image) -> datetime.datetime | None:
    """Return when an image was changed last, in UTC, as its column keeps it."""
    moment: Any = image.get("updated_at")
    try:
        if isinstance(moment, str):
            moment = timeutils.parse_isotime(moment)
        return timeutils.normalize_time(moment).replace(microsecond=0)
    except (AttributeError, TypeError, ValueError):
        return None
