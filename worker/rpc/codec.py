# SPDX-License-Identifier: Apache-2.0
"""Read versioned objects off the bus, whatever their version.

An object arrives as a dict of ``versioned_object.name``, ``.version``,
``.namespace``, ``.data`` and optionally ``.changes``, nested in its data. A
reader with a registry refuses versions newer than itself; this one keeps names,
versions and fields as they are, the unknown ones as well. Everything is checked
at once, so that the access to a field cannot fail later; children are made into
objects when they are looked at, since an operation needs few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PREFIX = "versioned_object."
_NAME = _PREFIX + "name"
_VERSION = _PREFIX + "version"
_NAMESPACE = _PREFIX + "namespace"
_DATA = _PREFIX + "data"
_CHANGES = _PREFIX + "changes"

NAMESPACE = "cinder"

MAX_DEPTH = 100
"""Levels of dicts and lists in one value; deeper values cannot be written as JSON again."""


class MalformedObject(ValueError):
    """A primitive that is no versioned object; the text names the place."""


class WireObject(Mapping[str, Any]):
    """A versioned object: its fields as attributes or items.

    Made by :func:`decode`, which has checked it.

    :param raw: the primitive, kept as it came.
    """

    __slots__ = ("_fields", "raw")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self._fields: dict[str, Any] = {}

    @property
    def object_name(self) -> str:
        """The class of the object at its sender."""
        return str(self.raw[_NAME])

    @property
    def object_version(self) -> str:
        """Its version, as ``1.9``; empty when the sender gave none."""
        return str(self.raw.get(_VERSION) or "")

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of fields that the sender had not saved."""
        return tuple(self.raw.get(_CHANGES) or ())

    def __getitem__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            self._fields[name] = found = _wrapped(self.raw[_DATA][name])
            return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle probe for these before the slots are set
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{self!r} has no field {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw[_DATA])

    def __len__(self) -> int:
        return len(self.raw[_DATA])

    def __repr__(self) -> str:
        return f"<{self.object_name} {self.object_version} {self.raw[_DATA].get('id', '')}>"


class WireList(list[Any]):
    """The entries of an object that is a list of objects.

    :param raw: the primitive of the list, kept as it came.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, Any]) -> None:
        super().__init__(_wrapped(raw[_DATA]["objects"]))
        self.raw = raw


def decode(value: Any, name: str = "") -> Any:
    """Return a value with its objects readable.

    An object becomes a :class:`WireObject`, a list object a :class:`WireList`, a
    list the list of its decoded entries. Anything else, plain dicts included,
    stays as it came: senders put copies of whole objects into them that are never read.

    :param name: the value's name in an error.
    :raises MalformedObject: it holds something that looks like an object and is none.
    """
    _check(value, name or "value")
    return _wrapped(value)


def raw(value: Any) -> Any:
    """Return the primitive of a decoded value, as JSON carries it."""
    if isinstance(value, WireObject | WireList):
        return value.raw
    if isinstance(value, list):
        return [raw(entry) for entry in value]
    return value


def encode(
    name: str, version: str, fields: Mapping[str, Any], changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the primitive of an object."""
    primitive = {_NAME: name, _NAMESPACE: NAMESPACE, _VERSION: version, _DATA: dict(fields)}
    return {**primitive, _CHANGES: list(changes)} if changes else primitive


def is_object(value: Any) -> bool:
    """Return whether a value is, or is meant to be, the primitive of an object."""
    return isinstance(value, dict) and (_NAME in value or _DATA in value or _VERSION in value)


def _wrapped(value: Any) -> Any:
    if isinstance(value, list):
        return [_wrapped(entry) for entry in value]
    if not is_object(value):
        return value
    return WireList(value) if _is_list(value) else WireObject(value)


def _is_list(primitive: Mapping[str, Any]) -> bool:
    return primitive[_NAME].endswith("List") and "objects" in primitive[_DATA]


def _check(value: Any, name: str) -> None:
    """Check every level once; only a malformed object costs a search for its place."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for found in level:
            if found.__class__ is dict:
                if is_object(found) and (fault := _fault(found)):
                    place = ".".join([name, *(_path(value, found) or ())])
                    raise MalformedObject(f"{place}: {fault}")
                found = found.values()
            elif found.__class__ is not list:
                continue
            below += [child for child in found if (kind := type(child)) is dict or kind is list]
        if not below:
            return
        level = below
    raise MalformedObject(f"{name}: nested more than {MAX_DEPTH} levels deep")


def _fault(primitive: Mapping[str, Any]) -> str | None:
    name, data = primitive.get(_NAME), primitive.get(_DATA)
    if not isinstance(name, str) or not name:
        return f"an object's name is {name!r}"
    if not isinstance(data, dict):
        return f"{name} has no data"
    if not isinstance(primitive.get(_VERSION, ""), str):
        return f"{name} has the version {primitive[_VERSION]!r}"
    if not isinstance(primitive.get(_CHANGES, []), list):
        return f"{name} has changes that are no list"
    if name.endswith("List") and not isinstance(data.get("objects", []), list):
        return f"{name} holds no list of objects"
    return None


def _path(value: Any, wanted: Any) -> list[str] | None:
    """Return the keys that lead to a part of a value; None when it is not there."""
    if value is wanted:
        return []
    if isinstance(value, dict):
        inside = [(str(key).removeprefix(_PREFIX), child) for key, child in value.items()]
    elif isinstance(value, list):
        inside = [(str(number), child) for number, child in enumerate(value)]
    else:
        return None
    for step, child in inside:
        if (rest := _path(child, wanted)) is not None:
            return [step, *rest]
    return None
