# SPDX-License-Identifier: Apache-2.0
"""Our records and contexts as Cinder's own objects.

They are made from a record, without a query: a temporary volume has no row. A
relation is fetched when it is first read: from the record where that has it, else as
Cinder does, from its database. The driver's own writes go there as well.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cinder import context as cinder_context
from cinder import exception, objects
from oslo_context import context as oslo_context

from drivers.compat.cinder import context_of
from drivers.compat.oslo_context import bind
from drivers.interface.records import Record

_WRITABLE = frozenset(
    {"provider_id", "provider_location", "provider_auth", "provider_geometry"}
    | {"metadata", "admin_metadata", "bootable", "multiattach", "encryption_key_id", "_name_id"}
    | {"replication_status", "replication_extended_status", "replication_driver_data"}
)
"""Columns that a driver may change on an object that it was given, instead of returning them."""


def context(ours: Any = None) -> Any:
    """Return Cinder's context of a request.

    :param ours: the request's; None for the one that this thread works on, or else an
        administrator's.
    """
    before = oslo_context.get_current()
    found = before if ours is None else ours
    if isinstance(found, cinder_context.RequestContext):
        return found
    wire: dict[str, Any] = {"is_admin": found is None}
    if found is not None:
        wire |= found.to_wire() if hasattr(found, "to_wire") else vars(found)
    wire |= {"timestamp": None, "roles": list(wire.get("roles") or ())}
    try:
        return cinder_context.RequestContext.from_dict(wire)
    finally:
        bind(before)  # Cinder's context binds itself to the thread


def cinders(record: Record, request: Any = None) -> Any:
    """Return the object of a record's kind, with an administrator's rights as to its rows."""
    return _CLASSES[record.kind].of(record, context(request).elevated())


def listed(records: Sequence[Record] | None, request: Any = None) -> list[Any] | None:
    """Return the objects of several records, None for none."""
    return None if records is None else [cinders(record, request) for record in records]


def changes(given: Any) -> dict[str, Any]:
    """Return the columns that a driver changed on its object, saved or not.

    Saved columns are in the database, but the worker may have read the row before.
    """
    return {**given._saved, **_changed(given)}


def _changed(given: Any) -> dict[str, Any]:
    changed = given.cinder_obj_get_changes()
    return {name: value for name, value in changed.items() if name in _WRITABLE}


def recorded(found: Any) -> Record:
    """Return an object of Cinder's as a record."""
    kind = {"Volume": "volume", "Snapshot": "snapshot"}[found.obj_name()]
    names = [name for name in found.fields if found.obj_attr_is_set(name)]
    plain = {name: found[name] for name in names if name not in found.OPTIONAL_FIELDS}
    return Record(kind, {**plain, "name": found.name})


def _pairs(_object: Any, pairs: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (pairs or {}).items()}


def _attachments(volume: Any, records: Sequence[Record] | None) -> Any:
    made = []
    for record in records or ():
        one = objects.VolumeAttachment(context_of(volume))
        _fill(one, {**record, **{name: _decoded(record.get(name)) for name in _JSON}})
        one.volume = volume
        one.obj_reset_changes()
        made.append(one)
    return objects.VolumeAttachmentList(context_of(volume), objects=made)


_JSON = ("connector", "connection_info")


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _volume_type(owner: Any, record: Record | None) -> Any:
    if record is None:
        return None
    made = objects.VolumeType(context_of(owner))
    _fill(made, record)
    made.extra_specs = dict(record.get("extra_specs") or {})
    made.obj_reset_changes()
    return made


def _related(owner: Any, record: Record | None) -> Any:
    return None if record is None else _CLASSES[record.kind].of(record, context_of(owner))


def _members(kind: str) -> Callable[[Any, Sequence[Record] | None], Any]:
    def members(owner: Any, records: Sequence[Record] | None) -> Any:
        made = [_related(owner, record) for record in records or ()]
        return getattr(objects, kind)(context_of(owner), objects=made)

    return members


