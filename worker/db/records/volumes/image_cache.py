# SPDX-License-Identifier: Apache-2.0
"""Entries of the image-volume cache.

Implements :class:`flows.protocols.image_cache.ImageCacheRecords`. The table is small: an entry
for each image and pool.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.statuses import VolumeStatus
from worker.db import models
from worker.db.column_values import now
from worker.db.database import Database

_E = models.image_volume_cache_entries
_V = models.volumes
_LIVE = sa.and_(_V.c.id == _E.c.volume_id, _V.c.deleted == sa.false())
_PLACE = ("host", "cluster_name")
_SELECT = sa.select(
    *(column for column in _E.c if column.name not in _PLACE),
    sa.case((_V.c.id.is_(None), _E.c.host), else_=_V.c.host).label("host"),
    sa.case((_V.c.id.is_(None), _E.c.cluster_name), else_=_V.c.cluster_name).label("cluster_name"),
    _V.c.status.label("volume_status"),
).select_from(_E.outerjoin(_V, _LIVE))
_OF_IMAGE = _SELECT.where(_E.c.image_id == sa.bindparam("image")).order_by(
    _E.c.last_used.desc(), _E.c.id.desc()
)
_EVERY = _SELECT.order_by(_E.c.last_used, _E.c.id)
_USE = sa.update(_E).where(_E.c.id == sa.bindparam("which"))
_REMOVE = sa.delete(_E).where(_E.c.id == sa.bindparam("which"))
_READY = (
    sa.select(_V.c.host, _V.c.cluster_name, _V.c.size)
    .where(
        _V.c.id == sa.bindparam("volume"),
        _V.c.deleted == sa.false(),
        _V.c.status == VolumeStatus.AVAILABLE,
    )
    .with_for_update()
)
_OF_VOLUME = sa.select(_E.c.id).where(_E.c.volume_id == sa.bindparam("volume"))
_ADD = sa.insert(_E)


class ImageCacheEntries:
    """Rows of ``image_volume_cache_entries``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of_image(self, image_id: str) -> Sequence[Record]:
        """Return the entries of an image, the most recently used first."""
        return [_record(row) for row in self._db.rows(_OF_IMAGE, {"image": image_id})]

    def every(self) -> Sequence[Record]:
        """Return all entries, the least recently used first."""
        return [_record(row) for row in self._db.rows(_EVERY)]

    def use(self, entry: Record) -> None:
        """Note the use of an entry, and the place of its volume."""
        values = {"last_used": now(), **{name: entry[name] for name in _PLACE}}
        self._db.write(lambda c: c.execute(_USE, {"which": entry.id, **values}) and None)

    def add(self, volume_id: str, image_id: str, version: datetime.datetime | None) -> None:
        """Insert the entry of a volume that is available and has none."""

        def work(connection: sa.Connection) -> None:
            volume = connection.execute(_READY, {"volume": volume_id}).first()
            if volume is None or connection.execute(_OF_VOLUME, {"volume": volume_id}).first():
                return
            values = {"volume_id": volume_id, "image_id": image_id, "image_updated_at": version}
            connection.execute(_ADD, {**values, **volume._asdict(), "last_used": now()})

        self._db.write(work)

    def remove(self, entry_id: int) -> None:
        """Remove an entry, if it is there."""
        self._db.write(lambda c: c.execute(_REMOVE, {"which": entry_id}) and None)


def _record(row: sa.Row[tuple[object, ...]]) -> Record:
    return Record("image_cache_entry", row._asdict())
