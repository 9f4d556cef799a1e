# SPDX-License-Identifier: Apache-2.0
"""Generic groups, and snapshots of all their members at one moment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cinder.api.user import User, wait
from tests.cinder.cloud import Cloud


@pytest.fixture
def kind(cloud: Cloud) -> Any:
    """A volume type of one backend."""
    return cloud.type("on-one", {"volume_backend_name": "one"})


@pytest.fixture
def group(cloud: Cloud, user: User, kind: Any) -> Any:
    """A group whose snapshots are consistent where the backend can."""
    consistent = cloud.group_type("consistent", {"consistent_group_snapshot_enabled": "<is> True"})
    generic = cloud.group_type("generic", {})
    wanted = consistent if cloud.workers.name == "holdfast" else generic
    made = user.api.groups.create(wanted.id, kind.id, name="g")
    return user.wait(user.api.groups, made, "available")


def test_members_come_and_go(cloud: Cloud, user: User, group: Any, kind: Any) -> None:
    volume = user.volume(volume_type=kind.name)
    user.api.groups.update(group, add_volumes=volume.id)
    user.wait(user.api.groups, group, "available")
    assert user.wait_for(user.api.volumes, volume, lambda v: v.group_id == group.id)
    assert cloud.notices.payload(volume.id, "volume.update.end")
    user.api.groups.update(group, remove_volumes=volume.id)
    user.wait(user.api.groups, group, "available")
    assert user.wait_for(user.api.volumes, volume, lambda v: v.group_id is None)
    # The first update begins before the volume is a member, the second ends after.
    wanted = ["volume.update.end", "volume.update.start"]
    wait(lambda: events_of(cloud, volume, "update") == wanted, lambda: f"not {wanted}")


def events_of(cloud: Cloud, resource: Any, operation: str) -> list[str]:
    """Return the notifications of a resource that are of one operation."""
    return [event for event in cloud.notices.of(resource.id) if f".{operation}." in event]


def test_a_snapshot_and_a_group_of_it(cloud: Cloud, user: User, group: Any, kind: Any) -> None:
    members = [user.volume(volume_type=kind.name, group_id=group.id) for _ in range(2)]
    for member in members:
        cloud.scribble(member)
    data = sorted(cloud.data(member) for member in members)
    taken = user.api.group_snapshots.create(group.id, name="s")
    taken = user.wait(user.api.group_snapshots, taken, "available")
    for member in members:
        cloud.scribble(member)
    made = user.api.groups.create_from_src(taken.id, None, name="again")
    made = user.wait(user.api.groups, user.api.groups.get(made["id"]), "available")

    copies = [v for v in user.api.volumes.list() if v.group_id == made.id]
    assert sorted(cloud.data(copy) for copy in copies) == data
    assert user.usage()["groups"] == 2 and user.usage()["volumes"] == 4

    user.deleted(user.api.group_snapshots, taken)
    for each in (made, group):
        user.api.groups.delete(each, delete_volumes=True)
        user.wait_gone(user.api.groups, each)
    user.wait_usage({})
    assert not [path for member in members for path in cloud.left(member)]


def test_a_group_of_a_group(cloud: Cloud, user: User, group: Any, kind: Any) -> None:
    member = user.volume(volume_type=kind.name, group_id=group.id)
    cloud.scribble(member)
    made = user.api.groups.create_from_src(None, group.id, name="copy")
    made = user.wait(user.api.groups, user.api.groups.get(made["id"]), "available")

    [copy] = [v for v in user.api.volumes.list() if v.group_id == made.id]
    assert cloud.data(copy) == cloud.data(member)
