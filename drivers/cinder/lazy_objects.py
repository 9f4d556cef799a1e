# SPDX-License-Identifier: Apache-2.0
"""Cinder's objects over our records; relations are fetched when they are first looked for.

Cinder loads some relations of an object together with its row (``EAGER``), and the others when
they are first read. Here those of the first kind are fetched at the first look as well, be it
a reading or the question whether they are loaded. So a driver finds the graph that Cinder
would give it, and pays only for the part of it that it looks at. The graph has no cycle: a
relation that leads back is another object of the same row, as in Cinder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from cinder import exception, objects
from oslo_versionedobjects import fields

from drivers.compat.cinder import context_of, field_of
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)

_Make = Callable[[Any, Any], Any]

_OF_THE_WORKER = frozenset(
    {"status", "fail_reason", "host", "service", "availability_zone"}
    | {"user_id", "project_id", "volume_id", "snapshot_id", "restore_volume_id"}
    | {"temp_volume_id", "temp_snapshot_id", "num_dependent_backups", "encryption_key_id"}
)
"""Columns of a backup that no driver writes."""

WRITABLE = frozenset(
    {"provider_id", "provider_location", "provider_auth", "provider_geometry"}
    | {"metadata", "admin_metadata", "bootable", "multiattach", "encryption_key_id", "_name_id"}
    | {"replication_status", "replication_extended_status", "replication_driver_data"}
)
"""Columns that a driver may change on an object that it was given, instead of returning them."""


def made(record: Record, request: Any, *, member: bool = False) -> Any:
    """Return the object of a record's kind.

    :param request: Cinder's context, which the object keeps.
    :param member: whether it belongs to a list: Cinder then loads less of its relations.
    """
    return _CLASSES[record.kind].of(record, request, member=member)


def backup_of_row(request: Any, backup_id: str) -> Any:
    """Return the object of a backup as its row is now.

    :param request: Cinder's context.
    :raises BackupNotFound: there is no row.
    """
    return _Backup.get_by_id(request, backup_id)


def changed(given: Any) -> dict[str, Any]:
    """Return the columns that were changed on an object and not saved."""
    found = given.cinder_obj_get_changes()
    return {name: value for name, value in found.items() if name in WRITABLE}


class _Lazy:
    """An object of Cinder's that fetches its relations from a record."""

    RELATIONS: Mapping[str, _Make] = {}

    EAGER: Collection[str] = ()
    """Relations that Cinder loads with the row."""

    CHANGING: Collection[str] = ()
    """Relations that drivers save: the record may have been read before they did."""

    _record: Record | None = None
    _member = False
    _eager: Collection[str] = ()
    _unasked_in: int | None = None
    saved: Mapping[str, Any] = MappingProxyType({})
    """Columns that were written to the database."""

    @classmethod
    def of(cls, record: Record, request: Any, *, member: bool = False) -> Any:
        """Return the object of a record."""
        found: Any = cls(request)  # type: ignore[call-arg]
        found._record, found._member, found.saved = record, member, {}
        found._eager = cls.EAGER
        found._fill(record)
        found.obj_reset_changes()
        return found

    @classmethod
    def obj_name(cls) -> str:
        """Return the name under which Cinder has registered its class."""
        return cls.__name__.removeprefix("_")

    def __getattr__(self, name: str) -> Any:
        """Fetch a relation that Cinder would have loaded, when its value is first looked for."""
        relation = field_of(name)
        if relation in self._eager and self._has_row_for(relation):
            with contextlib.suppress(exception.VolumeNotFound):  # there is neither row nor record
                self.obj_load_attr(relation)
                return vars(self)[name]
        raise AttributeError(name)

    def _has_row_for(self, relation: str) -> bool:
        """Return whether a relation can be fetched now; a missing type is none to Cinder."""
        if self._record is None or self._unasked_in == threading.get_ident():
            return False
        return relation != "volume_type" or self._record.get(relation) is not None

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
        self.obj_reset_changes(fields=[attrname])

    def obj_what_changed(self) -> set[str]:
        """Return the changed fields; a relation that was not fetched is none of them."""
        with self._unasked():
            return set(super().obj_what_changed())  # type: ignore[misc]

    def obj_reset_changes(self, *args: Any, **named: Any) -> None:
        """Forget the changes, and fetch nothing for it."""
        with self._unasked():
            super().obj_reset_changes(*args, **named)  # type: ignore[misc]

    def save(self) -> None:
        """Write to Cinder's database, and remember the columns."""
        columns = changed(self)
        super().save()  # type: ignore[misc]
        self.saved = {**self.saved, **columns}

    def conditional_update(self, values: Mapping[str, Any], *args: Any, **named: Any) -> bool:
        """Write to Cinder's database under a condition, and remember the columns."""
        done = bool(super().conditional_update(values, *args, **named))  # type: ignore[misc]
        if done:
            self.saved = {**self.saved, **{name: self[name] for name in WRITABLE & values.keys()}}  # type: ignore[index]
        return done

    def refresh(self) -> None:
        """Read the row again; what was saved before stays known."""
        saved = self.saved
        super().refresh()  # type: ignore[misc]
        self.saved = saved

    def _fill(self, values: Mapping[str, Any]) -> None:
        """Write the columns; those that a record lacks are empty, as in a new row."""
        known: Any = self
        for name, field in known.fields.items():
            if name in known.OPTIONAL_FIELDS:
                continue
            value = values.get(name)
            if isinstance(field, fields.IntegerField):
                value = value or 0
            if value is not None or field.nullable:
                setattr(self, name, value)
            elif name == "use_quota":
                setattr(self, name, True)

    @contextmanager
    def _unasked(self) -> Iterator[None]:
        """Let the library look at the fields, in this thread, without fetching a relation."""
        before, self._unasked_in = self._unasked_in, threading.get_ident()
        try:
            yield
        finally:
            self._unasked_in = before


