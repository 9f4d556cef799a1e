# SPDX-License-Identifier: Apache-2.0
"""Rows as they are stored, deleted ones too, with the rows that refer to them.

For people who look for the history of a resource: nothing here changes a row.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from worker.db import models
from worker.db.column_values import is_key
from worker.db.criteria import ESCAPE, same
from worker.db.database import Database

KINDS: Mapping[str, sa.Table] = {
    "volume": models.volumes,
    "snapshot": models.snapshots,
    "backup": models.backups,
    "group": models.groups,
    "group_snapshot": models.group_snapshots,
    "consistencygroup": models.consistencygroups,
    "cgsnapshot": models.cgsnapshots,
}
"""Tables of resources with an id of their own."""

_RELATED: Mapping[str, Mapping[str, tuple[sa.Table, str]]] = {
    "volume": {
        "attachment": (models.volume_attachment, "volume_id"),
        "snapshot": (models.snapshots, "volume_id"),
        "backup": (models.backups, "volume_id"),
    },
    "snapshot": {"volume": (models.volumes, "snapshot_id")},
    "backup": {"backup": (models.backups, "parent_id")},
    "group": {
        "volume": (models.volumes, "group_id"),
        "group_snapshot": (models.group_snapshots, "group_id"),
    },
    "group_snapshot": {"snapshot": (models.snapshots, "group_snapshot_id")},
}
"""Rows that name a resource, by its kind and theirs."""

_BATCH = 500
"""Rows of one query."""

_MOST = 100
"""Rows of each related kind, the newest ones."""

_WORK = sa.select(models.workers).where(
    sa.func.lower(models.workers.c.resource_type) == sa.bindparam("kind"),
    models.workers.c.resource_id == sa.bindparam("which"),
)


class StoredRows:
    """Reads rows of any kind of resource."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def beginning(self, kind: str, text: str, limit: int) -> list[str]:
        """Return ids of a kind that begin like this."""
        if not is_key(text):
            return []
        column = KINDS[kind].c.id
        escaped = text.replace(ESCAPE, ESCAPE * 2).replace("%", f"{ESCAPE}%")
        pattern = f"{escaped.replace('_', f'{ESCAPE}_')}%"
        query = sa.select(column).where(column.like(pattern, escape=ESCAPE)).order_by(column)
        return [row.id for row in self._db.rows(query.limit(limit)) if row.id.startswith(text)]

    def find(self, kind: str, resource_id: str) -> Record | None:
        """Return a row, even a deleted one; None where there is none of that id."""
        if kind not in KINDS or not is_key(resource_id):
            return None
        table = KINDS[kind]
        query = sa.select(table).where(same(table.c.id, "which"))
        return next(iter(self._read(kind, query, {"which": resource_id})), None)

    def related(self, kind: str, resource_id: str) -> list[Record]:
        """Return the rows that name a resource, the newest of each kind first."""
        found: list[Record] = []
        for other, (table, column) in _RELATED.get(kind, {}).items():
            query = sa.select(table).where(same(table.c[column], "which"))
            newest = query.order_by(table.c.created_at.desc(), table.c.id).limit(_MOST)
            found += self._read(other, newest, {"which": resource_id})
        return found

    def active(
        self, kind: str, begin: datetime.datetime, end: datetime.datetime
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows that existed in a period, deleted ones too, by their ids."""
        table, last = KINDS[kind], ""
        wanted = [
            table.c.created_at < end,
            sa.or_(table.c.deleted == sa.false(), table.c.deleted_at > begin),
        ]
        wanted += [table.c.use_quota == sa.true()] if "use_quota" in table.c else []
        query = sa.select(table).where(*wanted).order_by(table.c.id).limit(_BATCH)
        while rows := self._db.rows(query.where(table.c.id > last)):
            yield from (row._asdict() for row in rows)
            last = rows[-1].id

    def work(self, kind: str, resource_id: str) -> Record | None:
        """Return the row of ``workers``: which service has begun to work on a resource."""
        rows = self._read("work", _WORK, {"kind": kind, "which": resource_id})
        return next(iter(rows), None)

    def messages(self, *, resource_id: str = "", request_ids: Sequence[str] = ()) -> list[Record]:
        """Return the messages for users about a resource, or of requests, the oldest first."""
        columns = models.messages.c
        wanted = sa.or_(
            columns.resource_uuid == resource_id if resource_id else sa.false(),
            columns.request_id.in_(list(request_ids)),
        )
        newest = sa.select(models.messages).where(wanted).order_by(columns.created_at.desc())
        return self._read("message", newest.limit(_MOST), {})[::-1]

    def message(self, message_id: str) -> Record | None:
        """Return one message for users."""
        query = sa.select(models.messages).where(models.messages.c.id == message_id)
        return next(iter(self._read("message", query, {})), None)

    def _read(
        self, kind: str, query: sa.Select[Any], parameters: Mapping[str, Any]
    ) -> list[Record]:
        return [Record(kind, row._asdict()) for row in self._db.rows(query, parameters)]
