# SPDX-License-Identifier: Apache-2.0
"""Check each answer of a driver: known columns, values of their types, known statuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.interface.group import MemberStatus
from drivers.interface.records import Record

_TEXT: tuple[type, ...] = (str, type(None))

LONGEST = 255
"""Characters that a column of text has room for."""

_SHARED: Mapping[str, tuple[type, ...]] = {
    "provider_location": _TEXT,
    "provider_id": _TEXT,
    "provider_auth": _TEXT,
    "metadata": (dict,),
}
VOLUME_COLUMNS: Mapping[str, tuple[type, ...]] = {
    **_SHARED,
    "provider_geometry": _TEXT,
    "replication_status": _TEXT,
    "replication_driver_data": _TEXT,
    "replication_extended_status": _TEXT,
    "admin_metadata": (dict,),
    "encryption_key_id": _TEXT,
    "availability_zone": _TEXT,
    "_name_id": _TEXT,
    "bootable": (bool,),
    "multiattach": (bool,),
    "shared_targets": (bool, type(None)),
    "display_name": _TEXT,
    "display_description": _TEXT,
    "volume_type_id": _TEXT,
    "service_uuid": _TEXT,
}
SNAPSHOT_COLUMNS: Mapping[str, tuple[type, ...]] = {
    **_SHARED,
    "encryption_key_id": _TEXT,
    "display_name": _TEXT,
    "display_description": _TEXT,
    "volume_type_id": _TEXT,
}
BACKUP_COLUMNS: Mapping[str, tuple[type, ...]] = {
    "container": _TEXT,
    "parent_id": _TEXT,
    "object_count": (int,),
    "service_metadata": _TEXT,
    "encryption_key_id": _TEXT,
    "availability_zone": _TEXT,
    "display_name": _TEXT,
    "display_description": _TEXT,
    "data_timestamp": (object,),
}
"""Columns that a driver may write, with the types of their values."""

_COLUMNS = {"volume": VOLUME_COLUMNS, "snapshot": SNAPSHOT_COLUMNS, "backup": BACKUP_COLUMNS}

REPLICATION_STATUSES = {
    *("disabled", "enabled", "enabling", "disabling", "error", "failed-over", "failing-over"),
    *("error-failing-over", "not-capable", "inactive", "active", "copying", "active-stopped"),
    None,
}

_BY_LIST = {
    "delete_consistencygroup": (2,),
    "delete_group": (2,),
    "create_consistencygroup_from_src": (2,),
    "create_group_from_src": (2,),
    "create_cgsnapshot": (2,),
    "create_group_snapshot": (2,),
    "delete_cgsnapshot": (2,),
    "delete_group_snapshot": (2,),
    "update_consistencygroup": (2, 3),
    "update_group": (2, 3),
}
"""Which arguments of a method are the members of which it returns a list of updates."""

_GROUP_KEYS = {
    *("id", "status", "name", "description", "replication_status", "group_type_id"),
    *("availability_zone", "volume_type_id"),
}


def update(answer: Any, record: Record) -> str | None:
    """Return a fault of an update of a row; None where it has none."""
    if answer is None:
        return None
    if answer is record or isinstance(answer, Record):
        return "the record itself was returned: build a new dict"
    if not isinstance(answer, Mapping):
        return f"a {type(answer).__name__} was returned, not a dict of columns"
    if "status" in answer:
        return "a status was returned: a driver raises instead"
    if answer.get("id", record.id) != record.id:
        return f"an update of {answer['id']} was returned for {record.id}"
    known = _COLUMNS[record.kind]
    place = answer.get("host")
    if place is not None and not _is_another_pool(place, record):
        return f"the host {place!r} is no pool of the backend of {record.get('host')}"
    rest = {name: value for name, value in answer.items() if name not in ("id", "host")}
    return _first(_column(name, value, known) for name, value in rest.items())


def _is_another_pool(place: Any, record: Record) -> bool:
    old = record.get("host")
    if not isinstance(place, str) or not isinstance(old, str):
        return False
    backend, _, pool = place.partition("#")
    return bool(pool) and backend == old.partition("#")[0]


def _column(name: Any, value: Any, known: Mapping[str, tuple[type, ...]]) -> str | None:
    if name not in known:
        return f"{name!r} is no column that a driver writes"
    if not isinstance(value, known[name]) or (isinstance(value, bool) and bool not in known[name]):
        return f"{name} = {value!r} has the wrong type"
    if isinstance(value, str) and len(value) > LONGEST and name != "service_metadata":
        return f"{name} has {len(value)} characters, and the column room for {LONGEST}"
    if isinstance(value, str) and "\0" in value:
        return f"{name} has a NUL character, which databases refuse"
    if name == "replication_status" and value not in REPLICATION_STATUSES:
        return f"replication_status {value!r} is unknown"
    if isinstance(value, dict):
        pairs = value.items()
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in pairs):
            return f"{name} has keys or values that are no text"
    return None


def group_update(answer: Any) -> str | None:
    """Return a fault of an update of a group or group snapshot."""
    if answer is None:
        return None
    if isinstance(answer, Record) or not isinstance(answer, Mapping):
        return f"a {type(answer).__name__} was returned for the group, not a dict"
    if unknown := sorted(map(str, set(answer) - _GROUP_KEYS)):
        return f"unknown columns of the group: {', '.join(unknown)}"
    return _status(answer)


def _status(entry: Mapping[str, Any]) -> str | None:
    status = entry.get("status")
    if "status" in entry and status not in set(MemberStatus):
        return f"the status {status!r} is unknown"
    return None


def member_updates(answer: Any, members: Sequence[Record] | None) -> str | None:
    """Return a fault of a list of updates of members."""
    if answer is None:
        return None
    if isinstance(answer, str | Mapping) or not isinstance(answer, Sequence):
        return f"a {type(answer).__name__} was returned for the members, not a list"
    by_id = {member.id: member for member in members or ()}
    return _first(_entry(entry, by_id) for entry in answer)


def _entry(entry: Any, by_id: Mapping[str, Record]) -> str | None:
    if isinstance(entry, Record) or not isinstance(entry, Mapping):
        return f"an entry of a list is a {type(entry).__name__}, not a new dict"
    if entry.get("id") not in by_id:
        return f"an entry is of {entry.get('id')!r}, which is no member"
    rest = {name: value for name, value in entry.items() if name != "status"}
    return _status(entry) or update(rest, by_id[entry["id"]])


def connection(answer: Any) -> str | None:
    """Return a fault of connection info."""
    if not isinstance(answer, Mapping):
        return f"a {type(answer).__name__} was returned, not a dict"
    if not isinstance(answer.get("driver_volume_type"), str) or not answer["driver_volume_type"]:
        return "driver_volume_type is missing, or no text"
    if not isinstance(answer.get("data"), Mapping):
        return "data is missing, or no dict"
    path = answer["data"].get("device_path")
    if isinstance(path, str) and not path.startswith("/"):
        return f"device_path {path!r} is not absolute: consumers have other working directories"
    try:
        if json.loads(json.dumps(dict(answer))) != dict(answer):
            return "it changes when it is sent as JSON"
    except (TypeError, ValueError) as error:
        return f"it cannot be sent as JSON: {error}"
    return None


def _group(name: str, answer: Any, arguments: Sequence[Any]) -> str | None:
    places = _BY_LIST[name]
    if answer is None:
        return None
    if not isinstance(answer, tuple | list) or len(answer) != 1 + len(places):
        return f"{answer!r:.80} was returned, not {1 + len(places)} values"
    members = [arguments[place] if place < len(arguments) else None for place in places]
    pairs = zip(answer[1:], members, strict=True)
    return group_update(answer[0]) or _first(member_updates(*pair) for pair in pairs)


def _nothing(answer: Any, _: Sequence[Any]) -> str | None:
    return None if answer is None else f"{answer!r:.80} was returned, not None"


def _boolean(answer: Any, _: Sequence[Any]) -> str | None:
    is_one = answer is None or isinstance(answer, bool)
    return None if is_one else f"{answer!r:.80} was returned, neither a boolean nor None"


def _flag(answer: Any, _: Sequence[Any]) -> str | None:
    return None if isinstance(answer, bool) else f"{answer!r:.80} was returned, not a boolean"


def _own_row(place: int) -> Callable[[Any, Sequence[Any]], str | None]:
    def check(answer: Any, arguments: Sequence[Any]) -> str | None:
        return update(answer, arguments[place])

    return check


def _retype(answer: Any, arguments: Sequence[Any]) -> str | None:
    if isinstance(answer, tuple | list) and len(answer) == 2:
        return _flag(answer[0], ()) or update(answer[1], arguments[1])
    return _flag(answer, ())


def _migrated(answer: Any, arguments: Sequence[Any]) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"{answer!r:.80} was returned, not whether it was moved, and an update"
    return _flag(answer[0], ()) or update(answer[1] or None, arguments[1])


def _size(answer: Any, _: Sequence[Any]) -> str | None:
    is_one = isinstance(answer, int) and not isinstance(answer, bool) and answer > 0
    return None if is_one else f"the size {answer!r:.80} is no whole number above 0"


def _extents(answer: Any, _: Sequence[Any]) -> str | None:
    if answer is None:
        return None
    if isinstance(answer, str) or not isinstance(answer, Sequence):
        return f"{answer!r:.80} is no list of extents"
    end = 0
    for extent in answer:
        if not isinstance(extent, tuple | list) or len(extent) != 2:
            return f"{extent!r:.80} is no pair of a begin and an end"
        if not all(isinstance(one, int) and not isinstance(one, bool) for one in extent):
            return f"{extent!r:.80} is no pair of whole numbers"
        if not end <= extent[0] < extent[1]:
            return f"{extent!r:.80} is empty, or not behind the extent before it"
        end = extent[1]
    return None


def _listed(answer: Any, _: Sequence[Any]) -> str | None:
    if not isinstance(answer, list):
        return f"a {type(answer).__name__} was returned, not a list"
    needed = {"reference", "size", "safe_to_manage", "reason_not_safe", "cinder_id"}
    for entry in answer:
        if missing := needed - set(entry):
            return f"an entry lacks {', '.join(sorted(missing))}"
        if not isinstance(entry["reference"], dict) or not entry["reference"]:
            return f"{entry['reference']!r:.80} is no reference"
        if fault := _size(entry["size"], ()) or _flag(entry["safe_to_manage"], ()):
            return fault
        if not entry["safe_to_manage"] and not entry["reason_not_safe"]:
            return f"{entry['reference']} is not safe to manage, for no reason"
    return None


def _first(faults: Any) -> str | None:
    return next((fault for fault in faults if fault), None)


_CHECKS: Mapping[str, Callable[[Any, Sequence[Any]], str | None]] = {
    **{
        name: _own_row(0)
        for name in (
            *("create_volume", "create_snapshot", "create_volume_from_snapshot"),
            *("create_cloned_volume", "manage_existing", "manage_existing_snapshot"),
        )
    },
    **{
        name: _own_row(1)
        for name in ("create_export", "ensure_export", "create_export_snapshot", "accept_transfer")
    },
    **{
        name: _nothing
        for name in (
            *("delete_volume", "delete_snapshot", "extend_volume", "unmanage", "remove_export"),
            *("unmanage_snapshot", "attach_volume", "detach_volume", "revert_to_snapshot"),
            *("remove_export_snapshot", "validate_connector", "clear_download"),
        )
    },
    **{name: _boolean for name in ("terminate_connection", "terminate_connection_snapshot")},
    **{
        name: _flag
        for name in (
            *("secure_file_operations_enabled", "snapshot_revert_use_temp_snapshot"),
            "backup_use_temp_snapshot",
        )
    },
    **{
        name: lambda answer, _: connection(answer)
        for name in ("initialize_connection", "initialize_connection_snapshot")
    },
    **{
        name: lambda answer, _: group_update(answer)
        for name in ("create_consistencygroup", "create_group")
    },
    **{name: _size for name in ("manage_existing_get_size", "manage_existing_snapshot_get_size")},
    **{name: _listed for name in ("get_manageable_volumes", "get_manageable_snapshots")},
    "retype": _retype,
    "migrate_volume": _migrated,
    "changed_extents": _extents,
}


def fault(name: str, answer: Any, arguments: Sequence[Any]) -> str | None:
    """Return the fault of a method's answer; None where it has none.

    :param arguments: those of the call, by position.
    """
    if name in _BY_LIST:
        return _group(name, answer, arguments)
    check = _CHECKS.get(name)
    return None if check is None else check(answer, arguments)
