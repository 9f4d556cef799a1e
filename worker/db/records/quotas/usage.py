# SPDX-License-Identifier: Apache-2.0
"""Rows of ``quota_usages``: locked for a reservation, made from a count where missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from worker.db import models
from worker.db.column_values import now

_T = models.quota_usages
_TYPES = models.volume_types

_LOCKED = (
    sa.select(_T.c.id, _T.c.resource, _T.c.in_use, _T.c.reserved)
    .where(
        _T.c.project_id == sa.bindparam("project"),
        _T.c.resource.in_(sa.bindparam("resources", expanding=True)),
        _T.c.deleted == sa.false(),
    )
    .order_by(_T.c.id)
    .with_for_update()
)
_INSERT = sa.insert(_T)
_TYPE = sa.select(_TYPES.c.id).where(_TYPES.c.name == sa.bindparam("type_name"))

_COUNTED: dict[str, tuple[tuple[sa.Table, sa.Column[int] | None], ...]] = {
    "volumes": ((models.volumes, None),),
    "snapshots": ((models.snapshots, None),),
    "gigabytes": (
        (models.volumes, models.volumes.c.size),
        (models.snapshots, models.snapshots.c.volume_size),
    ),
    "groups": ((models.groups, None),),
    "backups": ((models.backups, None),),
    "backup_gigabytes": ((models.backups, models.backups.c.size),),
}
"""Resource to tables with the column that is summed, None for a count of rows."""

Usage = Any
"""A row: id, resource, in_use, reserved."""


class Usages:
    """Usages of projects.

    :param count_snapshots: whether snapshots count as gigabytes.
    """

    def __init__(self, count_snapshots: bool) -> None:
        self._count_snapshots = count_snapshots

    def locked(
        self, connection: sa.Connection, project_id: str, resources: Mapping[str, int]
    ) -> dict[str, Usage]:
        """Return the rows of resources, locked until the transaction ends."""
        parameters = {"project": project_id, "resources": list(resources)}
        found = {row.resource: row for row in connection.execute(_LOCKED, parameters)}
        missing = [resource for resource in sorted(resources) if resource not in found]
        if not missing:
            return found
        for resource in missing:
            self._make(connection, project_id, resource)
        return {row.resource: row for row in connection.execute(_LOCKED, parameters)}

    def _make(self, connection: sa.Connection, project_id: str, resource: str) -> None:
        row = {
            "project_id": project_id,
            "resource": resource,
            "in_use": self.count(connection, project_id, resource),
            "reserved": 0,
            "race_preventer": True,
            "created_at": now(),
            "updated_at": now(),
            "deleted": False,
        }
        try:
            connection.execute(_INSERT, row)
        except db_exception.DBDuplicateEntry as error:
            # Another reservation made it first: the transaction begins anew and waits for it.
            raise db_exception.DBDeadlock(error) from error

    def count(self, connection: sa.Connection, project_id: str, resource: str) -> int:
        """Return how much of a resource the rows of a project use."""
        name, type_name = _split(resource)
        used = 0
        for table, column in _COUNTED.get(name, ()):
            if name == "gigabytes" and table is models.snapshots and not self._count_snapshots:
                continue
            parameters = {"project": project_id, "type_name": type_name}
            statement = _counting(table, column, type_name is not None)
            used += int(connection.scalar(statement, parameters) or 0)
        return used


def is_counted(resource: str) -> bool:
    """Return whether the rows of a resource can be counted."""
    return _split(resource)[0] in _COUNTED


def _split(resource: str) -> tuple[str, str | None]:
    """Return the resource and the name of the volume type, where it has one."""
    for name in _COUNTED:
        if resource.startswith(f"{name}_") and resource not in _COUNTED:
            return name, resource[len(name) + 1 :]
    return resource, None


def _counting(table: sa.Table, column: sa.Column[int] | None, of_type: bool) -> Any:
    wanted = sa.func.count() if column is None else sa.func.sum(column)
    statement = (
        sa.select(wanted)
        .select_from(table)
        .where(table.c.project_id == sa.bindparam("project"), table.c.deleted == sa.false())
    )
    if "use_quota" in table.c:
        statement = statement.where(table.c.use_quota == sa.true())
    if of_type:
        statement = statement.where(table.c.volume_type_id.in_(_TYPE))
    return statement
