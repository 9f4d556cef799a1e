# SPDX-License-Identifier: Apache-2.0
"""Clusters of services, and how a service's resources come along into one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception

from flows.statuses import ReplicationStatus
from worker.db import models
from worker.db.column_values import checked, now
from worker.db.criteria import host_parameters, on_host, same

_T = models.clusters

_FIND = sa.select(_T.c.id).where(
    same(_T.c.name, "name"), same(_T.c.binary, "of"), _T.c.deleted == sa.false()
)
_INSERT = sa.insert(_T)
_UPDATE = sa.update(_T).where(
    same(_T.c.name, "name_"), same(_T.c.binary, "of"), _T.c.deleted == sa.false()
)


def _moving(table: sa.Table) -> sa.Update:
    """Give rows of a host the cluster's name, with the pool where the host has one."""
    pool: sa.ColumnElement[str] = sa.func.substr(
        table.c.host, sa.bindparam("pool_from"), type_=sa.String()
    )
    name = sa.bindparam("cluster", type_=sa.String()) + pool
    update = sa.update(table).where(on_host(table.c.host), table.c.cluster_name.is_(None))
    return update.values(cluster_name=name)


_MOVES = [
    _moving(models.volumes),
    _moving(models.groups),
    _moving(models.consistencygroups),
    _moving(models.image_volume_cache_entries),
]


def join(
    connection: sa.Connection, name: str, host: str, binary: str, *, disabled: bool = False
) -> None:
    """Make the cluster where there is none and move a host's resources into it.

    :param disabled: whether a new cluster is disabled.
    """
    if connection.scalar(_FIND, {"name": name, "of": binary}) is None:
        _make(connection, name, binary, disabled)
    if binary == "cinder-volume":
        for move in _MOVES:
            parameters = {**host_parameters(host), "cluster": name, "pool_from": len(host) + 1}
            connection.execute(move, parameters)


def update(connection: sa.Connection, name: str, binary: str, columns: Mapping[str, Any]) -> None:
    """Write columns of a cluster's row."""
    values = {**checked(_T, columns), "updated_at": now()}
    connection.execute(_UPDATE, {**values, "name_": name, "of": binary})


def _make(connection: sa.Connection, name: str, binary: str, disabled: bool) -> None:
    row = {"name": name, "binary": binary, "disabled": disabled, "race_preventer": 0}
    values = {**checked(_T, row), "replication_status": ReplicationStatus.NOT_CAPABLE}
    values["frozen"] = False
    times = {"created_at": now(), "updated_at": now(), "deleted": False}
    try:
        connection.execute(_INSERT, {**values, **times})
    except db_exception.DBDuplicateEntry as error:
        raise db_exception.DBDeadlock(error) from error
