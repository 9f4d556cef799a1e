# SPDX-License-Identifier: Apache-2.0
"""Read versioned objects off the bus, whatever their version.

An object arrives as a dict of ``versioned_object.name``, ``.version``,
``.namespace``, ``.data`` and optionally ``.changes``, nested in its data. A
reader with a registry refuses what is newer than itself; this one keeps names,
versions and fields as they are, the unknown ones as well. Children are decoded
when they are looked at, since an operation needs few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PREFIX = "versioned_object."
_NAME = _PREFIX + "name"
_VERSION = _PREFIX + "version"
_NAMESPACE = _PREFIX + "namespace"
_DATA = _PREFIX + "data"
_CHANGES = _PREFIX + "changes"

NAMESPACE = "cinder"


class MalformedObject(ValueError):
    """A primitive that is no versioned object; the text names the place."""


class WireObject(Mapping[str, Any]):
    """A versioned object: its fields as attributes or items.

    :param raw: the primitive, kept as it came.
    """

    __slots__ = ("_fields", "_path", "raw")

    def __init__(self, raw: Mapping[str, Any], path: str = "") -> None:
        self.raw = raw
        self._path = path or str(raw.get(_NAME))
        if not isinstance(raw.get(_NAME), str):
            raise MalformedObject(f"{path or 'object'} has no name")
        if not isinstance(raw.get(_DATA), Mapping):
            raise MalformedObject(f"{self._path} has no data")
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
        if name not in self._fields:
            self._fields[name] = _decode(self.raw[_DATA][name], f"{self._path}.{name}")
        return self._fields[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{self._path} has no field {name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw[_DATA])

    def __len__(self) -> int:
        return len(self.raw[_DATA])

    def __repr__(self) -> str:
        return f"<{self.object_name} {self.object_version} {self.raw[_DATA].get('id', '')}>"


def decode(value: Any) -> Any:
    """Return a value with its objects readable: a WireObject, a list of them, or itself.

    :raises MalformedObject: it looks like an object and is none.
    """
    return _decode(value, "")


def raw(value: Any) -> Any:
    """Return the primitive of a decoded value, as JSON carries it."""
    if isinstance(value, WireObject):
        return value.raw
    if isinstance(value, list):
        return [raw(entry) for entry in value]
    return value


def encode(name: str, version: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the primitive of an object."""
    return {_NAME: name, _NAMESPACE: NAMESPACE, _VERSION: version, _DATA: dict(fields)}


def _decode(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_decode(entry, f"{path}[{number}]") for number, entry in enumerate(value)]
    if not isinstance(value, Mapping) or isinstance(value, WireObject):
        return value
    if not any(isinstance(key, str) and key.startswith(_PREFIX) for key in value):
        return value
    found = WireObject(value, path)
    if "objects" not in found.raw[_DATA]:
        return found
    entries = found["objects"]
    if not isinstance(entries, list):
        raise MalformedObject(f"{found._path} holds no list of objects")
    return entries