def _volume_types(group: Any, records: Sequence[Record] | None) -> Any:
    made = [_volume_type(group, record) for record in records or ()]
    return objects.VolumeTypeList(context_of(group), objects=made)


def _fill(made: Any, values: Mapping[str, Any]) -> None:
    """Write the columns; those that a record lacks are empty, as in a new row."""
    for name, field in made.fields.items():
        if name in made.OPTIONAL_FIELDS:
            continue
        value = values.get(name)
        if value is not None or field.nullable:
            setattr(made, name, value)
        elif name == "use_quota":
            made.use_quota = True


class _Lazy:
    """An object of Cinder's that fetches its relations from a record."""

    RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {}

    CHANGING: frozenset[str] = frozenset()
    """Relations that drivers save: the record may have been read before they did."""

    _record: Record | None = None
    _saved: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(cls, record: Record, request: Any) -> Any:
        made: Any = cls(request)  # type: ignore[call-arg]
        made._record, made._saved = record, {}
        _fill(made, record)
        if record.kind == "snapshot":  # the one relation that Cinder fetches at once
            made.metadata = _pairs(made, record.get("metadata"))
        made.obj_reset_changes()
        return made

    @classmethod
    def obj_name(cls) -> str:
        """Return the name under which Cinder has registered its class."""
        return cls.__name__.removeprefix("_")

    def obj_load_attr(self, attrname: str) -> None:
        """Fetch a relation."""
        make, record = self.RELATIONS.get(attrname), self._record
        if make is None or record is None or attrname not in record:
            super().obj_load_attr(attrname)  # type: ignore[misc]
            return
        if attrname in self.CHANGING:
            with contextlib.suppress(exception.VolumeNotFound):
                super().obj_load_attr(attrname)  # type: ignore[misc]
                return
        setattr(self, attrname, make(self, record[attrname]))
        self.obj_reset_changes(fields=[attrname])  # type: ignore[attr-defined]

    def save(self) -> None:
        """Write to Cinder's database, and remember the columns."""
        self._saved = {**self._saved, **_changed(self)}
        super().save()  # type: ignore[misc]


class _Volume(_Lazy, objects.Volume):  # type: ignore[misc]
    RELATIONS = {
        "metadata": _pairs,
        "admin_metadata": _pairs,
        "glance_metadata": _pairs,
        "volume_type": _volume_type,
        "volume_attachment": _attachments,
        "group": _related,
        "consistencygroup": _related,
    }
    CHANGING = frozenset({"metadata", "admin_metadata"})


class _Snapshot(_Lazy, objects.Snapshot):  # type: ignore[misc]
    RELATIONS = {"volume": _related, "cgsnapshot": _related, "group_snapshot": _related}


class _Group(_Lazy, objects.Group):  # type: ignore[misc]
    RELATIONS = {"volumes": _members("VolumeList"), "volume_types": _volume_types}


class _GroupSnapshot(_Lazy, objects.GroupSnapshot):  # type: ignore[misc]
    RELATIONS = {"group": _related, "snapshots": _members("SnapshotList")}


class _ConsistencyGroup(_Lazy, objects.ConsistencyGroup):  # type: ignore[misc]
    RELATIONS = {"volumes": _members("VolumeList")}


class _CGSnapshot(_Lazy, objects.CGSnapshot):  # type: ignore[misc]
    RELATIONS = {"consistencygroup": _related, "snapshots": _members("SnapshotList")}


class _Backup(_Lazy, objects.Backup):  # type: ignore[misc]
    RELATIONS = {"metadata": _pairs, "parent": _related}


_CLASSES: Mapping[str, Any] = {
    "volume": _Volume,
    "snapshot": _Snapshot,
    "group": _Group,
    "group_snapshot": _GroupSnapshot,
    "consistencygroup": _ConsistencyGroup,
    "cgsnapshot": _CGSnapshot,
    "backup": _Backup,
}


def volume_type(record: Record, request: Any = None) -> dict[str, Any]:
    """Return a volume type as the dict that ``retype`` is given."""
    specs = dict(record.get("extra_specs") or {})
    return {**record.to_dict(), "extra_specs": specs}
