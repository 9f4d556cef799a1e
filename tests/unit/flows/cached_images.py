# SPDX-License-Identifier: Apache-2.0
"""The image-volume cache in memory, and the operations on it that flows start."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from drivers.interface.records import Record
from flows.volume.image_cache import evict, fill
from tests.unit.flows.world.doubles import Noted
from tests.unit.flows.world.journal import JsonJournal
from tests.unit.flows.world.rows import Database

if TYPE_CHECKING:
    from tests.unit.flows.world.world import World


class ImageCache:
    """Entries over the rows of a database; the last one is the most recently used."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of_image(self, image_id: str) -> Sequence[Record]:
        return [one for one in reversed(self.every()) if one.image_id == image_id]

    def every(self) -> Sequence[Record]:
        return [self._record(entry) for entry in self._db.image_cache]

    def use(self, entry: Record) -> None:
        found = next(one for one in self._db.image_cache if one["id"] == entry.id)
        self._db.image_cache.remove(found)
        self._db.image_cache.append(found)

    def add(self, volume_id: str, image_id: str, version: datetime.datetime | None) -> None:
        row = self._db.volumes.rows[volume_id]
        if row["deleted"] or row["status"] != "available":
            return
        if any(one["volume_id"] == volume_id for one in self._db.image_cache):
            return
        entry = {"image_id": image_id, "volume_id": volume_id, "image_updated_at": version}
        place = {name: row[name] for name in ("host", "cluster_name", "size")}
        self._db.image_cache.append({"id": next(_IDS), **entry, **place})

    def remove(self, entry_id: int) -> None:
        self._db.image_cache[:] = [e for e in self._db.image_cache if e["id"] != entry_id]

    def _record(self, entry: Mapping[str, Any]) -> Record:
        row = self._db.volumes.rows[entry["volume_id"]]
        place = {} if row["deleted"] else {n: row[n] for n in ("host", "cluster_name")}
        status = None if row["deleted"] else row["status"]
        return Record("image_cache_entry", {**entry, **place, "volume_status": status})


class Locks:
    """Locks without other holders."""

    @contextmanager
    def volume(self, volume_id: str) -> Iterator[None]:
        yield

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        yield


class Operations(Noted):
    """Operations that flows have started, each with a journal of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.accepted: dict[str, tuple[Any, dict[str, Any], JsonJournal]] = {}
        self.fills = 0

    def fill_image_cache(self, lock: str, image_id: str, place: Any, pool: Any) -> None:
        if lock in self.accepted:
            return
        self.fills += 1
        volume_id = f"image-{self.fills}"
        args = {"volume_id": volume_id, "image_id": image_id, "place": place, "pool": pool}
        self.accepted[lock] = (fill.flow, args, JsonJournal(gathers=True))

    def fills_image_cache(self, lock: str) -> bool:
        return lock in self.accepted

    def evict_image_volume(self, volume_id: str, image_id: str) -> None:
        args = {"volume_id": volume_id, "image_id": image_id}
        args |= {"unmanage_only": False, "cascade": False}
        self.accepted.setdefault(volume_id, (evict.flow, args, JsonJournal(gathers=True)))

    def run(self, resumed: bool) -> None:
        """Run them to their ends, with those that they start."""
        while self.accepted:
            key = next(iter(self.accepted))
            factory, args, journal = self.accepted[key]
            self._world.run_in(journal, factory, args, resumed=resumed)
            del self.accepted[key]


_IDS = itertools.count(1)
