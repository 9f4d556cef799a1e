# SPDX-License-Identifier: Apache-2.0
"""Volume types and their quality of service; read only."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import VolumeTypeNotFound
from worker.db import models

_TYPES = models.volume_types
_SPECS = models.volume_type_extra_specs
_QOS = models.quality_of_service_specs


def get(connection: sa.Connection, type_id: str | None) -> Record | None:
    """Return a type with its ``extra_specs``, even a deleted one; None without an id."""
    row = connection.execute(sa.select(_TYPES).where(_TYPES.c.id == type_id)).mappings().first()
    if row is None:
        return None
    specs = sa.select(_SPECS.c.key, _SPECS.c.value).where(
        _SPECS.c.volume_type_id == type_id, _SPECS.c.deleted == sa.false()
    )
    found = {spec.key: spec.value for spec in connection.execute(specs)}
    return Record("volume_type", {**row, "extra_specs": found})


def id_of(connection: sa.Connection, name: str) -> str:
    """Return the id of a live type by its name. :raises VolumeTypeNotFound: none."""
    wanted = sa.select(_TYPES.c.id).where(_TYPES.c.name == name, _TYPES.c.deleted == sa.false())
    found = connection.scalar(wanted)
    if found is None:
        raise VolumeTypeNotFound(f"there is no volume type {name}; run: holdfast db sync")
    return str(found)


def name_of(connection: sa.Connection, type_id: str | None) -> str | None:
    """Return the name of a type, even of a deleted one, as quota is kept under it."""
    found = connection.scalar(sa.select(_TYPES.c.name).where(_TYPES.c.id == type_id))
    return None if found is None else str(found)


def qos(connection: sa.Connection, type_id: str) -> dict[str, Any] | None:
    """Return ``consumer`` and ``specs`` of a type's quality of service (spec/schema §5)."""
    specs_id = connection.scalar(sa.select(_TYPES.c.qos_specs_id).where(_TYPES.c.id == type_id))
    if not specs_id:
        return None
    rows = sa.select(_QOS.c.key, _QOS.c.value).where(
        _QOS.c.specs_id == specs_id, _QOS.c.deleted == sa.false()
    )
    specs = {row.key: row.value for row in connection.execute(rows)}
    return {"consumer": specs.pop("consumer", "back-end"), "specs": specs}
