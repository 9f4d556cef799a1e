# SPDX-License-Identifier: Apache-2.0
"""Rows of ``services``: how the API and the scheduler know us (spec/service §3)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.statuses import ReplicationStatus
from worker.db import models
from worker.db.column_values import checked, now
from worker.db.criteria import host_parameters, on_host, same
from worker.db.database import Database
from worker.db.records.services import cluster as clusters

_T = models.services
_V = models.volumes

_NAMED = sa.and_(same(_T.c.host, "at"), same(_T.c.binary, "of"))
_ALIVE = sa.and_(_NAMED, _T.c.deleted == sa.false())
_FIND = sa.select(_T).where(_NAMED).order_by(_T.c.id)
_BY_ID = sa.select(_T).where(_T.c.id == sa.bindparam("which"))
_LIVE = sa.select(_T).where(_T.c.deleted == sa.false()).order_by(_T.c.binary, _T.c.host, _T.c.id)
_UPDATE = sa.update(_T).where(_T.c.id == sa.bindparam("which"))
_REMOVE = _UPDATE.where(_T.c.deleted == sa.false())
_INSERT = sa.insert(_T)
_BEAT = (
    sa.update(_T)
    .where(_ALIVE)
    .values(
        report_count=_T.c.report_count + 1,
        updated_at=sa.bindparam("at_time"),
        availability_zone=sa.bindparam("zone"),
    )
)
_COUNT = sa.select(_T.c.report_count).where(_ALIVE).order_by(_T.c.id)
_REPLICATION = (
    sa.update(_T)
    .where(
        _T.c.id == sa.bindparam("which"),
        sa.or_(
            _T.c.replication_status.is_(None),
            _T.c.replication_status != ReplicationStatus.FAILED_OVER,
        ),
    )
    .values(replication_status=sa.bindparam("to"))
)
_ADOPT = (
    sa.update(_V)
    .where(_V.c.service_uuid.is_(None), _V.c.deleted == sa.false(), on_host(_V.c.host))
    .values(service_uuid=sa.bindparam("uuid_"))
)


class Services:
    """Rows of ``services``.

    :param enable_new: whether a service, or cluster, is enabled when its row is made.
    """

    def __init__(self, database: Database, *, enable_new: bool = True) -> None:
        self._db = database
        self._enable_new = enable_new

    def ensure(
        self,
        *,
        host: str,
        binary: str,
        topic: str,
        availability_zone: str,
        rpc_version: str,
        object_version: str,
        cluster: str | None = None,
    ) -> Record:
        """Find or make the row of (host, binary) and bring its versions up to date.

        Volumes of this host that lack a service's uuid get the new one's. A service in a
        cluster takes the resources of its host along, and takes over the cluster's replication
        state.

        :raises OtherCluster: the row names another cluster; nothing is written.
        """
        current = {
            "topic": topic,
            "rpc_current_version": rpc_version,
            "object_current_version": object_version,
            "cluster_name": cluster,
        }
        fresh = {"host": host, "binary": binary, "availability_zone": availability_zone, **current}
        disabled = not self._enable_new
        checked(_T, fresh)

        def work(connection: sa.Connection) -> dict[str, Any]:
            row, last = _find(connection, host, binary)
            was = None if row is None else row["cluster_name"]
            clusters.require_same(host, was, cluster)
            if row is None:
                row = _make(connection, {**fresh, "disabled": disabled}, last)
            elif any(row[name] != value for name, value in current.items()):
                connection.execute(_UPDATE, {**current, "which": row["id"]})
                row |= current
            if cluster:
                new = was is None
                taken = clusters.join(connection, cluster, row, new=new, disabled=disabled)
                if taken:
                    connection.execute(_UPDATE, {**taken, "which": row["id"]})
                    row |= taken
            return row

        return Record("service", self._db.write(work))

    def heartbeat(self, *, host: str, binary: str, availability_zone: str) -> int | None:
        """Show that the service lives.

        :returns: how many heartbeats its row has had; None when the row is gone.
        :raises Unavailable: at once; the next heartbeat is the retry.
        """
        named = {"at": host, "of": binary}
        values = {**named, "zone": availability_zone, "at_time": now()}

        def work(connection: sa.Connection) -> int | None:
            connection.execute(_BEAT, values)
            return connection.scalar(_COUNT, named)

        return self._db.write(work, retry_outages=False)

    def get(self, service_id: int) -> Record | None:
        """Return a row, even a deleted one; None where there is none."""
        for row in self._db.rows(_BY_ID, {"which": service_id}):
            return Record("service", row._asdict())
        return None

    def list(self, **equal: Any) -> Sequence[Record]:
        """Return live rows by equal columns."""
        rows = [row._asdict() for row in self._db.rows(_LIVE)]
        wanted = [row for row in rows if all(row[name] == equal[name] for name in equal)]
        return [Record("service", row) for row in wanted]

    @staticmethod
    def is_up(row: Record, down_after: float) -> bool:
        """Return whether a service counts as up: see :func:`is_up`."""
        return is_up(row, down_after)

    def serving(self, host: str) -> Record | None:
        """Return the volume service of ``host@backend#pool``; None where there is none."""
        backend = host.split("#", 1)[0]
        return next(iter(self.list(host=backend, binary="cinder-volume")), None)

    def set_replication_status(self, service_id: int, status: str) -> None:
        """Write the replication status, unless the service is failed over."""
        self._db.change(_REPLICATION, {"which": service_id, "to": status})

    def update(self, service_id: int, **columns: Any) -> None:
        """Write columns; it lives no longer for that (``updated_at``)."""
        if "disabled" in columns:
            columns["modified_at"] = now()
        if columns:
            self._db.change(_UPDATE, {**checked(_T, columns), "which": service_id})

    def remove(self, service_id: int) -> bool:
        """Mark a row as deleted; return whether it was a live one."""
        values = {"which": service_id, "deleted": True, "deleted_at": now()}
        return self._db.change(_REMOVE, values) > 0

    def clusters(self) -> Sequence[Record]:
        """Return the rows of all clusters."""
        return [Record("cluster", row._asdict()) for row in self._db.rows(clusters.LIVE)]

    def cluster(self, name: str, binary: str) -> Record | None:
        """Return the row of a cluster; None where there is none."""
        for row in self._db.rows(clusters.FIND, clusters.named(name, binary)):
            return Record("cluster", row._asdict())
        return None

    def update_cluster(self, name: str, binary: str, **columns: Any) -> None:
        """Write columns of a cluster's row."""
        self._db.write(lambda c: clusters.update(c, name, binary, columns))

    def update_members(self, name: str, binary: str, **columns: Any) -> None:
        """Write columns of the rows of all services of a cluster."""
        if "disabled" in columns:
            columns["modified_at"] = now()
        self._db.write(lambda c: clusters.update_services(c, name, binary, columns))

    def set_cluster_replication(self, name: str, binary: str, status: str) -> str | None:
        """Write a cluster's replication status unless it fails over, or has; return the status."""
        return self._db.write(lambda c: clusters.set_replication(c, name, binary, status))


