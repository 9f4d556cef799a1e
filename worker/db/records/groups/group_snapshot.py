# SPDX-License-Identifier: Apache-2.0
"""Snapshots of groups: implements :class:`flows.protocols.records.GroupSnapshotRecords`.

The same for those of generic groups and for cgsnapshots (spec/schema §2).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import GroupSnapshotNotFound
from flows.statuses import GroupSnapshotStatus
from worker.db import models
from worker.db.database import Database
from worker.db.records.groups.group import Groups
from worker.db.records.groups.shared import GroupRows
from worker.db.records.volumes.snapshot import Snapshots


class GroupSnapshots(GroupRows):
    """Rows of ``group_snapshots``, or of ``cgsnapshots``.

    :param groups: for the group of a snapshot.
    :param table: which of the two.
    :param group: the column that names the group.
    :param member: the column of ``snapshots`` that names the group snapshot.
    """

    def __init__(
        self,
        database: Database,
        groups: Groups,
        snapshots: Snapshots,
        table: sa.Table,
        *,
        group: str,
        member: str,
    ) -> None:
        super().__init__(database, table, GroupSnapshotNotFound)
        self._groups, self._snapshots = groups, snapshots
        self._group = group
        column = models.snapshots.c[member]
        self._members = (
            sa.select(models.snapshots)
            .where(column == sa.bindparam("which"), models.snapshots.c.deleted == sa.false())
            .order_by(models.snapshots.c.created_at, models.snapshots.c.id)
        )

    def members(self, group_snapshot_id: str) -> list[Record]:
        """Return the live snapshots of a group snapshot, oldest first."""
        rows = self._db.rows(self._members, {"which": group_snapshot_id})
        return [self._snapshots.record(row._asdict()) for row in rows]

    def update_members(self, group_snapshot_id: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write columns of snapshots, in one transaction; each entry has an ``id``."""
        self._snapshots.update_all(entries)

    def destroy(self, group_snapshot_id: str) -> bool:
        """Soft-delete the row; False when it was gone already."""
        return self._db.write(
            lambda c: self._rows.soft_delete(
                c, group_snapshot_id, status=GroupSnapshotStatus.DELETED
            )
        )

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        group = functools.cache(functools.partial(self._groups.get, row[self._group]))
        loaders: dict[str, Callable[[], Any]] = {
            "group" if self._group == "group_id" else "consistencygroup": group,
            "snapshots": functools.partial(self.members, row["id"]),
        }
        if "group_type_id" in row:
            loaders["group_type"] = lambda: group().group_type
        return Record(self._kind, row, loaders)
