# SPDX-License-Identifier: Apache-2.0
"""Compare the quota usages of projects with their rows and reservations, and correct them.

Implements ``holdfast quota check`` and ``holdfast quota sync``. Operations may run meanwhile: while
a resource has open reservations, its rows may be among those that exist already, so its amount in
use is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worker.db import models
from worker.db.column_values import now
from worker.db.database import Database
from worker.db.records.quotas.usage import Usages, is_counted

_Q, _R = models.quota_usages, models.reservations

_PROJECTS = (
    sa.select(_Q.c.project_id)
    .distinct()
    .where(_Q.c.deleted == sa.false(), _Q.c.project_id.is_not(None))
    .order_by(_Q.c.project_id)
)
_OF_PROJECT = (
    sa.select(_Q.c.id, _Q.c.resource, _Q.c.in_use, _Q.c.reserved)
    .where(_Q.c.project_id == sa.bindparam("project"), _Q.c.deleted == sa.false())
    .order_by(_Q.c.id)
)
_HELD = sa.select(
    sa.func.count(),
    sa.func.coalesce(sa.func.sum(sa.case((_R.c.delta > 0, _R.c.delta), else_=0)), 0),
).where(_R.c.usage_id.in_(sa.bindparam("ids", expanding=True)), _R.c.deleted == sa.false())


@dataclass(frozen=True)
class UsageDifference:
    """A usage that is another one than its rows and reservations show.

    :param column: ``in_use`` or ``reserved``; or ``rows``, for a usage with several rows.
    """

    project_id: str
    resource: str
    column: str
    saved: int
    actual: int


class UsageChecks:
    """The usages of all projects.

    :param count_snapshots: whether snapshots count as gigabytes.
    """

    def __init__(self, database: Database, *, count_snapshots: bool) -> None:
        self._db = database
        self._usages = Usages(count_snapshots)

    def projects(self) -> list[str]:
        """Return the projects with usages."""
        return [str(row.project_id) for row in self._db.rows(_PROJECTS)]

    def check(self, project_id: str) -> list[UsageDifference]:
        """Return the differences of a project, in one transaction that changes nothing."""
        return self._db.read(lambda c: self._compare(c, project_id, _OF_PROJECT, correct=False))

    def sync(self, project_id: str, resource: str | None = None) -> list[UsageDifference]:
        """Correct the usages of a project in one transaction; return the differences it had.

        :param resource: its usage only; all by default.
        """
        query = _OF_PROJECT.with_for_update()
        if resource is not None:
            query = query.where(_Q.c.resource == resource)
        return self._db.write(lambda c: self._compare(c, project_id, query, correct=True))

    def _compare(
        self, connection: sa.Connection, project_id: str, query: sa.Select[Any], *, correct: bool
    ) -> list[UsageDifference]:
        by_resource: dict[str, list[Any]] = {}
        for row in connection.execute(query, {"project": project_id}).all():
            if is_counted(row.resource):
                by_resource.setdefault(row.resource, []).append(row)
        found: list[UsageDifference] = []
        for resource, rows in by_resource.items():
            found += self._differences(connection, project_id, resource, rows, correct)
        return found

    def _differences(
        self,
        connection: sa.Connection,
        project_id: str,
        resource: str,
        rows: Sequence[Any],
        correct: bool,
    ) -> list[UsageDifference]:
        ids = [row.id for row in rows]
        (open_ones, held) = connection.execute(_HELD, {"ids": ids}).one()
        in_use, reserved = sum(row.in_use for row in rows), sum(row.reserved for row in rows)
        used = in_use if open_ones else self._usages.count(connection, project_id, resource)
        compared = (("rows", len(rows), 1), ("in_use", in_use, used), ("reserved", reserved, held))
        found = [
            UsageDifference(project_id, resource, column, saved, int(actual))
            for column, saved, actual in compared
            if saved != actual
        ]
        if found and correct:
            _correct(connection, ids, in_use=used, reserved=int(held))
        return found


def _correct(connection: sa.Connection, ids: Sequence[int], **values: int) -> None:
    """Write the first row, give it the reservations of the others, and delete those."""
    first, *others = ids
    change = sa.update(_Q).where(_Q.c.id == first)
    connection.execute(change.values(**values, updated_at=now()))
    if others:
        moved = sa.update(_R).where(_R.c.usage_id.in_(others))
        connection.execute(moved.values(usage_id=first))
        connection.execute(sa.delete(_Q).where(_Q.c.id.in_(others)))
