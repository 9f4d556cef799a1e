# SPDX-License-Identifier: Apache-2.0
"""Rows of volumes and snapshots against the rows that they name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from flows.statuses import MigrationStatus, VolumeStatus, migrating_volume, target_of
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import Look
from worker.db import models

_V, _S, _G = models.volumes, models.snapshots, models.groups
_T, _SERVICES, _B = models.volume_types, models.services, models.backups
_E = models.image_volume_cache_entries

_LIVE = _V.c.deleted == sa.false()
_AT_REST = _V.c.status.in_((VolumeStatus.AVAILABLE, VolumeStatus.IN_USE))
_COLUMNS = (_V.c.id, _V.c.host, _V.c.created_at, _V.c.updated_at)
_VOLUMES = sa.select(*_COLUMNS).where(_LIVE, _AT_REST)


@kind(
    subject="rows of snapshots; rows of volumes",
    meaning="Neither the API nor a service finds the volume of the snapshot.",
    remedy="Delete the row of the snapshot; see snapshot_object_missing for its data.",
)
def snapshot_of_deleted_volume(look: Look) -> Iterator[Drift]:
    """Yield live snapshots of deleted volumes."""
    columns = (_S.c.id, _S.c.volume_id, _S.c.created_at, _S.c.updated_at, _V.c.host)
    found = sa.select(*columns).join(_V, _V.c.id == _S.c.volume_id)
    for _backend, row in look.on_backends(found.where(_S.c.deleted == sa.false(), ~_LIVE)):
        text = f"the snapshot is live, and its volume {row.volume_id} is deleted"
        yield Drift("snapshot", row.id, row.host, text, (row.volume_id,), last_written(row))


@kind(
    subject="rows of volumes; rows of groups",
    meaning="The volume cannot be deleted or changed as a member of a group.",
    remedy="Set group_id to NULL.",
)
def volume_of_missing_group(look: Look) -> Iterator[Drift]:
    """Yield volumes of groups that are deleted."""
    there = sa.exists().where(_G.c.id == _V.c.group_id, _G.c.deleted == sa.false())
    wanted = _VOLUMES.add_columns(_V.c.group_id).where(_V.c.group_id.is_not(None), ~there)
    for _backend, row in look.on_backends(wanted):
        yield _drift(row, f"is of group {row.group_id}, which is deleted", row.group_id)


@kind(
    subject="rows of volumes; rows of volume types",
    meaning="The volume has no quality of service, encryption or extra specs any more.",
    remedy="Retype the volume.",
)
def volume_of_missing_type(look: Look) -> Iterator[Drift]:
    """Yield volumes of types that have no row, or a deleted one."""
    there = sa.exists().where(_T.c.id == _V.c.volume_type_id, _T.c.deleted == sa.false())
    wanted = _VOLUMES.add_columns(_V.c.volume_type_id).where(~there)
    for _backend, row in look.on_backends(wanted):
        yield _drift(row, f"is of type {row.volume_type_id}, which is deleted")


@kind(
    subject="service_uuid of volumes; rows of services",
    meaning="Connections take no lock of the backend, or cinder-status upgrade check fails.",
    remedy="cinder-manage volume update_service.",
)
def volume_of_missing_service(look: Look) -> Iterator[Drift]:
    """Yield volumes whose service is deleted."""
    service = _SERVICES.c.uuid == _V.c.service_uuid
    there = sa.exists().where(service, _SERVICES.c.deleted == sa.false())
    wanted = _VOLUMES.add_columns(_V.c.service_uuid)
    for _backend, row in look.on_backends(wanted.where(_V.c.service_uuid.is_not(None), ~there)):
        yield _drift(row, f"is of service {row.service_uuid}, which is deleted")


@kind(
    subject="rows of migration targets; rows of the volumes that migrate",
    meaning="A migration ended without removing its target, which takes room.",
    remedy="Delete the volume of the row.",
    repair="delete_row",
)
def migration_target_left(look: Look) -> Iterator[Drift]:
    """Yield live rows of targets whose volume does not migrate any more."""
    source = _V.alias("sources")
    target = sa.literal(target_of("")) + source.c.id
    migrates = sa.exists().where(
        target == _V.c.migration_status,
        source.c.deleted == sa.false(),
        source.c.migration_status.is_not(None),
        source.c.migration_status.not_in((MigrationStatus.SUCCESS, MigrationStatus.ERROR)),
    )
    wanted = sa.select(*_COLUMNS, _V.c.migration_status).where(
        _LIVE, _V.c.migration_status.like(f"{target_of('')}%"), ~migrates
    )
    for _backend, row in look.on_backends(wanted):
        source_id = migrating_volume(row.migration_status)
        text = f"is the target of a migration of {source_id}, which does not migrate"
        yield _drift(row, text, source_id)


@kind(
    subject="rows of temporary volumes and snapshots; rows of backups",
    meaning="A backup of a volume in use left its copy, which takes room.",
    remedy="Delete the volume or snapshot.",
    repair="delete_row",
)
def temporary_row_left(look: Look) -> Iterator[Drift]:
    """Yield rows of temporary sources at rest that no live backup names."""
    for table, named, prefix in (
        (_V, _B.c.temp_volume_id, "backup-vol-"),
        (_S, _B.c.temp_snapshot_id, "backup-snap-"),
    ):
        kept = sa.exists().where(named == table.c.id, _B.c.deleted == sa.false())
        wanted = sa.select(table.c.id, _V.c.host, table.c.created_at, table.c.updated_at).where(
            table.c.deleted == sa.false(),
            table.c.use_quota == sa.false(),
            table.c.display_name.like(f"{prefix}%"),
            table.c.status.in_((VolumeStatus.AVAILABLE, VolumeStatus.ERROR)),
            ~kept,
        )
        if table is _S:
            wanted = wanted.join(_V, _V.c.id == _S.c.volume_id)
        for _backend, row in look.on_backends(wanted):
            name = "volume" if table is _V else "snapshot"
            text = f"the temporary {name} is of no backup"
            yield Drift(name, row.id, row.host, text, changed_at=last_written(row))


@kind(
    subject="image_volume_cache_entries; rows of volumes",
    meaning="A creation from the image begins with a volume that does not exist.",
    remedy="Use --fix.",
    repair="remove_cache_entry",
)
def cache_entry_of_missing_volume(look: Look) -> Iterator[Drift]:
    """Yield entries of the cache of images whose volume is deleted."""
    there = sa.exists().where(_V.c.id == _E.c.volume_id, _LIVE)
    wanted = sa.select(_E.c.id, _E.c.volume_id, _E.c.image_id, _E.c.host, _E.c.last_used)
    for _backend, row in look.on_backends(wanted.where(~there), _E):
        text = f"the cache entry of image {row.image_id} names a volume that is deleted"
        facts = {"entry_id": row.id}
        yield Drift("volume", row.volume_id, row.host, text, (), row.last_used, facts)


def _drift(row: Any, text: str, *concerns: str | None) -> Drift:
    written = last_written(row)
    return Drift("volume", row.id, row.host, f"the volume {text}", concerns, written)
