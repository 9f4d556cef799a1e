# SPDX-License-Identifier: Apache-2.0
"""Our records as the versioned objects that Cinder's services expect.

Names, versions and fields are those of object version 1.39 (spec/service §3).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from worker.rpc.codec import encode

_TIMES = ("created_at", "updated_at", "deleted_at")

VOLUME_FIELDS = (
    "id _name_id ec2_id user_id project_id use_quota snapshot_id cluster_name host size"
    " availability_zone status attach_status migration_status scheduled_at launched_at"
    " terminated_at display_name display_description provider_id provider_location"
    " provider_auth provider_geometry volume_type_id source_volid encryption_key_id"
    " consistencygroup_id group_id deleted bootable multiattach replication_status"
    " replication_extended_status replication_driver_data previous_status service_uuid"
    " shared_targets"
).split()

SNAPSHOT_FIELDS = (
    "id user_id project_id use_quota volume_id cgsnapshot_id group_snapshot_id status"
    " progress volume_size display_name display_description encryption_key_id"
    " volume_type_id provider_location provider_id provider_auth deleted"
).split()

ATTACHMENT_FIELDS = (
    "id volume_id instance_uuid attached_host mountpoint attach_time detach_time"
    " attach_status attach_mode deleted"
).split()

_FLAGS = frozenset({"deleted", "bootable", "multiattach", "use_quota"})


def volume(record: Mapping[str, Any], *, metadata: bool = True) -> dict[str, Any]:
    """Return a ``Volume`` 1.9."""
    fields = _fields(record, VOLUME_FIELDS)
    if metadata:
        fields["metadata"] = dict(record.get("metadata") or {})
        fields["admin_metadata"] = dict(record.get("admin_metadata") or {})
    return encode("Volume", "1.9", fields)


def snapshot(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``Snapshot`` 1.6."""
    fields = _fields(record, SNAPSHOT_FIELDS)
    fields["metadata"] = dict(record.get("metadata") or {})
    return encode("Snapshot", "1.6", fields)


def attachment(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a ``VolumeAttachment`` 1.3, None for none."""
    if record is None:
        return None
    return encode("VolumeAttachment", "1.3", _fields(record, ATTACHMENT_FIELDS))


def log_level(prefix: str, level: str | None = None) -> dict[str, Any]:
    """Return a ``LogLevel`` 1.0."""
    return encode("LogLevel", "1.0", {"prefix": prefix, "level": level})


def log_levels(levels: Mapping[str, str]) -> dict[str, Any]:
    """Return a ``LogLevelList`` 1.0 of logger names and levels."""
    entries = [log_level(name, level) for name, level in levels.items()]
    return encode("LogLevelList", "1.0", {"objects": entries})


def _fields(record: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    fields = {name: _plain(name, record.get(name)) for name in (*names, *_TIMES)}
    return fields


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None, microsecond=0).isoformat() + "Z"
    if name in _FLAGS:
        return bool(value)
    return value
