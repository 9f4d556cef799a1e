# SPDX-License-Identifier: Apache-2.0
"""The rows before an operation on a group: two volumes, or two snapshots.

A ``group`` has no type here, so it is done member by member; a ``consistencygroup`` by
the driver.
"""

from __future__ import annotations

from tests.unit.flows.world.world import World

GROUP = "g1"
SNAPSHOT = "gs1"
ARGS = {"resource_id": GROUP}
SNAPSHOT_ARGS = {"resource_id": SNAPSHOT}


def group(world: World, kind: str, status: str, members: str, *, made: bool = True) -> None:
    world.add_group(kind, status)
    for volume_id in ("v1", "v2"):
        world.add_volume(volume_id, status=members, made=made, **{f"{kind}_id": GROUP})
    world.db.work.clear()  # groups have none


def empty(world: World, kind: str) -> None:
    world.add_group(kind)


def deleting(world: World, kind: str) -> None:
    group(world, kind, "deleting", "deleting")


def updating(world: World, kind: str) -> None:
    group(world, kind, "updating", "available")
    world.add_volume("v3")


def snapshot(world: World, kind: str, status: str, *, made: bool = True) -> None:
    group(world, kind, "available", "available")
    name = "group_snapshot" if kind == "group" else "cgsnapshot"
    columns = {"project_id": "p", "user_id": "u", "status": status, f"{kind}_id": GROUP}
    world.db.groups[name].insert({"id": SNAPSHOT, **columns})
    for number in "12":
        link = {f"{name}_id": SNAPSHOT}
        world.add_snapshot(f"s{number}", f"v{number}", status=status, made=made, **link)
    world.db.work.clear()


def creating_snapshot(world: World, kind: str) -> None:
    snapshot(world, kind, "creating", made=False)


def deleting_snapshot(world: World, kind: str) -> None:
    snapshot(world, kind, "deleting")


def from_snapshot(world: World, kind: str) -> None:
    """A group of ``v3`` and ``v4``, to be made of the snapshots."""
    snapshot(world, kind, "available")
    _made_of(world, kind, {"v3": {"snapshot_id": "s1"}, "v4": {"snapshot_id": "s2"}})


def from_group(world: World, kind: str) -> None:
    """The same, to be made of the other group's volumes."""
    group(world, kind, "available", "available")
    _made_of(world, kind, {"v3": {"source_volid": "v1"}, "v4": {"source_volid": "v2"}})


def _made_of(world: World, kind: str, links: dict[str, dict[str, str]]) -> None:
    world.add_group(kind, id="g2")
    for volume_id, link in links.items():
        columns = {f"{kind}_id": "g2", **link}
        world.add_volume(volume_id, status="creating", made=False, **columns)
    world.db.work.clear()


def replicating(world: World, during: str) -> None:
    """A group whose replication is to be changed."""
    group(world, "group", "available", "available")
    for row in (world.db.groups["group"].rows[GROUP], *world.db.volumes.of()):
        row["replication_status"] = during
