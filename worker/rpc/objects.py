# SPDX-License-Identifier: Apache-2.0
"""Our records as the versioned objects that Cinder's services expect.

Names, versions and fields are those of object version 1.39; a receiver that is
capped at 1.38 gets the volumes and snapshots of that one (spec/service §3).
Relations that a row does not have are left out: the receiver then reads them
from the database itself.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oslo_utils import timeutils

from drivers.interface.records import Record
from worker.rpc.codec import encode

OBJECT_VERSION = "1.39"
"""The list of object versions that we write, and announce in ``services``."""

_OLDER: Mapping[str, Mapping[str, tuple[str, frozenset[str]]]] = {
    "1.38": {
        "Volume": ("1.8", frozenset({"use_quota"})),
        "Snapshot": ("1.5", frozenset({"use_quota"})),
    },
    OBJECT_VERSION: {},
}
"""Per version cap: objects that are sent in an older version, and the fields left out."""

_TIMES = frozenset(
    {"created_at", "updated_at", "deleted_at", "scheduled_at", "launched_at", "terminated_at"}
    | {"attach_time", "detach_time", "modified_at", "data_timestamp"}
)
_FLAGS = frozenset({"deleted", "bootable", "multiattach", "is_public", "disabled", "frozen"})
_NULLABLE_FLAGS = frozenset({"shared_targets"})
_JSON_TEXTS = frozenset({"connector", "connection_info"})

_Maker = Callable[[Any], Any]


def _names(text: str) -> tuple[str, ...]:
    return (*text.split(), "created_at", "updated_at", "deleted_at", "deleted")


_VOLUME = _names(
    "id _name_id ec2_id user_id project_id use_quota snapshot_id cluster_name host size"
    " availability_zone status attach_status migration_status scheduled_at launched_at"
    " terminated_at display_name display_description provider_id provider_location"
    " provider_auth provider_geometry volume_type_id source_volid encryption_key_id"
    " consistencygroup_id group_id bootable multiattach replication_status"
    " replication_extended_status replication_driver_data previous_status service_uuid"
    " shared_targets"
)
_SNAPSHOT = _names(
    "id user_id project_id use_quota volume_id cgsnapshot_id group_snapshot_id status"
    " progress volume_size display_name display_description encryption_key_id"
    " volume_type_id provider_location provider_id provider_auth"
)
_ATTACHMENT = _names(
    "id volume_id instance_uuid attached_host mountpoint attach_time detach_time"
    " attach_status attach_mode connection_info connector"
)
_VOLUME_TYPE = ("description", *_names("id name is_public extra_specs qos_specs_id"))
_GROUP = _names(
    "id user_id project_id cluster_name host availability_zone name description"
    " group_type_id status group_snapshot_id source_group_id replication_status"
)
_GROUP_SNAPSHOT = _names("id group_id project_id user_id name description status group_type_id")
_CONSISTENCYGROUP = _names(
    "id user_id project_id cluster_name host availability_zone name description"
    " volume_type_id status cgsnapshot_id source_cgid"
)
_CGSNAPSHOT = _names("id consistencygroup_id project_id user_id name description status")
_BACKUP = _names(
    "id user_id project_id volume_id host availability_zone container parent_id status"
    " fail_reason size display_name display_description service_metadata service"
    " object_count temp_volume_id temp_snapshot_id num_dependent_backups snapshot_id"
    " data_timestamp restore_volume_id encryption_key_id"
)
_MANAGEABLE = ("reference", "size", "safe_to_manage", "reason_not_safe", "cinder_id", "extra_info")
_SERVICE = _names(
    "id host binary cluster_name topic report_count disabled availability_zone"
    " disabled_reason modified_at rpc_current_version object_current_version"
    " replication_status frozen active_backend_id uuid"
)


def volume(record: Mapping[str, Any], cap: str = OBJECT_VERSION) -> dict[str, Any]:
    """Return a ``Volume`` 1.9.

    :param cap: the receiver's object version.
    :raises ValueError: there is no such version.
    """
    relations = _relations(
        record,
        {
            "metadata": _pairs,
            "admin_metadata": _pairs,
            "glance_metadata": _pairs,
            "volume_type": volume_type,
            "volume_attachment": attachments,
        },
    )
    return _encode("Volume", "1.9", {**_fields(record, _VOLUME), **relations}, cap)


def snapshot(record: Mapping[str, Any], cap: str = OBJECT_VERSION) -> dict[str, Any]:
    """Return a ``Snapshot`` 1.6. :raises ValueError: there is no such cap."""
    fields = _fields(record, _SNAPSHOT) | _relations(record, {"metadata": _pairs})
    return _encode("Snapshot", "1.6", fields, cap)


def group(record: Mapping[str, Any], cap: str = OBJECT_VERSION) -> dict[str, Any]:
    """Return a ``Group`` 1.2, or a ``ConsistencyGroup`` 1.4 for a row of old."""
    if "group_type_id" not in record:
        return _encode("ConsistencyGroup", "1.4", _fields(record, _CONSISTENCYGROUP), cap)
    types = _relations(record, {"volume_type_ids": list})
    return _encode("Group", "1.2", {**_fields(record, _GROUP), **types}, cap)


def group_snapshot(record: Mapping[str, Any], cap: str = OBJECT_VERSION) -> dict[str, Any]:
    """Return a ``GroupSnapshot`` 1.0, or a ``CGSnapshot`` 1.1 for a row of old."""
    if "group_id" not in record:
        return _encode("CGSnapshot", "1.1", _fields(record, _CGSNAPSHOT), cap)
    return _encode("GroupSnapshot", "1.0", _fields(record, _GROUP_SNAPSHOT), cap)


def backup(record: Mapping[str, Any], cap: str = OBJECT_VERSION) -> dict[str, Any]:
    """Return a ``Backup`` 1.7."""
    fields = _fields(record, _BACKUP) | _relations(record, {"metadata": _pairs})
    return _encode("Backup", "1.7", fields, cap)


def backup_device(source: Record, secure: bool, cap: str = OBJECT_VERSION) -> dict[str, Any]:
    """Return a volume or snapshot as a ``BackupDeviceInfo`` 1.0.

    :param secure: whether its files belong to the service's user.
    """
    kinds = {"volume": volume, "snapshot": snapshot}
    fields = {source.kind: kinds[source.kind](source, cap), "secure_enabled": secure}
    return encode("BackupDeviceInfo", "1.0", fields, tuple(fields))


def attachment(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a ``VolumeAttachment`` 1.3, None for none."""
    if record is None:
        return None
    return encode("VolumeAttachment", "1.3", _fields(record, _ATTACHMENT))


