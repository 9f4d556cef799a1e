# SPDX-License-Identifier: Apache-2.0
"""Records of volumes and snapshots that are not made yet, with all fields that drivers read."""

from __future__ import annotations

import uuid
from typing import Any

from drivers.interface.records import Record


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
        "attach_status": "detached",
        "provider_location": None,
        "provider_id": None,
        "provider_auth": None,
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
        "provider_location": None,
        "provider_id": None,
        "metadata": {},
    }
    return Record("snapshot", {**fields, **columns})
