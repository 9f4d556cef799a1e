# SPDX-License-Identifier: Apache-2.0
"""Volumes: implements :class:`flows.protocols.records.VolumeRecords`."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import MetadataCopyFailure, VolumeNotFound
from flows.statuses import AttachStatus, VolumeStatus
from worker.db import models
from worker.db.column_values import checked, now
from worker.db.database import Database
from worker.db.records import volume_types
from worker.db.records.base import ResourceRows
from worker.db.records.key_value_tables import KeyValueTable
from worker.db.records.quotas import quota
from worker.db.records.volumes.related_rows import VOLUME
from worker.db.records.volumes.volume_lists import VolumeLists
from worker.db.records.volumes.volume_moves import VolumeMoves

_T = models.volumes
_ATTACHMENTS = models.volume_attachment

METADATA = KeyValueTable(models.volume_metadata, "volume_id")
ADMIN_METADATA = KeyValueTable(models.volume_admin_metadata, "volume_id")
IMAGE_METADATA = KeyValueTable(models.volume_glance_metadata, "volume_id")
SNAPSHOT_IMAGE_METADATA = KeyValueTable(models.volume_glance_metadata, "snapshot_id")

SETS = {"metadata": METADATA, "admin_metadata": ADMIN_METADATA}
"""Keys that ``update`` takes besides columns."""

_DEFAULTS = {
    "status": VolumeStatus.CREATING,
    "attach_status": AttachStatus.DETACHED,
    "bootable": False,
    "multiattach": False,
    "use_quota": True,
    "shared_targets": True,
}
_OF_VOLUME = (
    sa.select(_ATTACHMENTS)
    .where(_ATTACHMENTS.c.volume_id == sa.bindparam("which"), _ATTACHMENTS.c.deleted == sa.false())
    .order_by(_ATTACHMENTS.c.created_at, _ATTACHMENTS.c.id)
)
_BY_NAME_ID = sa.select(_T).where(
    _T.c.deleted == sa.false(),
    sa.or_(
        _T.c._name_id == sa.bindparam("which"),
        sa.and_(_T.c.id == sa.bindparam("which"), _T.c._name_id.is_(None)),
    ),
)
_S = models.snapshots
_FOLLOW_TYPE = (
    sa.update(_S)
    .where(_S.c.volume_id == sa.bindparam("which"), _S.c.deleted == sa.false())
    .values(volume_type_id=sa.bindparam("type_id"), updated_at=sa.bindparam("at"))
)
_UUID = "([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"


def named_by(template: str) -> re.Pattern[str]:
    """Return a pattern of names on the backend, with the id as its group."""
    before, _, after = template.partition("%s")
    return re.compile(re.escape(before) + _UUID + re.escape(after))


class Volumes(VolumeMoves, VolumeLists):
    """Rows of ``volumes``.

    :param name_template: makes a volume's name on the backend out of its name id.
    :param default_type: name of the type of volumes that are created without one.
    """

    def __init__(self, database: Database, *, name_template: str, default_type: str) -> None:
        super().__init__(database)
        self._rows = ResourceRows(database, _T, "volume", VolumeNotFound, "Volume")
        self._types = volume_types.VolumeTypes(database)
        self._template = name_template
        self._name = named_by(name_template)
        self._default_type = default_type

    def get(self, volume_id: str) -> Record:
        """Return the live row."""
        return self.record(self._rows.get(volume_id))

    current = get

    def with_columns(self, volume_id: str, **columns: Any) -> Record:
        """Return the live row as it would be with other values."""
        return self.record({**self._rows.get(volume_id), **columns})

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is.

        Without a type it gets the default one; ``metadata`` and ``admin_metadata``
        are taken as well. Quota is not asked.
        """
        sets, columns = _sets(columns)
        row = {**_DEFAULTS, "id": str(uuid.uuid4()), **columns}
        checked(_T, {k: v for k, v in row.items() if k != "volume_type_id"})

        def work(connection: sa.Connection) -> dict[str, Any]:
            if not row.get("volume_type_id"):
                row["volume_type_id"] = volume_types.id_of(connection, self._default_type)
            if self._rows.insert(connection, row):
                for pairs, wanted in sets:
                    pairs.set(connection, row["id"], wanted)
            return self._rows.stored(connection, row["id"]) or {}

        return self.record(self._db.write(work))

    def update(self, volume_id: str, **columns: Any) -> None:
        """Write columns; ``metadata`` and ``admin_metadata`` replace all keys."""
        sets, columns = _sets(columns)
        if not sets:
            return self._rows.change(volume_id, columns) if columns else None

        def work(connection: sa.Connection) -> None:
            self._rows.set_columns(connection, volume_id, columns)
            for pairs, wanted in sets:
                pairs.replace(connection, volume_id, wanted)

        return self._db.write(work)

    def update_all(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write columns of several volumes in one transaction; each entry has an ``id``."""
        wanted = [
            (entry["id"], *_sets({k: v for k, v in entry.items() if k != "id"}))
            for entry in entries
        ]

        def work(connection: sa.Connection) -> None:
            for volume_id, sets, columns in wanted:
                self._rows.set_columns(connection, volume_id, columns)
                for pairs, values in sets:
                    pairs.replace(connection, volume_id, values)

        self._db.write(work)

    def set_columns(
        self, connection: sa.Connection, volume_id: str, columns: Mapping[str, Any]
    ) -> None:
        """Write columns in the caller's transaction."""
        self._rows.set_columns(connection, volume_id, columns)

    def transition(
        self,
        volume_id: str,
        to: str,
        *,
        when: Collection[str],
        commit: Sequence[str] = (),
        rollback: Sequence[str] = (),
        done: bool = False,
        mark: int | None = None,
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set."""
        sets, columns = _sets(columns)

        def work(connection: sa.Connection) -> None:
            quota.stop_if_settled(connection, (*commit, *rollback))
            self._rows.change_status(connection, volume_id, to, when, columns, done, mark)
            if type_id := columns.get("volume_type_id"):
                follow = {"which": volume_id, "type_id": type_id, "at": now()}
                connection.execute(_FOLLOW_TYPE, follow)
            for pairs, wanted in sets:
                pairs.replace(connection, volume_id, wanted)
            quota.settle(connection, commit, used=True)
            quota.settle(connection, rollback, used=False)

        self._db.write(work)

    def destroy(self, volume_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the volume and its related rows, and release its quota."""

        def work(connection: sa.Connection) -> bool:
            deletion = {"status": VolumeStatus.DELETED, "migration_status": None}
            # First of all, as it locks the row against new rows that refer to it.
            if not self._rows.soft_delete(connection, volume_id, **deletion):
                return False
            project_id, type_name = VOLUME.clear(connection, volume_id)
            quota.release(connection, project_id, type_name, release or {})
            return True

        return self._db.write(work)

    def pop_admin_metadata(self, volume_id: str, key: str) -> None:
        """Remove one key of the admin metadata."""
        self._db.write(lambda c: ADMIN_METADATA.remove(c, volume_id, key))

    def set_admin_metadata(self, volume_id: str, **pairs: str) -> None:
        """Set some keys of the admin metadata."""
        wanted = ADMIN_METADATA.check(pairs)

        def work(connection: sa.Connection) -> None:
            self._rows.fetch(connection, volume_id)
            ADMIN_METADATA.set(connection, volume_id, wanted)

        self._db.write(work)

    def copy_image_metadata(
        self,
        volume_id: str,
        *,
        from_volume: str | None = None,
        from_snapshot: str | None = None,
    ) -> None:
        """Copy image metadata of a volume or snapshot to this volume.

        :raises MetadataCopyFailure: a key is there with another value.
        """
        source = IMAGE_METADATA if from_volume else SNAPSHOT_IMAGE_METADATA
        source_id = str(from_volume or from_snapshot)
        self._db.write(
            lambda c: copy_image_metadata(c, source, source_id, IMAGE_METADATA, volume_id)
        )

    def named(self, text: str) -> Record | None:
        """Return the live volume of a name on the backend."""
        found = self._name.fullmatch(text)
        if found is None:
            return None
        for row in self._db.rows(_BY_NAME_ID, {"which": found[1]}):
            return self.record(row._asdict())
        return None

    def replace_image_metadata(self, volume_id: str, pairs: Mapping[str, Any]) -> None:
        """Write the image metadata of a volume, and nothing else of it is left."""
        wanted = IMAGE_METADATA.check(pairs)

        def work(connection: sa.Connection) -> None:
            self._rows.fetch(connection, volume_id)
            IMAGE_METADATA.replace(connection, volume_id, wanted)

        self._db.write(work)

    def qos(self, volume_type_id: str | None) -> dict[str, Any] | None:
        """Return the quality of service of a type."""
        return self._types.qos(volume_type_id)

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        volume_id = row["id"]
        name_id = row["_name_id"] or volume_id
        fields = {**row, "name_id": name_id, "name": self._template % name_id}
        loaders: dict[str, Callable[[], Any]] = {
            "volume_type": functools.partial(self._types.get, row["volume_type_id"]),
            "metadata": METADATA.reader(self._db, volume_id),
            "admin_metadata": ADMIN_METADATA.reader(self._db, volume_id),
            "glance_metadata": IMAGE_METADATA.reader(self._db, volume_id),
            "volume_attachment": functools.partial(attachments, self._db, volume_id),
        }
        return Record("volume", fields, loaders)


def attachments(database: Database, volume_id: str) -> list[Record]:
    """Return the live attachments of a volume, oldest first."""
    rows = database.rows(_OF_VOLUME, {"which": volume_id})
    return [Record("attachment", row._asdict()) for row in rows]


def copy_image_metadata(
    connection: sa.Connection,
    source: KeyValueTable,
    source_id: str,
    target: KeyValueTable,
    target_id: str,
) -> None:
    """Copy image metadata, in the caller's transaction; existing keys may stay.

    :raises MetadataCopyFailure: a key is there with another value.
    """
    wanted, found = source.read(connection, source_id), target.read(connection, target_id)
    if other := sorted(key for key in wanted.keys() & found.keys() if wanted[key] != found[key]):
        raise MetadataCopyFailure(
            f"image metadata of {target_id} has other values than {source_id}: {', '.join(other)}"
        )
    target.set(connection, target_id, wanted)


def _sets(
    columns: dict[str, Any],
) -> tuple[list[tuple[KeyValueTable, dict[str, Any]]], dict[str, Any]]:
    """Part sets of pairs from columns. :raises ValueError: a pair does not fit."""
    rest = {name: value for name, value in columns.items() if name not in SETS}
    sets = [
        (SETS[name], SETS[name].check(value or {}))
        for name, value in columns.items()
        if name in SETS
    ]
    return sets, rest
