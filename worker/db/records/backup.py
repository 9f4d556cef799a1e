# SPDX-License-Identifier: Apache-2.0
"""Backups: implements :class:`flows.protocols.records.BackupRecords`."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import BackupNotFound
from flows.statuses import BackupStatus
from worker.db import models
from worker.db.column_values import is_key, now
from worker.db.commit import stop_if_committed
from worker.db.criteria import same
from worker.db.database import Database
from worker.db.records import backup_chains
from worker.db.records.backup_chains import ChainMember
from worker.db.records.base import ResourceRows
from worker.db.records.key_value_tables import KeyValueTable
from worker.db.records.quotas import quota
from worker.db.records.volumes.volume_lists import listed

_T = models.backups

METADATA = KeyValueTable(models.backup_metadata, "backup_id")

_DEFAULTS = {"status": BackupStatus.CREATING, "num_dependent_backups": 0, "object_count": 0}
_CHILDREN = (
    sa.select(_T.c.id)
    .where(_T.c.parent_id == sa.bindparam("which"), _T.c.deleted == sa.false())
    .order_by(_T.c.created_at, _T.c.id)
)
_BEING_MADE = (
    sa.select(_T.c.id)
    .where(
        _T.c.volume_id == sa.bindparam("which"),
        _T.c.status == BackupStatus.CREATING,
        _T.c.deleted == sa.false(),
    )
    .order_by(_T.c.id)
)
_UNDER_WAY = (BackupStatus.CREATING, BackupStatus.RESTORING, BackupStatus.DELETING)
_UNSETTLED = (
    sa.select(_T)
    .where(
        same(_T.c.host, "at"),
        _T.c.deleted == sa.false(),
        sa.or_(
            _T.c.status.in_(_UNDER_WAY),
            sa.and_(
                _T.c.status == BackupStatus.ERROR,
                sa.or_(_T.c.temp_volume_id.is_not(None), _T.c.temp_snapshot_id.is_not(None)),
            ),
        ),
    )
    .order_by(_T.c.created_at, _T.c.id)
)
_NAMING = sa.union_all(
    *(
        sa.select(sa.literal(kind).label("kind"), table.c.id.label("id")).where(
            table.c.encryption_key_id == sa.bindparam("key"), table.c.deleted == sa.false()
        )
        for kind, table in (
            ("volume", models.volumes),
            ("snapshot", models.snapshots),
            ("backup", _T),
        )
    )
)
_KEY = sa.select(_NAMING.subquery())
_COUNT = sa.func.coalesce(_T.c.num_dependent_backups, 0)


def _counting(more: int) -> sa.Update:
    counted = _COUNT + more if more > 0 else sa.case((_COUNT > 0, _COUNT - 1), else_=0)
    of_parent = sa.and_(_T.c.id == sa.bindparam("which"), _T.c.deleted == sa.false())
    return sa.update(_T).where(of_parent).values(num_dependent_backups=counted)


_MORE, _LESS = _counting(1), _counting(-1)


class Backups:
    """Rows of ``backups``."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._rows = ResourceRows(database, _T, "backup", BackupNotFound)

    def get(self, backup_id: str) -> Record:
        """Return the live row."""
        return self.record(self._rows.get(backup_id))

    def find(self, backup_id: str) -> Record | None:
        """Return a row, even a deleted one; None where there never was one."""
        if not is_key(backup_id):
            return None
        row = self._db.read(lambda connection: self._rows.stored(connection, backup_id))
        return None if row is None else self.record(row)

    def create(self, **columns: Any) -> Record:
        """Insert a row; an existing one of that id is returned as it is. Quota is not asked."""
        row = {**_DEFAULTS, "id": str(uuid.uuid4()), **columns}
        row.setdefault("data_timestamp", now())

        def work(connection: sa.Connection) -> dict[str, Any]:
            self._rows.insert(connection, row)
            return self._rows.stored(connection, row["id"]) or {}

        return self.record(self._db.write(work))

    def update(self, backup_id: str, **columns: Any) -> None:
        """Write columns."""
        if columns:
            self._rows.change(backup_id, columns)

    def transition(self, backup_id: str, to: str, *, when: Collection[str], **columns: Any) -> None:
        """Change the status by compare-and-set."""
        self._db.write(
            lambda connection: self._rows.change_status(
                connection, backup_id, to, when, columns, done=False
            )
        )

    def adopt(
        self, backup_id: str, host: str, *, former: Collection[str], when: Collection[str]
    ) -> bool:
        """Write the host of a backup whose operation it has adopted; return whether it changed.

        :param former: hosts from which it may have come.
        :param when: statuses in which the operation is running.
        """
        change = (
            sa.update(_T)
            .where(
                _T.c.id == backup_id,
                _T.c.host.in_(former),
                _T.c.status.in_(when),
                _T.c.deleted == sa.false(),
            )
            .values(host=host)
        )
        return self._db.write(lambda connection: connection.execute(change).rowcount > 0)

    def complete(self, backup_id: str, *, when: Collection[str], **columns: Any) -> None:
        """Make a backup available, and count it with the one that it builds on; once."""

        def work(connection: sa.Connection) -> None:
            if not self._rows.change_status(
                connection, backup_id, BackupStatus.AVAILABLE, when, columns, done=False
            ):
                return
            if parent_id := self._rows.fetch(connection, backup_id)["parent_id"]:
                connection.execute(_MORE, {"which": parent_id})

        self._db.write(work)

    def switch(self, backup_id: str, former: str, *, when: Collection[str], **columns: Any) -> bool:
        """Have a row name another copy of its backup, and count it with its new parent; once."""
        change = (
            sa.update(_T)
            .where(
                _T.c.id == backup_id,
                _T.c.service_metadata == former,
                _T.c.status.in_(when),
                _T.c.deleted == sa.false(),
            )
            .values(**columns)
        )

        def work(connection: sa.Connection) -> bool:
            before = self._rows.stored(connection, backup_id) or {}
            if not connection.execute(change).rowcount:
                stop_if_committed(connection)
                return bool(before.get("service_metadata") == columns["service_metadata"])
            for parent_id, count in ((before["parent_id"], _LESS), (columns["parent_id"], _MORE)):
                if parent_id and before["parent_id"] != columns["parent_id"]:
                    connection.execute(count, {"which": parent_id})
            return True

        return self._db.write(work)

    def destroy(self, backup_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the row, take it off its parent's count, and give its quota back."""

        def work(connection: sa.Connection) -> bool:
            if not self._rows.soft_delete(connection, backup_id, status=BackupStatus.DELETED):
                return False
            row = self._rows.stored(connection, backup_id) or {}
            METADATA.clear(connection, backup_id)
            if row.get("parent_id"):
                connection.execute(_LESS, {"which": row["parent_id"]})
            quota.release(connection, row.get("project_id"), None, release or {})
            return True

        return self._db.write(work)

    def dependants(self, backup_id: str) -> list[str]:
        """Return the ids of the live backups that build on one."""
        return [row.id for row in self._db.rows(_CHILDREN, {"which": backup_id})]

    def being_made_of(self, volume_id: str) -> list[str]:
        """Return the ids of the backups of a volume that are ``creating``."""
        return [row.id for row in self._db.rows(_BEING_MADE, {"which": volume_id})]

    def naming_key(self, key_id: str) -> list[str]:
        """Return the live rows with a key, volumes first, as ``volume 6f1c...``."""
        return [f"{row.kind} {row.id}" for row in self._db.rows(_KEY, {"key": key_id})]

    def unsettled(self, host: str) -> list[Record]:
        """Return the live backups of a host that something is to become of.

        A failed one is among them while it names its source.
        """
        return [self.record(row._asdict()) for row in self._db.rows(_UNSETTLED, {"at": host})]

    def list(self, *, limit: int | None = None, **equal: Any) -> Sequence[Record]:
        """Return live backups by equal columns, the newest first."""
        return [self.record(row) for row in listed(self._db, _T, equal, limit)]

    def chains(self, limit: int, after: int = 0) -> Sequence[Sequence[ChainMember]]:
        """Return chains of live backups, those whose first one is the newest first."""
        return backup_chains.newest(self._db, limit, after)

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it; ``parent`` is a record as well."""
        return Record(
            "backup",
            dict(row),
            {
                "parent": functools.partial(self._parent, row["parent_id"]),
                "metadata": METADATA.reader(self._db, row["id"]),
            },
        )

    def _parent(self, parent_id: str | None) -> Record | None:
        found = self.find(parent_id) if parent_id else None
        return None if found is None or found.deleted else found
