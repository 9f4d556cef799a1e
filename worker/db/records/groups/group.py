# SPDX-License-Identifier: Apache-2.0
"""Groups of volumes: implements :class:`flows.protocols.records.GroupRecords`.

The same for generic groups and for the consistency groups of old, which differ in
their table and in the column by which a volume names its group (spec/schema §2).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import GroupNotFound, StatusChanged
from flows.statuses import GroupStatus
from worker.db import models
from worker.db.column_values import now
from worker.db.commit import stop_if_committed
from worker.db.database import Database
from worker.db.records.groups.shared import GroupRows
from worker.db.records.key_value_tables import KeyValueTable
from worker.db.records.quotas import quota
from worker.db.records.volume_types import VolumeTypes
from worker.db.records.volumes.volume import Volumes

_TYPES = models.group_types
_MAPPING = models.group_volume_type_mapping
_SPECS = KeyValueTable(models.group_type_specs, "group_type_id")

_TYPE = sa.select(_TYPES).where(_TYPES.c.id == sa.bindparam("which"))
_VOLUME_TYPES = (
    sa.select(_MAPPING.c.volume_type_id)
    .where(_MAPPING.c.group_id == sa.bindparam("which"), _MAPPING.c.deleted == sa.false())
    .order_by(_MAPPING.c.id)
)
_FORGET_TYPES = sa.update(_MAPPING).where(
    _MAPPING.c.group_id == sa.bindparam("which"), _MAPPING.c.deleted == sa.false()
)

_WORK = {"groups": "Group", "consistencygroups": "ConsistencyGroup"}
"""Names of the two kinds in ``workers``."""


class Groups(GroupRows):
    """Rows of ``groups``, or of ``consistencygroups``.

    :param table: which of the two.
    :param member: the column of ``volumes`` that names the group.
    """

    def __init__(self, database: Database, volumes: Volumes, table: sa.Table, member: str) -> None:
        super().__init__(database, table, GroupNotFound, _WORK[table.name])
        self._volumes = volumes
        self._member = member
        self._types = VolumeTypes(database)
        column = models.volumes.c[member]
        self._members = (
            sa.select(models.volumes)
            .where(column == sa.bindparam("which"), models.volumes.c.deleted == sa.false())
            .order_by(models.volumes.c.created_at, models.volumes.c.id)
        )

    def members(self, group_id: str) -> list[Record]:
        """Return the live volumes of a group, oldest first."""
        rows = self._db.rows(self._members, {"which": group_id})
        return [self._volumes.record(row._asdict()) for row in rows]

    def update_members(self, group_id: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write columns of volumes, in one transaction; each entry has an ``id``."""
        self._volumes.update_all(entries)

    def change_members(self, group_id: str, add: Iterable[str], remove: Iterable[str]) -> None:
        """Let volumes join and leave, in one transaction."""

        def work(connection: sa.Connection) -> None:
            for volume_id in add:
                self._volumes.set_columns(connection, volume_id, {self._member: group_id})
            for volume_id in remove:
                self._volumes.set_columns(connection, volume_id, {self._member: None})

        self._db.write(work)

    def set_replication(
        self,
        group_id: str,
        to: str,
        *,
        when: str,
        status: str | None = None,
        members_status: str | None = None,
        mark: int | None = None,
    ) -> None:
        """Change the replication status of a group and of its members by compare-and-set."""
        of_group = {"replication_status": to, **({"status": status} if status else {})}
        more = {"status": members_status} if members_status else {}
        of_members = {"replication_status": to, **more, "updated_at": now()}
        volumes = models.volumes
        members = sa.update(volumes).where(
            volumes.c[self._member] == group_id,
            volumes.c.deleted == sa.false(),
            volumes.c.replication_status == when,
        )

        def work(connection: sa.Connection) -> None:
            found = self._rows.fetch(connection, group_id)["replication_status"]
            if found not in (when, to):
                stop_if_committed(connection)
                raise StatusChanged(f"the replication of group {group_id}", found, (when,))
            connection.execute(members.values(of_members))
            if found == when:
                self._rows.set_columns(connection, group_id, of_group)
                if mark is not None:
                    self._rows.require_mark(connection, group_id, mark)

        self._db.write(work)

    def destroy(self, group_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the group and give its quota back; False when it was gone already."""

        def work(connection: sa.Connection) -> bool:
            if not self._rows.soft_delete(connection, group_id, status=GroupStatus.DELETED):
                return False
            deletion = {"deleted": True, "deleted_at": now(), "which": group_id}
            connection.execute(_FORGET_TYPES, deletion)
            row = self._rows.stored(connection, group_id) or {}
            quota.release(connection, row.get("project_id"), None, release or {})
            return True

        return self._db.write(work)

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        group_id = row["id"]
        loaders: dict[str, Callable[[], Any]] = {
            "volumes": functools.partial(self.members, group_id)
        }
        if "group_type_id" in row:
            loaders |= {
                "group_type": functools.partial(self._group_type, row["group_type_id"]),
                "volume_type_ids": functools.partial(self._type_ids, group_id),
                "volume_types": lambda: [self._types.get(i) for i in self._type_ids(group_id)],
            }
        return Record(self._kind, row, loaders)

    def _insert(self, connection: sa.Connection, row: dict[str, Any]) -> None:
        """Insert a row; ``volume_type_ids`` of a generic group is taken as well."""
        columns = {name: value for name, value in row.items() if name != "volume_type_ids"}
        if not self._rows.insert(connection, columns):
            return
        times = {"created_at": now(), "deleted": False}
        for type_id in row.get("volume_type_ids", ()):
            values = {"group_id": row["id"], "volume_type_id": type_id, **times}
            connection.execute(sa.insert(_MAPPING), values)

    def _type_ids(self, group_id: str) -> list[str]:
        return [str(row[0]) for row in self._db.rows(_VOLUME_TYPES, {"which": group_id})]

    def _group_type(self, type_id: str | None) -> Record | None:
        """Return a group's type with its ``group_specs``, even a deleted one."""

        def work(connection: sa.Connection) -> Record | None:
            row = connection.execute(_TYPE, {"which": type_id}).mappings().first()
            if row is None:
                return None
            return Record("group_type", {**row, "group_specs": _SPECS.read(connection, row["id"])})

        return self._db.read(work) if type_id else None