def attachments(records: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return a ``VolumeAttachmentList`` 1.1."""
    entries = [attachment(record) for record in records or ()]
    return encode("VolumeAttachmentList", "1.1", {"objects": entries})


def volume_type(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a ``VolumeType`` 1.3 of the columns that are there, None for none."""
    if record is None:
        return None
    present = tuple(name for name in _VOLUME_TYPE if name in record)
    return encode("VolumeType", "1.3", _fields(record, present))


def service(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``Service`` 1.6."""
    return encode("Service", "1.6", _fields(record, _SERVICE))


def manageable_volume(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``ManageableVolume`` 1.0."""
    return encode("ManageableVolume", "1.0", _listed(entry, _MANAGEABLE))


def manageable_snapshot(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``ManageableSnapshot`` 1.0."""
    return encode("ManageableSnapshot", "1.0", _listed(entry, ("source_reference", *_MANAGEABLE)))


def log_level(prefix: str, level: str | None = None) -> dict[str, Any]:
    """Return a ``LogLevel`` 1.0."""
    return encode("LogLevel", "1.0", {"prefix": prefix, "level": level}, ("prefix", "level"))


def log_levels(levels: Mapping[str, str]) -> dict[str, Any]:
    """Return a ``LogLevelList`` 1.0 of logger names and levels."""
    entries = [log_level(name, level) for name, level in levels.items()]
    return encode("LogLevelList", "1.0", {"objects": entries}, ("objects",))


def _listed(entry: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry.get(name) for name in names}


def _encode(name: str, version: str, fields: dict[str, Any], cap: str) -> dict[str, Any]:
    if cap not in _OLDER:
        raise ValueError(f"no objects of version {cap}, only of {', '.join(sorted(_OLDER))}")
    version, left_out = _OLDER[cap].get(name, (version, frozenset()))
    return encode(name, version, {k: v for k, v in fields.items() if k not in left_out})


def _pairs(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(values or {})


def _relations(record: Mapping[str, Any], makers: Mapping[str, _Maker]) -> dict[str, Any]:
    return {name: make(record[name]) for name, make in makers.items() if name in record}


def _fields(record: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(name, record.get(name)) for name in names}


def _plain(name: str, value: Any) -> Any:
    if name in _TIMES:
        return _time(value)
    if name == "use_quota":
        return value is None or bool(value)
    if name in _FLAGS:
        return bool(value)
    if name in _NULLABLE_FLAGS and value is not None:
        return bool(value)
    if name in _JSON_TEXTS and isinstance(value, str):
        return json.loads(value)
    return value


def _time(value: Any) -> str | None:
    """Return a time as Cinder's objects carry it: UTC, whole seconds, with a Z."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    return f"{timeutils.normalize_time(value).isoformat(timespec='seconds')}Z"
