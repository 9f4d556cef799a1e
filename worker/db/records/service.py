# SPDX-License-Identifier: Apache-2.0
"""Rows of ``services``: how the API and the scheduler know us (spec/service §3)."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from drivers.interface.records import Record
from worker.db import models
from worker.db.engine import Database
from worker.db.records.volume import listed, on_host

_T = models.services
_V = models.volumes


class Services:
    """Rows of ``services``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def ensure(
        self,
        *,
        host: str,
        binary: str,
        topic: str,
        availability_zone: str,
        rpc_version: str,
        object_version: str,
    ) -> Record:
        """Find or make the row of (host, binary) and bring its versions up to date.

        Volumes of this host that lack a service's uuid get the new one's.
        """

        def work(connection: sa.Connection) -> dict[str, Any]:
            versions = {
                "rpc_current_version": rpc_version,
                "object_current_version": object_version,
            }
            found = _find(connection, host, binary)
            if found is not None:
                connection.execute(sa.update(_T).where(_T.c.id == found["id"]).values(versions))
                return {**found, **versions}
            _insert(connection, host, binary, topic, availability_zone, versions)
            made = _find(connection, host, binary)
            assert made is not None
            connection.execute(
                sa.update(_V)
                .where(_V.c.service_uuid.is_(None), _V.c.deleted == sa.false(), on_host(_V, host))
                .values(service_uuid=made["uuid"])
            )
            return made

        return Record("service", self._db.write(work))

    def heartbeat(self, *, host: str, binary: str, availability_zone: str) -> bool:
        """Show that the service lives; False when its row is gone."""

        def work(connection: sa.Connection) -> bool:
            alive = (_T.c.host == host, _T.c.binary == binary, _T.c.deleted == sa.false())
            beat = (
                sa.update(_T)
                .where(*alive)
                .values(
                    report_count=_T.c.report_count + 1,
                    updated_at=timeutils.utcnow(),
                    availability_zone=availability_zone,
                )
            )
            return connection.execute(beat).rowcount > 0

        return self._db.write(work)

    def set_replication_status(self, service_id: int, status: str) -> None:
        """Write the replication status, unless the service is failed over."""
        update = sa.update(_T).where(
            _T.c.id == service_id,
            sa.or_(_T.c.replication_status.is_(None), _T.c.replication_status != "failed-over"),
        )
        self._db.write(lambda c: c.execute(update.values(replication_status=status)))

    def list(self, **where: Any) -> list[Record]:
        """Return live rows by equal columns."""
        return [Record("service", row) for row in listed(self._db, _T, where)]


def _find(connection: sa.Connection, host: str, binary: str) -> dict[str, Any] | None:
    wanted = sa.select(_T).where(
        _T.c.host == host, _T.c.binary == binary, _T.c.deleted == sa.false()
    )
    for row in connection.execute(wanted).mappings():
        if row["host"] == host:  # MySQL compares without case
            return dict(row)
    return None


def _insert(
    connection: sa.Connection,
    host: str,
    binary: str,
    topic: str,
    availability_zone: str,
    versions: dict[str, str],
) -> None:
    now = timeutils.utcnow()
    connection.execute(
        sa.insert(_T).values(
            host=host,
            binary=binary,
            topic=topic,
            availability_zone=availability_zone,
            report_count=0,
            disabled=False,
            frozen=False,
            deleted=False,
            uuid=str(uuid.uuid4()),
            replication_status="not-capable",
            created_at=now,
            updated_at=now,
            **versions,
        )
    )