def is_up(row: Record, down_after: float) -> bool:
    """Return whether a service counts as up (spec/service §3).

    :param down_after: seconds since its last heartbeat, as ``service_down_time`` says.
    """
    last_heartbeat = row.updated_at or row.created_at
    return (
        last_heartbeat is not None
        and (timeutils.utcnow() - last_heartbeat).total_seconds() <= down_after
    )


def _find(connection: sa.Connection, host: str, binary: str) -> tuple[dict[str, Any] | None, int]:
    """Return the live row, and the number of the last one there ever was, as of one moment."""
    rows = [row._asdict() for row in connection.execute(_FIND, {"at": host, "of": binary})]
    live = next((row for row in rows if row["deleted"] is False), None)
    return live, rows[-1]["id"] if rows else 0


def _make(connection: sa.Connection, columns: Mapping[str, Any], last: int) -> dict[str, Any]:
    host, binary = columns["host"], columns["binary"]
    values = {
        **columns,
        "report_count": 0,
        "frozen": False,
        "deleted": False,
        "replication_status": ReplicationStatus.NOT_CAPABLE,
        "uuid": _uuid(host, binary, last),
        "created_at": now(),
        "updated_at": now(),
    }
    try:
        connection.execute(_INSERT, values)
    except db_exception.DBDuplicateEntry as error:
        # A sister process made it: the transaction begins anew and finds that row.
        raise db_exception.DBDeadlock(error) from error
    # No operation has changed them, so ``updated_at`` stays.
    adopting = {**host_parameters(host), "uuid_": values["uuid"]}
    connection.execute(_ADOPT, adopting)
    made, _ = _find(connection, host, binary)
    assert made is not None
    return made


def _uuid(host: str, binary: str, last: int) -> str:
    """Return the same new uuid in two processes that make the row at once.

    Only the uuid is unique in this table: with random ones both would succeed.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"holdfast:{binary}:{host}:{last}"))
