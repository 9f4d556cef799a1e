# SPDX-License-Identifier: Apache-2.0
"""The rows of one backend.

Implements :class:`flows.protocols.service_records.BackendRecords`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.statuses import BackupStatus
from worker.db import models
from worker.db.criteria import BackendRows, on_host
from worker.db.database import Database
from worker.db.records.volumes.snapshot import Snapshots
from worker.db.records.volumes.volume import Volumes

_G = models.groups

_GROUPS = {
    column: sa.select(_G).where(_G.c.deleted == sa.false(), on_host(_G.c[column])).order_by(_G.c.id)
    for column in ("host", "cluster_name")
}
"""By the column that names the backend."""

_REPLICATION = ("group_replication_enabled", "consistent_group_replication_enabled")
_YES = "<is> True"


_V, _B = models.volumes, models.backups

_RESTORED = sa.exists().where(
    _B.c.restore_volume_id == _V.c.id,
    _B.c.status == BackupStatus.RESTORING,
    _B.c.deleted == sa.false(),
)
_INTO = sa.select(_B.c.id).where(
    _B.c.restore_volume_id == sa.bindparam("which"),
    _B.c.status == BackupStatus.RESTORING,
    _B.c.deleted == sa.false(),
)


class HostRecords:
    """The rows of a backend.

    :param backend: the backend's names.
    """

    def __init__(
        self,
        database: Database,
        backend: BackendRows,
        volumes: Volumes,
        snapshots: Snapshots,
        groups: Mapping[str, Any],
    ) -> None:
        self._db = database
        self._backend = backend
        self._volumes = volumes
        self._records = {"volume": volumes, "snapshot": snapshots, **groups}

    def volumes(self) -> Iterator[Record]:
        """Return the live volumes."""
        return self._volumes.on_host(self._backend)

    def replicated_groups(self) -> Iterable[Record]:
        """Return the live groups whose type asks for replication."""
        rows = self._db.rows(_GROUPS[self._backend.column], self._backend.parameters)
        groups = (self._records["group"].record(row._asdict()) for row in rows)
        return [group for group in groups if _is_replicated(group)]

    def unsettled(self, kind: str, *, column: str, among: Collection[str]) -> list[Record]:
        """Return the live rows in one of some statuses."""
        query = self._unsettled(kind, column, among).order_by(_table(kind).c.id)
        rows = self._db.rows(query, self._backend.parameters)
        return [self._records[kind].record(row._asdict()) for row in rows]

    def have_unsettled(self, wanted: Sequence[tuple[str, str, Collection[str]]]) -> list[bool]:
        """Return for each query whether :meth:`unsettled` returns rows, in one statement."""
        tried = (
            self._unsettled(kind, column, among).with_only_columns(_table(kind).c.id).exists()
            for kind, column, among in wanted
        )
        named = (query.label(f"found_{number}") for number, query in enumerate(tried))
        statement = cast(sa.Select[Any], sa.select(*named))
        (row,) = self._db.rows(statement, self._backend.parameters)
        return [bool(found) for found in row]

    def is_restored(self, volume_id: str) -> bool:
        """Return whether a backup is being restored into a volume."""
        return bool(self._db.rows(_INTO, {"which": volume_id}))

    def _unsettled(self, kind: str, column: str, among: Collection[str]) -> sa.Select[Any]:
        """Return a query for the live rows of the backend in one of some statuses."""
        table = _table(kind)
        query, owner = _with_owner(kind)
        named = on_host(owner.c[self._backend.column])
        query = query.where(table.c.deleted == sa.false(), named, table.c[column].in_(list(among)))
        return query.where(sa.not_(_RESTORED)) if kind == "volume" else query


_OWNERS = {
    "snapshot": (models.volumes, "volume_id"),
    "group_snapshot": (models.groups, "group_id"),
    "cgsnapshot": (models.consistencygroups, "consistencygroup_id"),
}
"""The parent of a row without a host of its own, and the column that names it."""


def _table(kind: str) -> sa.Table:
    found: sa.Table = getattr(models, f"{kind}s")
    return found


def _with_owner(kind: str) -> tuple[sa.Select[Any], sa.Table]:
    """Return a query for rows of a kind, and the table with the names of their backend."""
    table = _table(kind)
    if kind not in _OWNERS:
        return sa.select(table), table
    owner, column = _OWNERS[kind]
    return sa.select(table).join(owner, owner.c.id == table.c[column]), owner


def _is_replicated(group: Record) -> bool:
    kind = group.group_type
    return kind is not None and any(kind.group_specs.get(key) == _YES for key in _REPLICATION)
