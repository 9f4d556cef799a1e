# SPDX-License-Identifier: Apache-2.0
"""Volumes on the way to another type or backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.flows.world.remote_services import HOST as THERE

if TYPE_CHECKING:
    from tests.unit.flows.world.world import World

HERE = {"host": "node@backend#other", "cluster_name": None, "capabilities": {}}
TO = {"host": THERE, "cluster_name": None, "capabilities": {"location_info": "far"}}
MIGRATE = {"volume_id": "v1", "host": TO, "force_host_copy": False, "new_type_id": None}
RETYPE: dict[str, Any] = {
    "volume_id": "v1",
    "new_type_id": "t2",
    "host": HERE,
    "migration_policy": "on-demand",
    "reservations": [],
    "old_reservations": [],
}
RETYPE_AWAY = {**RETYPE, "host": TO}
COMPLETION = {"volume_id": "v1", "spare_id": "v9"}


def starting(world: World, **columns: Any) -> None:
    """As the API leaves a volume that is to be migrated, locked."""
    given = {"status": "maintenance", "previous_status": "available"}
    world.add_volume(**{**given, "migration_status": "starting", **columns})
    world.db.pairs["metadata", "v1"] = {"a": "1"}


def attached(world: World) -> None:
    """As the API leaves one that an instance has, and that is to be migrated."""
    starting(world, status="in-use", previous_status="in-use", attach_status="attached")
    world.add_attachment(instance_uuid="i1")


def by_driver(world: World) -> None:
    """One that the driver can move by itself."""
    starting(world)
    moves_by_itself(world)


def moves_by_itself(world: World) -> None:
    """Let the driver move volumes."""

    def move(volume: Any, host: Any) -> Any:
        world.driver.objects.discard(volume.name)
        world.elsewhere.add(world.db.volumes.rows[volume.id])
        return True, {"provider_id": "moved"}

    world.driver.plan["migrate_volume"] = move


def retyping(world: World, **columns: Any) -> None:
    """As the API leaves a volume that is to be retyped; the driver cannot do it."""
    world.db.types |= {"t1": {"extra_specs": {"a": "1"}}, "t2": {"extra_specs": {"a": "2"}}}
    world.add_volume(**{"status": "retyping", "previous_status": "available", **columns})


def retyping_attached(world: World) -> None:
    """The same of one that an instance has."""
    retyping(world, previous_status="in-use", attach_status="attached")
    world.add_attachment(instance_uuid="i1")


def retyping_by_driver(world: World) -> None:
    """One whose new type says no more than where it is."""
    retyping(world)
    for one, name in (("t1", "here"), ("t2", "there")):
        world.db.types[one] = {"extra_specs": {"volume_backend_name": name}}
    moves_by_itself(world)


def in_place(world: World) -> None:
    """One that the driver changes in place, with a snapshot."""
    retyping(world)
    world.add_snapshot()
    world.driver.plan["retype"] = (True, {"provider_id": "changed"})


def equal(world: World) -> None:
    """One whose types do not differ."""
    retyping(world)
    world.db.types["t2"] = world.db.types["t1"]


def copied(world: World, **columns: Any) -> None:
    """A volume and its copy, whose data Nova has copied."""
    given = {"status": "maintenance", "previous_status": "available"}
    world.add_volume(**{**given, "migration_status": "migrating", **columns})
    world.add_volume("v9", made=False, host=THERE, migration_status="target:v1", use_quota=False)
    world.elsewhere.add(world.db.volumes.rows["v9"])


def swapped_by_nova(world: World) -> None:
    """The same of a volume in use, attached in the old manner."""
    copied(world, status="in-use", previous_status="in-use", attach_status="attached")
    where = {"mountpoint": "/dev/vdb", "attached_host": None, "attach_mode": None}
    world.add_attachment(instance_uuid="i1", **where)
