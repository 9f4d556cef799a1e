# SPDX-License-Identifier: Apache-2.0
"""Volumes that change their type or their backend; the other backend is ours as well."""

from __future__ import annotations

import functools
import socket
import uuid
from typing import Any

import sqlalchemy as sa

from flows.volume.migration import complete, migrate, retype, update_migrated
from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.world import GIB, World
from worker.db import models

_BEFORE = {"previous_status": "available"}


def _other(world: World) -> str:
    return f"{world.host}#other"


def _host(world: World) -> dict[str, Any]:
    told = f"LocalDriver:{socket.gethostname()}:{world.volumes}"
    return {"host": _other(world), "cluster_name": None, "capabilities": {"location_info": told}}


@functools.cache
def _types(world: World) -> tuple[str, str]:
    """Make two types, the second of which says more."""
    old, new = str(uuid.uuid4()), str(uuid.uuid4())
    with world.database.writer() as connection:
        for one, name in ((old, "slow"), (new, "fast")):
            row = {"id": one, "name": name, "is_public": True, "deleted": False}
            connection.execute(sa.insert(models.volume_types).values(**row))
        spec = {"volume_type_id": new, "key": "speed", "value": "high", "deleted": False}
        connection.execute(sa.insert(models.volume_type_extra_specs).values(**spec))
    return old, new


def _retype(world: World, project: str) -> Asked:
    old, new = _types(world)
    volume = world.volume(project, "retyping", volume_type_id=old, **_BEFORE)
    snapshot = world.snapshot(volume)
    reserve = world.records.quotas.reserve
    args = {
        "volume": volume,
        "new_type_id": new,
        "host": _host(world),
        "migration_policy": "never",
        "reservations": reserve(project, {"volumes_fast": 1}),
        "old_reservations": reserve(project, {"volumes_slow": -1}),
    }
    roles = {"volume": volume.id, "snapshot": snapshot.id}
    return Asked(project, volume.id, args, roles)


def _migrate(world: World, project: str, *, copied: bool) -> Asked:
    volume = world.volume(project, "maintenance", migration_status="starting", **_BEFORE)
    with (world.volumes / volume.name).open("r+b") as file:
        file.write(b"data of a volume")
    args = {"volume": volume, "host": _host(world), "force_host_copy": copied}
    return Asked(project, volume.id, args, {"volume": volume.id})


def _copied(world: World, project: str) -> Asked:
    volume = world.volume(project, "maintenance", migration_status="migrating", **_BEFORE)
    target = f"target:{volume.id}"
    values = {"project_id": project, "size": 1, "use_quota": False, "status": "available"}
    copy = world.records.volumes.create(host=_other(world), migration_status=target, **values)
    world.files.create(copy.name, GIB)
    args = {"volume": volume, "new_volume": copy}
    return Asked(project, volume.id, args, {"volume": volume.id, "copy": copy.id})


def _updated(world: World, project: str) -> Asked:
    asked = _copied(world, project)
    asked.args["volume_status"] = "available"
    asked.resource = asked.roles["copy"]
    return asked


CASES = (
    Case("retype", "retype", retype.flow, _retype, "3.5"),
    *(
        Case(
            f"migrate by {name}",
            "migrate_volume",
            migrate.flow,
            functools.partial(_migrate, copied=copied),
            "3.5",
        )
        for name, copied in (("driver", False), ("copy", True))
    ),
    Case(
        "complete a migration",
        "migrate_volume_completion",
        complete.completion,
        _copied,
        call=True,
    ),
    Case(
        "update a migrated volume",
        "update_migrated_volume",
        update_migrated.flow,
        _updated,
        call=True,
    ),
)
