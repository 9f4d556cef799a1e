# SPDX-License-Identifier: Apache-2.0
"""Volume types and their quality of service; read only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import VolumeTypeNotFound
from worker.db import models
from worker.db.criteria import same
from worker.db.database import Database
from worker.db.records.key_value_tables import KeyValueTable

_TYPES = models.volume_types
_QOS = models.quality_of_service_specs

_SPECS = KeyValueTable(models.volume_type_extra_specs, "volume_type_id")
_QOS_SPECS = KeyValueTable(_QOS, "specs_id")

_BY_ID = sa.select(_TYPES).where(_TYPES.c.id == sa.bindparam("which"))
_ENCRYPTION = models.encryption
_ENCRYPTION_OF = sa.select(
    _ENCRYPTION.c.provider,
    _ENCRYPTION.c.cipher,
    _ENCRYPTION.c.key_size,
    _ENCRYPTION.c.control_location,
).where(_ENCRYPTION.c.volume_type_id == sa.bindparam("which"), _ENCRYPTION.c.deleted == sa.false())
_LIVE = sa.select(_TYPES).where(_TYPES.c.deleted == sa.false()).order_by(_TYPES.c.name)
_ID_BY_NAME = sa.select(_TYPES.c.id).where(
    same(_TYPES.c.name, "name"), _TYPES.c.deleted == sa.false()
)
_QOS_OF = sa.select(_QOS.c.id).where(
    _QOS.c.id.in_(sa.select(_TYPES.c.qos_specs_id).where(_TYPES.c.id == sa.bindparam("which"))),
    _QOS.c.deleted == sa.false(),
)

FieldDifferences = dict[str, dict[str, list[Any]]]
"""By part and key the old and the new value."""


class VolumeTypes:
    """Rows of ``volume_types``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, type_id: str | None) -> Record | None:
        """Return a type with its ``extra_specs``, even a deleted one; None without a row."""
        return self._db.read(lambda connection: get(connection, type_id)) if type_id else None

    def list(self) -> Sequence[Record]:
        """Return the live types by name."""

        def work(connection: sa.Connection) -> Sequence[Record]:
            rows = connection.execute(_LIVE).mappings().all()
            return [_record(connection, row) for row in rows]

        return self._db.read(work)

    def id_of(self, name: str) -> str:
        """Return the id of a live type by its name. :raises VolumeTypeNotFound: none."""
        return self._db.read(lambda connection: id_of(connection, name))

    def qos(self, type_id: str | None) -> dict[str, Any] | None:
        """Return ``consumer`` and ``specs`` of a type, None without any."""
        return self._db.read(lambda connection: _qos(connection, type_id)) if type_id else None

    def encryption(self, type_id: str | None) -> Mapping[str, Any] | None:
        """Return how a type encrypts its volumes, None where it does not."""

        def work(connection: sa.Connection) -> Mapping[str, Any] | None:
            row = connection.execute(_ENCRYPTION_OF, {"which": type_id}).mappings().first()
            return None if row is None else dict(row)

        return self._db.read(work) if type_id else None

    def diff(self, old_id: str, new_id: str) -> FieldDifferences:
        """Return how two types differ. :raises VolumeTypeNotFound: there is no new one."""

        def work(connection: sa.Connection) -> FieldDifferences:
            if get(connection, new_id) is None:
                raise VolumeTypeNotFound(f"there is no volume type {new_id[:40]}")
            old, new = (_contents(connection, one) for one in (old_id, new_id))
            return {part: _difference(old[part], new[part]) for part in new}

        return self._db.read(work)


def get(connection: sa.Connection, type_id: str) -> Record | None:
    """Return a type, even a deleted one, in the caller's transaction."""
    row = connection.execute(_BY_ID, {"which": type_id}).mappings().first()
    return None if row is None else _record(connection, row)


def id_of(connection: sa.Connection, name: str) -> str:
    """Return the id of a live type, in the caller's transaction."""
    found = connection.scalar(_ID_BY_NAME, {"name": name})
    if found is None:
        raise VolumeTypeNotFound(f"there is no volume type {name}; run: holdfast db sync")
    return str(found)


def _record(connection: sa.Connection, row: sa.RowMapping) -> Record:
    return Record("volume_type", {**row, "extra_specs": _SPECS.read(connection, row["id"])})


def _qos(connection: sa.Connection, type_id: str) -> dict[str, Any] | None:
    root = connection.scalar(_QOS_OF, {"which": type_id})
    if root is None:
        return None
    specs = _QOS_SPECS.read(connection, str(root))
    return {"consumer": specs.pop("consumer", "back-end"), "specs": specs}


def _contents(connection: sa.Connection, type_id: str) -> dict[str, Mapping[str, Any]]:
    """Return all that a type says of its volumes."""
    qos = _qos(connection, type_id) or {"specs": {}}
    encryption = connection.execute(_ENCRYPTION_OF, {"which": type_id}).mappings().first()
    return {
        "extra_specs": _SPECS.read(connection, type_id),
        "qos_specs": {**qos["specs"], **{k: v for k, v in qos.items() if k != "specs"}},
        "encryption": dict(encryption or {}),
    }


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = sorted(old.keys() | new.keys())
    return {
        name: [old.get(name), new.get(name)]
        for name in names
        if (name in old) != (name in new) or old.get(name) != new.get(name)
    }
