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
from worker.db.criteria import host_parameters, on_host
from worker.db.database import Database
from worker.db.records.volumes.snapshot import Snapshots
from worker.db.records.volumes.volume import Volumes

_G = models.groups

_GROUPS = sa.select(_G).where(_G.c.deleted == sa.false(), on_host(_G.c.host)).order_by(_G.c.id)
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

    :param host: ``host@backend``.
    """

    def __init__(
        self,
        database: Database,
        host: str,
        volumes: Volumes,
        snapshots: Snapshots,
        groups: Mapping[str, Any],
    ) -> None:
        self._db = database
        self._host = host
        self._volumes = volumes
        self._records = {"volume": volumes, "snapshot": snapshots, **groups}

    def volumes(self) -> Iterator[Record]:
        """Return the live volumes."""
        return self._volumes.on_host(self._host)

    def replicated_groups(self) -> Iterable[Record]:
        """Return the live groups whose type asks for replication."""
        rows = self._db.rows(_GROUPS, host_parameters(self._host))
        groups = (self._records["group"].record(row._asdict()) for row in rows)
        return [group for group in groups if _is_replicated(group)]

    def unsettled(self, kind: str, *, column: str, among: Collection[str]) -> list[Record]:
        """Return the live rows in one of some statuses."""
        query = _unsettled(kind, column, among).order_by(_table(kind).c.id)
        rows = self._db.rows(query, host_parameters(self._host))
        return [self._records[kind].record(row._asdict()) for row in rows]

    def have_unsettled(self, wanted: Sequence[tuple[str, str, Collection[str]]]) -> list[bool]:
        """Return for each query whether :meth:`unsettled` returns rows, in one statement."""
        tried = (
            _unsettled(kind, column, among).with_only_columns(_table(kind).c.id).exists()
            for kind, column, among in wanted
        )
        named = (query.label(f"found_{number}") for number, query in enumerate(tried))
        statement = cast(sa.Select[Any], sa.select(*named))
        (row,) = self._db.rows(statement, host_parameters(self._host))
        return [bool(found) for found in row]

    def is_restored(self, volume_id: str) -> bool:
        """Return whether a backup is being restored into a volume."""
        return bool(self._db.rows(_INTO, {"which": volume_id}))


_OWNERS = {
    "snapshot": (models.volumes, "volume_id"),
    "group_snapshot": (models.groups, "group_id"),
    "cgsnapshot": (models.consistencygroups, "consistencygroup_id"),
}
"""The parent of a row without a host of its own, and the column that names it."""


def _table(kind: str) -> sa.Table:
    found: sa.Table = getattr(models, f"{kind}s")
    return found


def _unsettled(kind: str, column: str, among: Collection[str]) -> sa.Select[Any]:
    """Return a query for the live rows of a backend in one of some statuses."""
    table = _table(kind)
    query, host = _of_host(kind)
    query = query.where(
        table.c.deleted == sa.false(), on_host(host), table.c[column].in_(list(among))
    )
    return query.where(sa.not_(_RESTORED)) if kind == "volume" else query


def _of_host(kind: str) -> tuple[sa.Select[Any], sa.Column[Any]]:
    """Return a query for rows of a kind, and the column of their host."""
    table = _table(kind)
    if kind not in _OWNERS:
        return sa.select(table), table.c.host
    owner, column = _OWNERS[kind]
    return sa.select(table).join(owner, owner.c.id == table.c[column]), owner.c.host


def _is_replicated(group: Record) -> bool:
    kind = group.group_type
    return kind is not None and any(kind.group_specs.get(key) == _YES for key in _REPLICATION)
