# SPDX-License-Identifier: Apache-2.0
"""The image-volume cache as flows use it: protocols.

The worker implements them; tests implement them with plain objects.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from drivers.interface.records import Record


class ImageCacheRecords(Protocol):
    """Rows of ``image_volume_cache_entries`` (spec/schema §4).

    A record has the columns of the entry, ``host`` and ``cluster_name`` as its volume has them
    now, and ``volume_status``, None where the volume is gone.
    """

    def of_image(self, image_id: str) -> Sequence[Record]:
        """Return the entries of an image, the most recently used first."""

    def every(self) -> Sequence[Record]:
        """Return all entries, the least recently used first."""

    def use(self, entry: Record) -> None:
        """Note that a volume is cloned from an entry, and where its volume is now."""

    def add(self, volume_id: str, image_id: str, version: datetime.datetime | None) -> None:
        """Insert the entry of a volume that is ``available`` and has none.

        :param version: when the image was changed last, in UTC without a zone.
        """

    def remove(self, entry_id: int) -> None:
        """Remove an entry, if it is there."""


class ResourceLocks(Protocol):
    """Locks that a step takes beside those of its operation, for a moment.

    A wait for one needs a thread, and not a place among those that run.
    """

    def volume(self, volume_id: str) -> AbstractContextManager[None]:
        """Keep a volume from being changed or deleted; others may do so at the same time."""

    def exclusive(self, name: str) -> AbstractContextManager[None]:
        """Hold a name against all other operations."""


class CacheOperations(Protocol):
    """Operations on the cache, journalled at once and run after the flow that starts them."""

    def fill_image_cache(
        self, lock: str, image_id: str, place: Mapping[str, Any], pool: Mapping[str, str]
    ) -> None:
        """Have an image read into a volume of the cache, unless this process does so already.

        :param lock: that the operation holds exclusively.
        :param place: columns of the volume.
        :param pool: in which it is looked for.
        """

    def fills_image_cache(self, lock: str) -> bool:
        """Return whether this process has an operation that holds a lock exclusively."""

    def evict_image_volume(self, volume_id: str, image_id: str) -> None:
        """Have a volume of the cache deleted; once, however often it is asked for."""
