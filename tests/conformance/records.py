# SPDX-License-Identifier: Apache-2.0
"""Records of volumes and snapshots that are not made yet, with all fields that drivers read."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from drivers.interface.records import Record

NAME = """O'Neil 5" $(false); größer als 1\n"""
"""A name that a user gave: any text of up to 255 characters.

One quote of each kind: a command of a shell with it fails, in whatever quotes it is put.
"""

MADE = datetime.datetime(2026, 11, 29, 12, 0, 0)
"""A time as rows have it: in UTC, without a zone."""


def volume_record(host: str, size: int = 1, **columns: Any) -> Record:
    """Return the record of a volume."""
    key = columns.pop("id", str(uuid.uuid4()))
    fields = {
        "id": key,
        "name": f"volume-{key}",
        "name_id": key,
        "size": size,
        "host": host,
        "status": "creating",
        "previous_status": None,
        "attach_status": "detached",
        "migration_status": None,
        "display_name": NAME,
        "display_description": None,
        "availability_zone": "nova",
        "cluster_name": None,
        "created_at": MADE,
        "updated_at": None,
        "scheduled_at": MADE,
        "launched_at": None,
        "bootable": False,
        "provider_location": None,
        "provider_id": None,
        "provider_auth": None,
        "provider_geometry": None,
        "replication_status": None,
        "replication_extended_status": None,
        "replication_driver_data": None,
        "group_id": None,
        "group": None,
        "consistencygroup_id": None,
        "consistencygroup": None,
        "service_uuid": None,
        "shared_targets": False,
        "snapshot_id": None,
        "source_volid": None,
        "project_id": "project",
        "user_id": "user",
        "volume_type_id": None,
        "volume_type": None,
        "encryption_key_id": None,
        "multiattach": False,
        "metadata": {},
        "admin_metadata": {},
        "volume_attachment": [],
    }
    return Record("volume", {**fields, **columns})


def snapshot_record(volume: Record, **columns: Any) -> Record:
    """Return the record of a snapshot of a volume."""
    key = columns.pop("id", str(uuid.uuid4()))
    fields = {
        "id": key,
        "name": f"snapshot-{key}",
        "volume_id": volume.id,
        "volume_name": volume.name,
        "volume_size": volume.size,
        "volume": volume,
        "status": "creating",
        "progress": "0%",
        "display_name": NAME,
        "display_description": None,
        "created_at": MADE,
        "updated_at": None,
        "user_id": volume.user_id,
        "project_id": volume.project_id,
        "volume_type_id": volume.volume_type_id,
        "encryption_key_id": None,
        "group_snapshot_id": None,
        "group_snapshot": None,
        "cgsnapshot_id": None,
        "cgsnapshot": None,
        "provider_location": None,
        "provider_id": None,
        "provider_auth": None,
        "metadata": {},
    }
    return Record("snapshot", {**fields, **columns})
