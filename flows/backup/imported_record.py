# SPDX-License-Identifier: Apache-2.0
"""Validate the record of a backup of another installation; nothing in it is believed.

The importing user can have changed the record. It may describe its own backup only: its id is
that of the row, the driver checks that its place bears the id, and it refers to no row that is
not of its project and volume. Columns that belong to this installation or to an operation are
written by the worker: a record, or a row that was deleted and is used again, may name anything.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any
from unicodedata import category

from oslo_utils import timeutils, units, uuidutils

from drivers.interface.records import Record
from flows.context import BackupContext
from flows.errors import InvalidBackup, InvalidInput, NotFound
from flows.statuses import BackupStatus

MAX_LENGTH = units.Mi
"""Characters of a record."""

_REQUIRED = (
    *("display_name", "display_description", "container", "size"),
    *("service_metadata", "object_count", "id"),
)

_UNFIT = frozenset({"Cc", "Cs"})
"""Kinds of characters that are in the name of no place: controls, and halves of others."""

_MOST = 2**31 - 1
_WHOLE = (BackupStatus.AVAILABLE, BackupStatus.RESTORING)
"""Statuses of a backup that another one can build on."""


def decoded(text: Any) -> dict[str, Any]:
    """Read a record. :raises InvalidInput: it is none."""
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise InvalidInput("a record is a text of at most 1 MiB")
    try:
        # Cinder passes over line breaks, as programs that wrap base64 write them.
        found = json.loads(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidInput(f"the record cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput("the record is no JSON object")
    return found


def driver_info(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the driver's part of a record. :raises InvalidBackup: it is no object."""
    found = record.get("driver_info") or {}
    if not isinstance(found, Mapping):
        raise InvalidBackup("the record has a driver_info that is no object")
    return found


def columns(ctx: BackupContext, backup: Record, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that its record describes, and those that are the worker's.

    :raises InvalidBackup: the record is that of another backup, or a value does not fit.
    """
    if missing := [name for name in _REQUIRED if name not in record]:
        raise InvalidBackup(f"the record of backup {backup.id} lacks {', '.join(missing)}")
    if record["id"] != backup.id or not uuidutils.is_uuid_like(backup.id):
        raise InvalidBackup(f"the record is that of backup {record['id']!r:.60}")
    found = {}
    for name, check in _CHECKS.items():
        if name in record:
            found[name] = _checked(name, check, record[name])
    if found.get("encryption_key_id") is not None:
        _require_own_key(ctx, backup, found["encryption_key_id"])
    if found.get("volume_id") is None:
        found.pop("volume_id", None)
    of_volume = found.get("volume_id", backup.volume_id)
    if found.get("parent_id") is not None:
        _require_parent(ctx, backup, found["parent_id"], of_volume)
    if not _is_own_snapshot(ctx, backup, found.get("snapshot_id"), of_volume):
        found["snapshot_id"] = None
    return {**found, **_ours(ctx, backup)}


def _ours(ctx: BackupContext, backup: Record) -> dict[str, Any]:
    """Return the columns that no record has a say in."""
    return {
        "service": ctx.backend.service,
        "availability_zone": ctx.backend.zone,
        "host": ctx.backend.host,
        "temp_volume_id": None,
        "temp_snapshot_id": None,
        "restore_volume_id": None,
        "num_dependent_backups": len(ctx.backups.dependants(backup.id)),
    }


def _checked(name: str, check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise InvalidBackup(f"the record has the {name} {value!r:.120}") from error


def _require_parent(ctx: BackupContext, backup: Record, parent_id: str, volume_id: str) -> None:
    """:raises InvalidBackup: the parent is no whole backup of that project and volume."""
    parent = ctx.backups.find(parent_id)
    fits = (
        parent is not None
        and not parent.deleted
        and parent.id != backup.id
        and parent.status in _WHOLE
        and parent.project_id == backup.project_id
        and parent.volume_id == volume_id
        and ctx.backend.is_this_store(parent.service)
    )
    if not fits:
        text = "which is no available backup of its project and volume here; import it first"
        raise InvalidBackup(f"the record builds on backup {parent_id}, {text}")


def _require_own_key(ctx: BackupContext, backup: Record, key_id: str) -> None:
    """:raises InvalidBackup: the key is that of another resource, which would lose it."""
    others = set(ctx.backups.naming_key(key_id)) - {f"backup {backup.id}"}
    if others:
        text = f"has the key {key_id} of {min(others)}"
        raise InvalidBackup(f"the record of backup {backup.id} {text}")


def _is_own_snapshot(
    ctx: BackupContext, backup: Record, snapshot_id: str | None, volume_id: str
) -> bool:
    if snapshot_id is None:
        return True
    try:
        snapshot = ctx.snapshots.get(snapshot_id)
    except NotFound:
        return False
    return bool(snapshot.project_id == backup.project_id and snapshot.volume_id == volume_id)


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("no text")
    return value


def _place(value: Any) -> str | None:
    text = _text(value)
    if text is not None and not _UNFIT.isdisjoint(map(category, text)):
        raise ValueError("no name")
    return text


def _id(value: Any) -> str | None:
    text = _text(value)
    if text is not None and not uuidutils.is_uuid_like(text):
        raise ValueError("no id")
    return text


def _number(least: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise ValueError("no such number")
    return value


def _count(value: Any) -> int | None:
    return None if value is None else _number(0, value)


def _size(value: Any) -> int:
    return _number(1, value)


def _moment(value: Any) -> datetime.datetime | None:
    text = _text(value)
    if text is None:
        return None
    try:
        return timeutils.normalize_time(datetime.datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError("no time") from error


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "volume_id": _id,
    "container": _place,
    "parent_id": _id,
    "size": _size,
    "display_name": _text,
    "display_description": _text,
    "service_metadata": _place,
    "object_count": _count,
    "snapshot_id": _id,
    "data_timestamp": _moment,
    "encryption_key_id": _id,
}
"""The columns that are taken from a record. All others are the worker's, or the row's."""
