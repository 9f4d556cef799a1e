# SPDX-License-Identifier: Apache-2.0
"""Many volumes at once: for a start, a report, an operator's list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.statuses import AttachStatus, VolumeStatus, target_of
from worker.db import models
from worker.db.criteria import BackendRows, on_host
from worker.db.database import Database

_T = models.volumes
_A = models.volume_attachment
_CONNECTED = sa.exists().where(
    _A.c.volume_id == _T.c.id,
    _A.c.deleted == sa.false(),
    sa.or_(_A.c.attach_status == AttachStatus.ATTACHED, _A.c.connector.is_not(None)),
)


class _Statements:
    """The statements about the volumes of a backend, by the column that names it."""

    def __init__(self, column: str) -> None:
        here = sa.and_(_T.c.deleted == sa.false(), on_host(_T.c[column]))
        self.next = (
            sa.select(_T)
            .where(here, _T.c.id > sa.bindparam("after"))
            .order_by(_T.c.id)
            .limit(sa.bindparam("batch"))
        )
        self.next_in_use = self.next.where(sa.or_(_T.c.status == VolumeStatus.IN_USE, _CONNECTED))
        self.next_without_pool = self.next.where(_T.c.host.not_like("%#%"))
        self.allocated = (
            sa.select(_T.c.host, sa.func.coalesce(sa.func.sum(_T.c.size), 0))
            .where(here)
            .group_by(_T.c.host)
        )
        self.count = sa.select(sa.func.count()).select_from(_T).where(here)


_STATEMENTS = {column: _Statements(column) for column in ("host", "cluster_name")}

_COPY = sa.select(_T).where(
    _T.c.deleted == sa.false(), _T.c.migration_status == sa.bindparam("target")
)

BATCH = 500


class VolumeLists:
    """Queries on all volumes of a host or of a project."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, row: Mapping[str, Any]) -> Record:
        """Return a row as flows and drivers see it."""
        raise NotImplementedError

    def on_host(self, place: BackendRows | str, batch: int = BATCH) -> Iterator[Record]:
        """Yield the live volumes of a node, a backend or a pool by id, some at a time.

        Volumes that are made meanwhile may be left out.
        """
        backend = BackendRows.of(place)
        return self._in_batches(_STATEMENTS[backend.column].next, backend, batch)

    def in_use_on_host(self, place: BackendRows | str, batch: int = BATCH) -> Iterator[Record]:
        """Yield those of them that are in use, or that have a connection."""
        backend = BackendRows.of(place)
        return self._in_batches(_STATEMENTS[backend.column].next_in_use, backend, batch)

    def without_pool_on_host(
        self, place: BackendRows | str, batch: int = BATCH
    ) -> Iterator[Record]:
        """Yield those of them whose host names no pool."""
        backend = BackendRows.of(place)
        return self._in_batches(_STATEMENTS[backend.column].next_without_pool, backend, batch)

    def copy_of(self, volume_id: str) -> Record | None:
        """Return the live row that a migration has made for a volume's copy; None without."""
        rows = self._db.rows(_COPY, {"target": target_of(volume_id)})
        return next((self.record(row._asdict()) for row in rows), None)

    def count_on_host(self, place: BackendRows | str) -> int:
        """Return how many live volumes a node, a backend or a pool has."""
        backend = BackendRows.of(place)
        statement = _STATEMENTS[backend.column].count
        return int(self._db.rows(statement, backend.parameters)[0][0])

    def allocated_by_pool(self, place: BackendRows | str) -> dict[str, int]:
        """Return GiB of live volumes per pool of a backend.

        A volume without a pool counts under the backend's name.
        """
        backend = BackendRows.of(place)
        allocated: dict[str, int] = {}
        statement = _STATEMENTS[backend.column].allocated
        for row_host, gib in self._db.rows(statement, backend.parameters):
            pool = str(row_host).partition("#")[2] or backend.name.partition("@")[2]
            allocated[pool] = allocated.get(pool, 0) + int(gib)
        return allocated

    def _in_batches(
        self, wanted: sa.Select[Any], backend: BackendRows, batch: int
    ) -> Iterator[Record]:
        parameters = {**backend.parameters, "after": "", "batch": batch or BATCH}
        while rows := self._db.rows(wanted, parameters):
            yield from (self.record(row._asdict()) for row in rows)
            parameters["after"] = rows[-1].id

    def list(self, *, limit: int | None = None, **equal: Any) -> Sequence[Record]:
        """Return live volumes by equal columns, the newest first."""
        return [self.record(row) for row in listed(self._db, _T, equal, limit)]


def listed(
    database: Database, table: sa.Table, equal: Mapping[str, Any], limit: int | None = None
) -> Sequence[Mapping[str, Any]]:
    """Return live rows by equal columns, the newest first.

    :raises ValueError: an unknown column.
    """
    if unknown := sorted(equal.keys() - table.c.keys()):
        raise ValueError(f"{table.name}.{unknown[0]}: there is no such column")
    wanted = sa.select(table).where(table.c.deleted == sa.false())
    wanted = wanted.where(*(table.c[name] == value for name, value in equal.items()))
    ordered = wanted.order_by(table.c.created_at.desc(), table.c.id).limit(limit)
    return [row._asdict() for row in database.rows(ordered)]
