# SPDX-License-Identifier: Apache-2.0
"""Rows of backups against each other, and against their temporary volumes and snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from flows.statuses import BackupStatus
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import Look
from worker.db import models

_B = models.backups
_P, _C = _B.alias("parents"), _B.alias("children")

_AT_REST = (BackupStatus.AVAILABLE, BackupStatus.ERROR)
_COLUMNS = (_B.c.id, _B.c.host, _B.c.volume_id, _B.c.created_at, _B.c.updated_at)
_WHOLE = (BackupStatus.AVAILABLE, BackupStatus.RESTORING)


def _number(condition: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    """Count the live backups that build on one."""
    mine = sa.and_(_C.c.parent_id == _B.c.id, _C.c.deleted == sa.false())
    return sa.select(sa.func.count()).select_from(_C).where(mine, condition).scalar_subquery()


_CHILDREN = _number(_C.c.status.in_(_WHOLE))
_FAILED = _number(_C.c.status.not_in(_WHOLE))
_CHANGING = sa.exists().where(
    _C.c.parent_id == _B.c.id, _C.c.deleted == sa.false(), _C.c.status.not_in(_AT_REST)
)
_COUNT = sa.func.coalesce(_B.c.num_dependent_backups, 0)
_LIVE = _B.c.deleted == sa.false()


@kind(
    subject="incremental backups; num_dependent_backups of their parent",
    meaning="The API refuses to delete the parent, or deletes one that others need.",
    remedy="Use --fix.",
    repair="count_dependants",
)
def backup_dependents_differ(look: Look) -> Iterator[Drift]:
    """Yield backups whose number of dependent ones is wrong; none of those is changing."""
    # A failed backup counts if it failed to be deleted, and does not if it failed to be made.
    differs = sa.or_(_COUNT < _CHILDREN, _COUNT > _CHILDREN + _FAILED)
    wanted = sa.select(*_COLUMNS, _COUNT.label("found"), _CHILDREN.label("right"))
    for row in _rows(look, wanted.where(_LIVE, differs, sa.not_(_CHANGING))):
        yield _drift(row, f"has num_dependent_backups {row.found}, and {row.right} build on it")


@kind(
    subject="incremental backups; rows of their parents",
    meaning="The backup cannot be restored.",
    remedy="Import the record of the parent if its objects are there, or delete the backup.",
)
def backup_parent_missing(look: Look) -> Iterator[Drift]:
    """Yield backups that build on one that is deleted."""
    there = sa.exists().where(_P.c.id == _B.c.parent_id, _P.c.deleted == sa.false())
    available = _B.c.status == BackupStatus.AVAILABLE
    wanted = sa.select(*_COLUMNS, _B.c.parent_id)
    for row in _rows(look, wanted.where(_LIVE, available, _B.c.parent_id.is_not(None), ~there)):
        yield _drift(row, f"builds on {row.parent_id}, which is deleted")


@kind(
    subject="backups at rest; temp_volume_id and temp_snapshot_id",
    meaning="A backup ended without removing its temporary source.",
    remedy="Delete the temporary volume or snapshot, if there is one.",
)
def backup_names_temporary(look: Look) -> Iterator[Drift]:
    """Yield backups at rest whose row still names a temporary source."""
    temporary = sa.or_(_B.c.temp_volume_id.is_not(None), _B.c.temp_snapshot_id.is_not(None))
    wanted = sa.select(*_COLUMNS, _B.c.status, _B.c.temp_volume_id, _B.c.temp_snapshot_id)
    for row in _rows(look, wanted.where(_LIVE, temporary, _B.c.status.in_(_AT_REST))):
        named = row.temp_volume_id or row.temp_snapshot_id
        yield _drift(row, f"is {row.status}, and names the temporary source {named}", named)


def _rows(look: Look, statement: sa.Select[Any]) -> Any:
    host = look.sources.backup_host
    return [] if host is None else look.rows(statement.where(_B.c.host == host))


def _drift(row: Any, text: str, *concerns: str) -> Drift:
    return Drift(
        *("backup", row.id, row.host, f"the backup {text}"),
        concerns=(row.volume_id, *concerns),
        changed_at=last_written(row),
        facts={"backup_id": row.id},
    )
