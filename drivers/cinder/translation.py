# SPDX-License-Identifier: Apache-2.0
"""Our records and contexts as Cinder's own objects, and the way back.

Objects are made from a record, without a query: a temporary volume has no row. The driver's
own writes go to Cinder's database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cinder import context as cinder_context
from oslo_context import context as oslo_context

from drivers.cinder import lazy_objects
from drivers.compat.oslo_context import bind
from drivers.interface.records import Record


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
    return lazy_objects.made(record, context(request).elevated())


def listed(records: Sequence[Record] | None, request: Any = None) -> list[Any] | None:
    """Return the objects of several records, None for none."""
    if records is None:
        return None
    rights = context(request).elevated()
    return [lazy_objects.made(record, rights, member=True) for record in records]


def changes(given: Any) -> dict[str, Any]:
    """Return the columns that a driver changed on its object, saved or not.

    Saved columns are in the database, but the worker may have read the row before.
    """
    return {**given.saved, **lazy_objects.changed(given)}


def recorded(found: Any) -> Record:
    """Return an object of Cinder's as a record."""
    kind = {"Volume": "volume", "Snapshot": "snapshot"}[found.obj_name()]
    columns = [name for name in found.fields if name not in found.OPTIONAL_FIELDS]
    plain = {name: found[name] for name in columns if found.obj_attr_is_set(name)}
    return Record(kind, {**plain, "name": found.name})


def volume_type(record: Record, request: Any = None) -> dict[str, Any]:
    """Return a volume type as the dict that ``retype`` is given."""
    specs = dict(record.get("extra_specs") or {})
    return {**record.to_dict(), "extra_specs": specs}
