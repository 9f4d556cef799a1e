# SPDX-License-Identifier: Apache-2.0
"""Rows of backups against the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from flows.statuses import BackupStatus
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import PAGE, Look
from worker.db import models

_B = models.backups

_COLUMNS = (
    *(_B.c.id, _B.c.host, _B.c.volume_id, _B.c.service, _B.c.status, _B.c.deleted),
    *(_B.c.created_at, _B.c.updated_at, _B.c.deleted_at),
)
_WHOLE = (
    sa.select(*_COLUMNS)
    .where(
        _B.c.deleted == sa.false(),
        _B.c.status == BackupStatus.AVAILABLE,
        _B.c.host == sa.bindparam("at"),
        _B.c.id > sa.bindparam("after"),
    )
    .order_by(_B.c.id)
    .limit(PAGE)
)


@kind(
    subject="rows of available backups; objects in the store",
    meaning="The backup cannot be restored.",
    remedy="Look for its objects, then delete the backup and those that build on it.",
)
def backup_objects_missing(look: Look) -> Iterator[Drift]:
    """Yield available backups that are not in the store."""
    if (stored := look.stored()) is None:
        return
    for row in _whole(look):
        if row.id not in stored:
            yield _drift(row.id, row, "is available, and its metadata is not in the store")


@kind(
    subject="objects in the store; rows of backups",
    meaning="A deletion left data behind, or another database has the row.",
    remedy="Import the record of the backup to delete it, or remove its objects.",
)
def backup_objects_unknown(look: Look) -> Iterator[Drift]:
    """Yield backups in the store that have no live row."""
    if (stored := look.stored()) is None:
        return
    rows = {row.id: row for row in look.by_ids(sa.select(*_COLUMNS), _B.c.id, stored)}
    for backup_id in sorted(stored):
        row = rows.get(backup_id)
        if row is None or row.deleted:
            state = "has no row" if row is None else "is deleted"
            yield _drift(backup_id, row, f"{state}, and its objects are in the store")


def _whole(look: Look) -> Iterator[Any]:
    """Yield the available backups of the audited store."""
    parameters = {"at": look.sources.backup_host, "after": ""}
    services = look.sources.backup_services
    while rows := look.rows(_WHOLE, parameters):
        for row in rows:
            named = not row.service or not services
            if named or any(one.startswith(row.service) for one in services):
                yield row
        parameters["after"] = rows[-1].id


def _drift(backup_id: str, row: Any, text: str) -> Drift:
    return Drift(
        *("backup", backup_id, "" if row is None else row.host, f"the backup {text}"),
        concerns=() if row is None else (row.volume_id,),
        changed_at=None if row is None else last_written(row),
    )
