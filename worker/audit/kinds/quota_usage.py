# SPDX-License-Identifier: Apache-2.0
"""Usages of quota against the rows that use it, and against reservations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import Look
from worker.db import models
from worker.db.records.quotas.usage import is_counted

_Q, _R, _T = models.quota_usages, models.reservations, models.volume_types

_LIVE = sa.select(_Q).where(_Q.c.deleted == sa.false()).order_by(_Q.c.id)
_OPEN = sa.select(_R).where(_R.c.deleted == sa.false()).order_by(_R.c.id)
_HELD = (
    sa.select(_R.c.usage_id, sa.func.sum(_R.c.delta).label("held"))
    .where(_R.c.deleted == sa.false(), _R.c.delta > 0)
    .group_by(_R.c.usage_id)
)
_COUNTED = (
    (models.volumes, "volumes", "gigabytes", models.volumes.c.size),
    (models.snapshots, "snapshots", "gigabytes", models.snapshots.c.volume_size),
    (models.groups, "groups", "", None),
    (models.backups, "backups", "backup_gigabytes", models.backups.c.size),
)
"""Tables of resources, the names of the number and the size, and the column of the size."""


@kind(
    subject="rows of volumes, snapshots, groups and backups; in_use of quota_usages",
    meaning="A project is refused resources, or gets more than its limit.",
    remedy="Use --fix, or holdfast quota sync.",
    repair="sync_quota",
)
def quota_in_use_differs(look: Look) -> Iterator[Drift]:
    """Yield usages that are not the sum of the rows; of projects without open reservations."""
    changing = {(row.project_id, row.resource) for row in look.rows(_OPEN)}
    counted = _count(look)
    for row in look.rows(_LIVE):
        project = (row.project_id, row.resource)
        if project in changing or not is_counted(row.resource):
            continue
        if row.in_use != counted[project]:
            yield _drift(row, f"{row.resource}: in_use is {row.in_use}, not {counted[project]}")


@kind(
    subject="open reservations; reserved of quota_usages",
    meaning="Room is held for operations that do not exist.",
    remedy="Use --fix, or holdfast quota sync.",
    repair="sync_quota",
)
def quota_reserved_differs(look: Look) -> Iterator[Drift]:
    """Yield usages whose reserved amount is not the sum of the open reservations."""
    held = {row.usage_id: int(row.held) for row in look.rows(_HELD)}
    for row in look.rows(_LIVE):
        if row.reserved != held.get(row.id, 0):
            text = f"{row.resource}: reserved is {row.reserved}, not {held.get(row.id, 0)}"
            yield _drift(row, text)


@kind(
    subject="rows of quota_usages of one project and resource",
    meaning="Two services made the row at once; each counts a part.",
    remedy="Use --fix, or holdfast quota sync: the rows are merged.",
    repair="sync_quota",
)
def quota_usage_duplicated(look: Look) -> Iterator[Drift]:
    """Yield the second and further rows of a project and resource."""
    seen = set()
    for row in look.rows(_LIVE):
        if (project := (row.project_id, row.resource)) in seen:
            yield _drift(row, f"{row.resource} has another row of this project, {row.id}")
        seen.add(project)


@kind(
    subject="open reservations; their expiry",
    meaning="An operation ended without its reservation; room is held for it.",
    remedy="Use --fix. A cinder-scheduler removes them as well.",
    repair="expire_reservation",
)
def reservation_expired(look: Look) -> Iterator[Drift]:
    """Yield reservations that are open after their expiry."""
    for row in look.rows(_OPEN.where(_R.c.expire < sa.bindparam("now")), {"now": _now()}):
        text = f"{row.delta} of {row.resource} of project {row.project_id}, expired {row.expire}"
        facts = {"reservation_id": row.uuid}
        yield Drift("reservation", row.uuid, "", text, (), last_written(row), facts)


def _now() -> Any:
    return timeutils.utcnow()


def _drift(row: Any, text: str) -> Drift:
    return Drift(
        *("project", row.project_id, "", text),
        changed_at=last_written(row),
        facts={"project_id": row.project_id, "resource": row.resource},
    )


def _count(look: Look) -> Counter[tuple[str, str]]:
    """Return what each project uses of each resource, also under the names of types."""
    types = {row.id: row.name for row in look.rows(sa.select(_T.c.id, _T.c.name))}
    found: Counter[tuple[str, str]] = Counter()
    for table, number, size, column in _COUNTED:
        for row in look.rows(_grouped(table, column)):
            amounts = {number: row.number, size: int(row.size or 0)}
            if table is models.snapshots and not look.sources.count_snapshots:
                del amounts[size]
            name = types.get(row.type_id)
            for resource, amount in amounts.items():
                found[row.project_id, resource] += amount
                if name is not None:
                    found[row.project_id, f"{resource}_{name}"] += amount
    return found


def _grouped(table: sa.Table, column: sa.Column[Any] | None) -> sa.Select[Any]:
    of_type = table.c.volume_type_id if "volume_type_id" in table.c else sa.null()
    size = sa.literal(0) if column is None else sa.func.sum(column)
    columns = (table.c.project_id, of_type.label("type_id"))
    wanted = sa.select(*columns, sa.func.count().label("number"), size.label("size"))
    wanted = wanted.where(table.c.deleted == sa.false())
    if "use_quota" in table.c:
        wanted = wanted.where(table.c.use_quota == sa.true())
    keys = columns if "volume_type_id" in table.c else columns[:1]
    return wanted.group_by(*keys)
