# SPDX-License-Identifier: Apache-2.0
"""Records: database rows as plain, read-only values for drivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Loader = Callable[[], Any]


class Record(Mapping[str, Any]):
    """One row, read as an attribute or as a mapping item.

    The driver interfaces use both forms (``volume.id`` and ``volume['id']``).
    Relations such as ``volume.volume_type`` cost a query, so they are loaded on
    first use. A record never writes back: a driver returns a new dict instead.

    :param kind: ``volume``, ``snapshot``, …; shown in messages.
    :param fields: column names and values.
    :param loaders: names of relations, each with the call that fetches it.
    """

    __slots__ = ("_fields", "_kind", "_loaders")

    def __init__(
        self,
        kind: str,
        fields: Mapping[str, Any],
        loaders: Mapping[str, Loader] | None = None,
    ) -> None:
        self._kind = kind
        self._fields = dict(fields)
        self._loaders = dict(loaders or {})

    @property
    def kind(self) -> str:
        """The kind of resource, in the singular."""
        return self._kind

    def __getitem__(self, name: str) -> Any:
        if name in self._fields:
            return self._fields[name]
        self._fields[name] = value = self._loaders[name]()
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle probe for these before the slots are set
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{self._kind} record has no field {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        yield from self._fields
        yield from (name for name in self._loaders if name not in self._fields)

    def __len__(self) -> int:
        return len(self._fields.keys() | self._loaders.keys())

    def __contains__(self, name: object) -> bool:
        return name in self._fields or name in self._loaders

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<{self._kind} {self._fields.get('id')}>"

    def replace(self, **changes: Any) -> Record:
        """Return a copy with other values; relations stay lazy."""
        return Record(self._kind, {**self._fields, **changes}, self._loaders)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are loaded so far, without fetching anything."""
        return dict(self._fields)