def _pairs(_owner: Any, pairs: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (pairs or {}).items()}


def _related(owner: Any, record: Record | None) -> Any:
    return None if record is None else made(record, context_of(owner))


def _list(kind: str, owner: Any, members: Sequence[Any]) -> Any:
    found = getattr(objects, kind)(context_of(owner), objects=list(members))
    found.obj_reset_changes()  # it would count as changed, and its owner with it
    return found


def _members(kind: str) -> _Make:
    def members(owner: Any, records: Sequence[Record] | None) -> Any:
        request = context_of(owner)
        return _list(kind, owner, [made(one, request, member=True) for one in records or ()])

    return members


def _attachments(volume: Any, records: Sequence[Record] | None) -> Any:
    request = context_of(volume)
    found = [made(one.replace(volume=volume._record), request) for one in records or ()]
    return _list("VolumeAttachmentList", volume, found)


def _volume_type(volume: Any, record: Record | None) -> Any:
    if record is None:
        return None
    found = made(record, context_of(volume))
    found._eager = () if volume._member else ("extra_specs",)
    return found


def _volume_types(group: Any, records: Sequence[Record] | None) -> Any:
    found = [made(one, context_of(group)) for one in records or () if one is not None]
    return _list("VolumeTypeList", group, found)


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
    EAGER = ("metadata", "admin_metadata", "volume_type", "volume_attachment")
    CHANGING = ("metadata", "admin_metadata")


class _VolumeAttachment(_Lazy, objects.VolumeAttachment):  # type: ignore[misc]
    RELATIONS = {"volume": _related}
    CHANGING = ("volume",)

    def _fill(self, values: Mapping[str, Any]) -> None:
        decoded = {name: _decoded(values.get(name)) for name in ("connector", "connection_info")}
        columns = {name: values[name] for name in self.fields if name in values}
        columns.pop("volume", None)
        super()._fill({**columns, **decoded})


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value or None


class _VolumeType(_Lazy, objects.VolumeType):  # type: ignore[misc]
    RELATIONS = {"extra_specs": lambda _type, pairs: dict(pairs or {})}
    EAGER = ("extra_specs", "projects")


class _Snapshot(_Lazy, objects.Snapshot):  # type: ignore[misc]
    RELATIONS = {"volume": _related, "cgsnapshot": _related, "group_snapshot": _related}

    def _fill(self, values: Mapping[str, Any]) -> None:
        super()._fill(values)
        self.metadata = _pairs(self, values.get("metadata"))  # Cinder's class sets an empty one


class _Group(_Lazy, objects.Group):  # type: ignore[misc]
    RELATIONS = {"volumes": _members("VolumeList"), "volume_types": _volume_types}


class _GroupSnapshot(_Lazy, objects.GroupSnapshot):  # type: ignore[misc]
    RELATIONS = {"group": _related, "snapshots": _members("SnapshotList")}


class _ConsistencyGroup(_Lazy, objects.ConsistencyGroup):  # type: ignore[misc]
    RELATIONS = {"volumes": _members("VolumeList")}


class _CGSnapshot(_Lazy, objects.CGSnapshot):  # type: ignore[misc]
    RELATIONS = {"consistencygroup": _related, "snapshots": _members("SnapshotList")}


class _Backup(_Lazy, objects.Backup):  # type: ignore[misc]
    RELATIONS = {"parent": _related}

    def save(self) -> None:
        """Write to Cinder's database, without the columns that the worker decides."""
        with self._unasked():
            if stolen := sorted(self.obj_what_changed() & _OF_THE_WORKER):
                text = "backup %s: its driver sets %s, which the operation decides"
                LOG.warning(text, self.id, ", ".join(stolen))
                self.obj_reset_changes(fields=stolen)
        super().save()

    def _fill(self, values: Mapping[str, Any]) -> None:
        super()._fill(values)
        self.metadata = _pairs(self, values.get("metadata"))  # Cinder's class cannot fetch it


_CLASSES: Mapping[str, Any] = {
    "volume": _Volume,
    "attachment": _VolumeAttachment,
    "volume_type": _VolumeType,
    "snapshot": _Snapshot,
    "group": _Group,
    "group_snapshot": _GroupSnapshot,
    "consistencygroup": _ConsistencyGroup,
    "cgsnapshot": _CGSnapshot,
    "backup": _Backup,
}
