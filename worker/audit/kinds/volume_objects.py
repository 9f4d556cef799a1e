# SPDX-License-Identifier: Apache-2.0
"""Rows of volumes against the objects on the backends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from flows.statuses import MigrationStatus, VolumeStatus
from flows.volume.delete import UNMANAGED
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import AuditedBackend, Look, ObjectIndex
from worker.db import models

_V, _M = models.volumes, models.volume_admin_metadata

_WITH_OBJECT = (
    *(VolumeStatus.AVAILABLE, VolumeStatus.IN_USE, VolumeStatus.RESERVED),
    *(VolumeStatus.AWAITING_TRANSFER, VolumeStatus.ERROR_EXTENDING, VolumeStatus.ERROR_RESTORING),
)
"""Statuses at rest in which a volume has an object."""

_AT_REST = sa.or_(
    _V.c.migration_status.is_(None),
    _V.c.migration_status.in_((MigrationStatus.SUCCESS, MigrationStatus.ERROR)),
)
_COLUMNS = (_V.c.id, _V.c._name_id, _V.c.host, _V.c.size, _V.c.status)
_TIMES = (_V.c.created_at, _V.c.updated_at, _V.c.deleted_at)
_ROWS = sa.select(*_COLUMNS, *_TIMES).where(
    _V.c.deleted == sa.false(), _V.c.status.in_(_WITH_OBJECT), _AT_REST
)
_OWNERS = sa.select(_V.c.id).where(_V.c.deleted == sa.false(), _V.c._name_id.is_(None))
_RENAMED = sa.select(_V.c._name_id).where(_V.c.deleted == sa.false(), _V.c._name_id.is_not(None))
"""Few rows of volumes that were migrated; the column has no index."""
_EVEN_DELETED = sa.select(*_COLUMNS, _V.c.deleted, _AT_REST.label("at_rest"), *_TIMES)
_LET_GO = sa.select(_M.c.volume_id).where(_M.c.key == UNMANAGED)
"""Volumes, deleted ones too, whose object was let go by an operation of ours."""


@kind(
    subject="rows of volumes at rest; objects on the backend",
    meaning="The data of a volume is gone, or under another name.",
    remedy="Look for the object on the backend. Else restore a backup, or set the status to error.",
)
def volume_object_missing(look: Look) -> Iterator[Drift]:
    """Yield volumes without an object."""
    for backend, found, row in _rows(look):
        if (object_id := row._name_id or row.id) not in found.sizes:
            text = f"is {row.status}, and {backend.host} has no object of {object_id}"
            yield _drift(row, text)


@kind(
    subject="rows of volumes at rest; sizes of objects on the backend",
    meaning="An extension was interrupted, or the object was changed without the service.",
    remedy="Extend the volume, or correct the size on the backend.",
)
def volume_size_differs(look: Look) -> Iterator[Drift]:
    """Yield volumes whose object has another size."""
    for _backend, found, row in _rows(look):
        size = found.sizes.get(row._name_id or row.id)
        if size not in (None, row.size):
            yield _drift(row, f"has {row.size} GiB, its object {size}")


@kind(
    subject="objects on the backend; rows of volumes",
    meaning="A deletion left data behind, Cinder unmanaged it, or another database has the row.",
    remedy="Delete the object. --fix makes a volume of one whose row is deleted.",
    repair="manage_volume_object",
)
def volume_object_unknown(look: Look) -> Iterator[Drift]:
    """Yield objects with the name of a volume that is no volume's object."""
    for backend, found in look.listed():
        owned = {row.id for row in look.by_ids(_OWNERS, _V.c.id, found.sizes)}
        renamed = {row._name_id for row in look.rows(_RENAMED)}
        unknown = sorted(found.sizes.keys() - owned - renamed)
        rows = {row.id: row for row in look.by_ids(_EVEN_DELETED, _V.c.id, unknown)}
        let_go = {row.volume_id for row in look.by_ids(_LET_GO, _M.c.volume_id, unknown)}
        for volume_id in unknown:
            row = rows.get(volume_id)
            if volume_id not in let_go and (row is None or row.at_rest):
                yield _unknown(backend, volume_id, row)


def _rows(look: Look) -> Iterator[tuple[AuditedBackend, ObjectIndex, Any]]:
    for backend, found in look.listed():
        for row in look.pages(backend, _ROWS, _V.c.id):
            yield backend, found, row


def _drift(row: Any, text: str) -> Drift:
    return Drift(
        *("volume", row.id, row.host, f"the volume {text}"),
        concerns=(row._name_id,),
        changed_at=last_written(row),
    )


def _unknown(backend: AuditedBackend, volume_id: str, row: Any) -> Drift:
    where = f"{backend.host} has an object of volume {volume_id}"
    if row is None:
        text = f"{where}, of which there is no row"
    elif row.deleted:
        text = f"{where}, which is deleted"
    else:
        text = f"{where}, whose object is that of {row._name_id}"
    return Drift(
        *("volume", volume_id, backend.host, text),
        concerns=() if row is None else (row._name_id,),
        changed_at=None if row is None else last_written(row),
        facts={"host": backend.host if row is None else row.host},
        repairable=row is not None and bool(row.deleted),
    )
