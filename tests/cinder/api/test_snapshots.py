# SPDX-License-Identifier: Apache-2.0
"""Snapshots, as a user of the API sees them."""

from __future__ import annotations

from tests.cinder.api.test_volumes import used
from tests.cinder.api.user import User
from tests.cinder.conftest import Cloud


def test_a_life(cloud: Cloud, user: User) -> None:
    volume = user.volume()
    snapshot = user.snapshot(volume, name="before", metadata={"of": "tuesday"})

    assert (snapshot.name, snapshot.size, snapshot.volume_id) == ("before", 1, volume.id)
    user.wait_usage(used(1, 2, snapshots=1))
    user.deleted(user.api.volume_snapshots, snapshot)
    user.wait_usage(used(1, 1))
    assert cloud.notices.of(snapshot.id) == [
        "snapshot.create.start",
        "snapshot.create.end",
        "snapshot.delete.start",
        "snapshot.delete.end",
    ]


def test_of_an_attached_volume(user: User) -> None:
    volume = user.volume()
    user.attached(volume)
    snapshot = user.snapshot(volume, force=True)

    assert snapshot.status == "available"
    assert user.api.volumes.get(volume.id).status == "in-use"


def test_a_volume_goes_back_to_one(cloud: Cloud, user: User) -> None:
    volume = user.volume()
    cloud.scribble(volume)
    data = cloud.data(volume)
    snapshot = user.snapshot(volume)
    cloud.scribble(volume)
    assert cloud.data(volume) != data
    user.api.volumes.revert_to_snapshot(volume, snapshot)
    user.wait(user.api.volumes, volume, "available")
    user.wait(user.api.volume_snapshots, snapshot, "available")

    assert cloud.data(volume) == data
    assert cloud.notices.payload(volume.id, "volume.revert.end")


def test_one_is_managed_and_let_go(cloud: Cloud, user: User) -> None:
    volume = user.volume()
    path = cloud.file(volume).with_name("taken-before")
    path.write_bytes(b"of old")
    taken = user.api.volume_snapshots.manage(volume.id, {"source-name": "taken-before"})
    taken = user.wait(user.api.volume_snapshots, taken, "available")

    assert not path.exists()
    user.wait_usage(used(1, 2, snapshots=1))
    cloud.admin.api.volume_snapshots.unmanage(taken)
    user.wait_gone(user.api.volume_snapshots, taken)
    user.wait_usage(used(1, 1))


def test_one_in_error_is_deleted(cloud: Cloud, user: User) -> None:
    snapshot = user.snapshot(user.volume())
    cloud.admin.api.volume_snapshots.reset_state(snapshot, "error")
    user.deleted(user.api.volume_snapshots, snapshot)

    user.wait_usage(used(1, 1))
