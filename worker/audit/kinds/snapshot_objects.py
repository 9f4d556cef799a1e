# SPDX-License-Identifier: Apache-2.0
"""Rows of snapshots, and temporary objects, against the objects on the backends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from flows.statuses import SnapshotStatus
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import AuditedBackend, Look, ObjectIndex
from worker.db import models

_S, _V = models.snapshots, models.volumes

_COLUMNS = (_S.c.id, _S.c.volume_id, _S.c.created_at, _S.c.updated_at, _S.c.deleted_at)
_ROWS = (
    sa.select(*_COLUMNS, _V.c.host)
    .join(_V, _V.c.id == _S.c.volume_id)
    .where(_S.c.deleted == sa.false(), _S.c.status == SnapshotStatus.AVAILABLE)
)
_VOLUMES = sa.select(_V.c.id).where(_V.c.deleted == sa.false())
_EVEN_DELETED = sa.select(*_COLUMNS, _S.c.deleted)


@kind(
    subject="rows of available snapshots; objects on the backend",
    meaning="The data of a snapshot is gone.",
    remedy="Look for the object on the backend, or delete the snapshot.",
)
def snapshot_object_missing(look: Look) -> Iterator[Drift]:
    """Yield snapshots without an object."""
    for backend, found in look.listed():
        for row in look.pages(backend, _ROWS, _S.c.id):
            if row.id not in found.snapshots:
                text = f"the snapshot is available, and {backend.host} has no object of it"
                written = last_written(row)
                yield Drift("snapshot", row.id, row.host, text, (row.volume_id,), written)


@kind(
    subject="objects on the backend; rows of snapshots",
    meaning="A deletion left data behind, it was unmanaged, or another database has the row.",
    remedy="Delete the object. --fix makes a snapshot of one whose volume is live.",
    repair="manage_snapshot_object",
)
def snapshot_object_unknown(look: Look) -> Iterator[Drift]:
    """Yield objects with the name of a snapshot that has no live row."""
    for backend, found in look.listed():
        volumes = {row.id for row in look.by_ids(_VOLUMES, _V.c.id, _volume_ids(found))}
        rows = {row.id: row for row in look.by_ids(_EVEN_DELETED, _S.c.id, found.snapshots)}
        for snapshot_id, volume_id in sorted(found.snapshots.items()):
            row = rows.get(snapshot_id)
            if row is None or row.deleted:
                can = row is not None and row.volume_id in volumes
                drift = _unknown(backend, snapshot_id, volume_id, row, can)
                yield drift if not can else replace(drift, facts=_facts(look, found, row))


@kind(
    subject="temporary objects on the backend; operations in the journal",
    meaning="An operation that was killed left its clone-* or revert-* object.",
    remedy="Delete the object.",
)
def temporary_object_left(look: Look) -> Iterator[Drift]:
    """Yield objects that live for one operation, of which there is none."""
    for backend, found in look.listed():
        for one in sorted(found.temporary, key=lambda each: each.name):
            text = f"{backend.host} has the temporary object {one.name}, of no operation"
            owner = one.name.rpartition("@")[2].partition("-")[2]
            of_volume = (one.volume_name or "").partition("-")[2]
            yield Drift("object", one.name, backend.host, text, (owner, of_volume))


def _unknown(
    backend: AuditedBackend, snapshot_id: str, volume_id: str | None, row: Any, can: bool
) -> Drift:
    state = "of which there is no row" if row is None else "which is deleted"
    return Drift(
        *("snapshot", snapshot_id, backend.host),
        f"{backend.host} has an object of snapshot {snapshot_id}, {state}",
        concerns=(volume_id, None if row is None else row.volume_id),
        changed_at=None if row is None else last_written(row),
        repairable=can,
    )


def _facts(look: Look, found: ObjectIndex, row: Any) -> dict[str, str]:
    name = look.sources.snapshot_names % row.id
    if found.qualified:
        name = f"{look.sources.volume_names % found.snapshots[row.id]}@{name}"
    return {"volume_id": row.volume_id, "name": name}


def _volume_ids(found: ObjectIndex) -> set[str]:
    return {one for one in found.snapshots.values() if one}
