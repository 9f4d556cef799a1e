# SPDX-License-Identifier: Apache-2.0
"""All tables in one place, as :mod:`worker.db.records` and the migrations use them."""

from __future__ import annotations

from worker.db.tables.backups import backup_metadata, backups
from worker.db.tables.base import metadata
from worker.db.tables.groups import (
    cgsnapshots,
    consistencygroups,
    group_snapshots,
    group_type_projects,
    group_type_specs,
    group_types,
    group_volume_type_mapping,
    groups,
)
from worker.db.tables.quota import quota_classes, quota_usages, quotas, reservations
from worker.db.tables.services import clusters, messages, services, workers
from worker.db.tables.types import (
    default_volume_types,
    encryption,
    quality_of_service_specs,
    volume_type_extra_specs,
    volume_type_projects,
    volume_types,
)
from worker.db.tables.volumes import (
    attachment_specs,
    driver_initiator_data,
    image_volume_cache_entries,
    snapshot_metadata,
    snapshots,
    transfers,
    volume_admin_metadata,
    volume_attachment,
    volume_glance_metadata,
    volume_metadata,
    volumes,
)

__all__ = [
    "attachment_specs",
    "backup_metadata",
    "backups",
    "cgsnapshots",
    "clusters",
    "consistencygroups",
    "default_volume_types",
    "driver_initiator_data",
    "encryption",
    "group_snapshots",
    "group_type_projects",
    "group_type_specs",
    "group_types",
    "group_volume_type_mapping",
    "groups",
    "image_volume_cache_entries",
    "messages",
    "metadata",
    "quality_of_service_specs",
    "quota_classes",
    "quota_usages",
    "quotas",
    "reservations",
    "services",
    "snapshot_metadata",
    "snapshots",
    "transfers",
    "volume_admin_metadata",
    "volume_attachment",
    "volume_glance_metadata",
    "volume_metadata",
    "volume_type_extra_specs",
    "volume_type_projects",
    "volume_types",
    "volumes",
    "workers",
]
