# SPDX-License-Identifier: Apache-2.0
"""How much a project may use: its own limits, the default class's, the options'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from flows.errors import OverQuota
from worker.db import models

_Q = models.quotas
_C = models.quota_classes

_OF_PROJECT = sa.select(_Q.c.resource, _Q.c.hard_limit).where(
    _Q.c.project_id == sa.bindparam("project"), _Q.c.deleted == sa.false()
)
_OF_CLASS = sa.select(_C.c.resource, _C.c.hard_limit).where(
    _C.c.class_name == "default", _C.c.deleted == sa.false()
)

UNLIMITED = -1


class QuotaLimits:
    """Limits of resources.

    :param options: the limits that hold where the database has none. A resource
        of one volume type has none unless the database says so.
    """

    def __init__(self, options: Mapping[str, int]) -> None:
        self._options = dict(options)

    def of(
        self, connection: sa.Connection, project_id: str, resources: Iterable[str]
    ) -> dict[str, int]:
        """Return a project's limits, -1 for none."""
        own = _read(connection, _OF_PROJECT, {"project": project_id})
        default = _read(connection, _OF_CLASS, {})
        known = {**self._options, **default, **own}
        return {resource: known.get(resource, UNLIMITED) for resource in resources}

    def require(
        self,
        connection: sa.Connection,
        project_id: str,
        wanted: Mapping[str, int],
        usages: Mapping[str, Any],
    ) -> None:
        """Compare a request with the remaining quota. :raises OverQuota: it names the resources."""
        limits = self.of(connection, project_id, wanted)
        over = []
        for resource, delta in sorted(wanted.items()):
            usage, limit = usages[resource], limits[resource]
            if 0 <= limit < usage.in_use + usage.reserved + delta and delta >= 0:
                used = f"{usage.in_use} used, {usage.reserved} reserved"
                over.append(f"{resource}: {delta} wanted, {used}, limit {limit}")
        if over:
            raise OverQuota(f"project {project_id} is over its quota: {'; '.join(over)}")


def _read(
    connection: sa.Connection, statement: sa.Select[Any], parameters: Mapping[str, str]
) -> dict[str, int]:
    rows: Sequence[Any] = connection.execute(statement, parameters).all()
    return {resource: UNLIMITED if limit is None else limit for resource, limit in rows}
