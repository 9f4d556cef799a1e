# SPDX-License-Identifier: Apache-2.0
"""Clusters of services, and how a service's resources come along into one.

The row of a cluster has its replication state: a service takes that over whenever it starts, as
it may have been down during a failover. Source: spec/service §3.1.
"""

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

_S = models.services

SHARED = ("replication_status", "active_backend_id", "frozen")
"""Columns that a cluster and its services have in common."""

_NAMED = (same(_T.c.name, "name_"), same(_T.c.binary, "of"), _T.c.deleted == sa.false())
FIND = sa.select(_T).where(*_NAMED)
"""Takes the parameters of :func:`named`."""
LIVE = sa.select(_T).where(_T.c.deleted == sa.false()).order_by(_T.c.name, _T.c.id)
_INSERT = sa.insert(_T)
_UPDATE = sa.update(_T).where(*_NAMED)
_UNLESS_SWITCHED = _UPDATE.where(
    sa.or_(
        _T.c.replication_status.is_(None),
        _T.c.replication_status.not_in(
            [ReplicationStatus.FAILING_OVER, ReplicationStatus.FAILED_OVER]
        ),
    )
)
_UPDATE_SERVICES = sa.update(_S).where(
    same(_S.c.cluster_name, "name_"), same(_S.c.binary, "of"), _S.c.deleted == sa.false()
)

_KEPT = (ReplicationStatus.ERROR, ReplicationStatus.FAILOVER_ERROR)
"""Replication statuses with which a service joins a cluster and keeps its own state."""


def _moving(table: sa.Table) -> sa.Update:
    """Give rows of a host the cluster's name, with the pool where the host has one."""
    pool: sa.ColumnElement[str] = sa.func.substr(
        table.c.host, sa.bindparam("pool_from"), type_=sa.String()
    )
    name = sa.bindparam("cluster", type_=sa.String()) + pool
    update = sa.update(table).where(on_host(table.c.host), table.c.cluster_name.is_(None))
    return update.values(cluster_name=name)


RESOURCES = (
    models.volumes,
    models.groups,
    models.consistencygroups,
    models.image_volume_cache_entries,
)
"""Tables of resources with the name of a cluster."""

_MOVES = [_moving(table) for table in RESOURCES]


class OtherCluster(Exception):
    """The row of a service names another cluster than its configuration; the text has both."""


def require_same(host: str, found: str | None, wanted: str | None) -> None:
    """Check the cluster of a service's row.

    The resources of the service have the name of its former cluster, and their casts go to that
    cluster's queue, which a service of another name does not consume.

    :param found: in the row; None for a service that has been in no cluster.
    :param wanted: in the configuration; None for no cluster.
    :raises OtherCluster: it is another one.
    """
    if found is None or found == wanted:
        return
    change = f"rename {found} {wanted}" if wanted else f"leave {host}"
    raise OtherCluster(
        f"{host} belongs to cluster {found}, and the option cluster says {wanted or 'none'}:"
        f" set cluster = {found.partition('@')[0]}, or run: holdfast cluster {change}"
    )


def join(
    connection: sa.Connection, name: str, service: Mapping[str, Any], *, new: bool, disabled: bool
) -> dict[str, Any]:
    """Have a service that starts be a member of a cluster, with the resources of its host.

    Resources that have the name of a cluster keep it.

    :param service: the row of the service.
    :param new: whether the service was in no cluster before.
    :param disabled: whether a new cluster is disabled.
    :returns: the columns that the service takes over from the cluster.
    """
    host, binary = service["host"], service["binary"]
    found = find(connection, name, binary)
    if found is None:
        _make(connection, name, service, disabled)
    if binary == "cinder-volume":
        for move in _MOVES:
            parameters = {**host_parameters(host), "cluster": name, "pool_from": len(host) + 1}
            connection.execute(move, parameters)
    if found is None or (new and service["replication_status"] in _KEPT):
        return {}
    return {column: found[column] for column in SHARED if found[column] != service[column]}


def named(name: str, binary: str) -> dict[str, Any]:
    """Return the parameters of statements about one cluster."""
    return {"name_": name, "of": binary}


def find(connection: sa.Connection, name: str, binary: str) -> dict[str, Any] | None:
    """Return the row of a cluster; None where there is none."""
    row = connection.execute(FIND, named(name, binary)).first()
    return None if row is None else row._asdict()


def update(connection: sa.Connection, name: str, binary: str, columns: Mapping[str, Any]) -> None:
    """Write columns of a cluster's row."""
    values = {**checked(_T, columns), "updated_at": now()}
    connection.execute(_UPDATE, {**values, **named(name, binary)})


def set_replication(connection: sa.Connection, name: str, binary: str, status: str) -> str | None:
    """Write a cluster's replication status unless it fails over, or has; return the status."""
    values = {"replication_status": status, "updated_at": now()}
    connection.execute(_UNLESS_SWITCHED, {**values, **named(name, binary)})
    found = find(connection, name, binary)
    return None if found is None else found["replication_status"]


def update_services(
    connection: sa.Connection, name: str, binary: str, columns: Mapping[str, Any]
) -> None:
    """Write columns of the rows of all services of a cluster."""
    connection.execute(_UPDATE_SERVICES, {**checked(_S, columns), **named(name, binary)})


def _make(connection: sa.Connection, name: str, service: Mapping[str, Any], disabled: bool) -> None:
    row = {"name": name, "binary": service["binary"], "disabled": disabled, "race_preventer": 0}
    values = {**checked(_T, row), **{column: service[column] for column in SHARED}}
    times = {"created_at": now(), "updated_at": now(), "deleted": False}
    try:
        connection.execute(_INSERT, {**values, **times})
    except db_exception.DBDuplicateEntry as error:
        raise db_exception.DBDeadlock(error) from error
