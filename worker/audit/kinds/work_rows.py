# SPDX-License-Identifier: Apache-2.0
"""Rows of ``workers`` against the resources and services that they name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import Look
from worker.db import models

_W, _V, _S = models.workers, models.volumes, models.snapshots
_SERVICES = models.services

_COLUMNS = (
    *(_W.c.id, _W.c.resource_type, _W.c.resource_id, _W.c.status, _W.c.service_id),
    *(_W.c.race_preventer, _W.c.updated_at),
)
_OF_VOLUME = (
    sa.select(*_COLUMNS, _V.c.host, _V.c.status.label("now"), _V.c.id.label("volume_id"))
    .join(_V, _V.c.id == _W.c.resource_id)
    .where(_W.c.resource_type == "Volume")
)
_OF_SNAPSHOT = (
    sa.select(*_COLUMNS, _V.c.host, _S.c.status.label("now"), _S.c.volume_id)
    .join(_S, _S.c.id == _W.c.resource_id)
    .join(_V, _V.c.id == _S.c.volume_id)
    .where(_W.c.resource_type == "Snapshot")
)
_GONE = sa.not_(
    sa.exists().where(_SERVICES.c.id == _W.c.service_id, _SERVICES.c.deleted == sa.false())
)


@kind(
    subject="rows of volumes and snapshots; rows of workers",
    meaning="The operation has ended. A start of Cinder would end it again.",
    remedy="Use --fix, or remove the row by a clean-up (do_cleanup).",
    repair="drop_work_row",
)
def work_row_left(look: Look) -> Iterator[Drift]:
    """Yield work rows whose resource has another status than the work."""
    for statement, table in ((_OF_VOLUME, _V), (_OF_SNAPSHOT, _S)):
        for _backend, row in look.on_backends(statement.where(table.c.status != _W.c.status)):
            yield _drift(row, f"is for {row.status}, and the status is {row.now}")


@kind(
    subject="rows of services; rows of workers",
    meaning="The service that had the work was removed, so that none cleans up.",
    remedy="Start a service of that host, or have it cleaned up (do_cleanup with the service_id).",
)
def work_row_of_missing_service(look: Look) -> Iterator[Drift]:
    """Yield work rows of services that do not exist; of work that still has its status."""
    for statement, table in ((_OF_VOLUME, _V), (_OF_SNAPSHOT, _S)):
        wanted = statement.where(table.c.status == _W.c.status, _W.c.service_id.is_not(None), _GONE)
        for _backend, row in look.on_backends(wanted):
            yield _drift(row, f"for {row.status} is of service {row.service_id}, which is gone")


@kind(
    subject="rows of volumes and snapshots; rows of workers",
    meaning="The row of the resource was purged before its work row.",
    remedy="Use --fix.",
    repair="drop_work_row",
)
def work_row_of_missing_resource(look: Look) -> Iterator[Drift]:
    """Yield work rows of volumes and snapshots that have no row at all."""
    for name, table in (("Volume", _V), ("Snapshot", _S)):
        there = sa.exists().where(table.c.id == _W.c.resource_id)
        wanted = sa.select(*_COLUMNS).where(_W.c.resource_type == name, sa.not_(there))
        for row in look.rows(wanted):
            yield _drift(row, f"for {row.status} is of a {name.lower()} without a row")


def _drift(row: Any, text: str) -> Drift:
    return Drift(
        *(row.resource_type.lower(), row.resource_id),
        getattr(row, "host", None) or "",
        f"the work row {text}",
        concerns=(getattr(row, "volume_id", None),),
        changed_at=last_written(row),
        facts={"work_id": row.id, "race_preventer": row.race_preventer},
    )
