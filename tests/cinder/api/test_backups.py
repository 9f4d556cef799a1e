# SPDX-License-Identifier: Apache-2.0
"""Backups, as a user of the API sees them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cinder.api.test_volumes import used
from tests.cinder.api.user import User
from tests.cinder.cloud import Cloud


def made(user: User, volume: Any, **given: Any) -> Any:
    """Make a backup and wait for it."""
    backup = user.api.backups.create(volume.id, **given)
    return user.wait(user.api.backups, backup, "available")


@pytest.fixture
def volume(cloud: Cloud, user: User) -> Any:
    """A volume with data."""
    found = user.volume()
    cloud.scribble(found)
    return found


def test_a_chain_goes_round(cloud: Cloud, user: User, volume: Any) -> None:
    data = [cloud.data(volume)]
    full = made(user, volume, name="full")
    cloud.scribble(volume)
    data.append(cloud.data(volume))
    leaf = made(user, volume, name="leaf", incremental=True)

    assert (full.is_incremental, leaf.is_incremental) == (False, True)
    assert user.api.backups.get(full.id).has_dependent_backups
    user.wait_usage(used(1, 1) | {"backups": 2, "backup_gigabytes": 2})
    for backup, wanted in ((leaf, data[1]), (full, data[0])):
        target = user.volume()
        user.api.restores.restore(backup.id, target.id)
        user.wait(user.api.backups, backup, "available")
        user.wait(user.api.volumes, target, "available")
        assert cloud.data(target) == wanted

    for backup in (leaf, full):
        user.deleted(user.api.backups, backup)
    user.wait_usage(used(3, 3))


def test_into_a_new_volume(cloud: Cloud, user: User, volume: Any) -> None:
    backup = made(user, volume)
    answer = user.api.restores.restore(backup.id, name="again")
    target = user.wait(user.api.volumes, user.api.volumes.get(answer.volume_id), "available")

    assert cloud.data(target) == cloud.data(volume)


def test_a_volume_made_of_one(cloud: Cloud, user: User, volume: Any) -> None:
    backup = made(user, volume)
    target = user.volume(2, backup_id=backup.id)

    assert cloud.data(target) == cloud.data(volume)


def test_of_an_attached_volume(cloud: Cloud, user: User, volume: Any) -> None:
    user.attached(volume)
    backup = made(user, volume, force=True)
    assert user.api.volumes.get(volume.id).status == "in-use"
    target = user.volume()
    user.api.restores.restore(backup.id, target.id)
    user.wait(user.api.backups, backup, "available")
    user.wait(user.api.volumes, target, "available")

    assert cloud.data(target) == cloud.data(volume)
    assert user.usage()["volumes"] == 2  # nothing temporary is counted
    assert len(user.api.volumes.list()) == 2


def test_of_a_snapshot(cloud: Cloud, user: User, volume: Any) -> None:
    data, snapshot = cloud.data(volume), user.snapshot(volume)
    cloud.scribble(volume)
    backup = made(user, volume, snapshot_id=snapshot.id)
    answer = user.api.restores.restore(backup.id)
    target = user.wait(user.api.volumes, user.api.volumes.get(answer.volume_id), "available")

    assert cloud.data(target) == data
    assert user.api.volume_snapshots.get(snapshot.id).status == "available"


def test_a_record_goes_out_and_comes_in(cloud: Cloud, user: User, volume: Any) -> None:
    backup = made(user, volume)
    record = cloud.admin.api.backups.export_record(backup.id)
    cloud.forget(backup)
    imported = cloud.admin.api.backups.import_record(record["backup_service"], record["backup_url"])
    imported = cloud.admin.api.backups.get(imported["id"])
    imported = cloud.admin.wait(cloud.admin.api.backups, imported, "available")

    assert imported.id == backup.id and imported.volume_id == volume.id
    target = cloud.admin.volume()
    cloud.admin.api.restores.restore(imported.id, target.id)
    cloud.admin.wait(cloud.admin.api.backups, imported, "available")
    cloud.admin.wait(cloud.admin.api.volumes, target, "available")
    assert cloud.data(target) == cloud.data(volume)


def test_one_in_error_is_reset_and_deleted(cloud: Cloud, user: User, volume: Any) -> None:
    backup = made(user, volume)
    cloud.admin.api.backups.reset_state(backup, "error")
    user.wait(user.api.backups, backup, "error")
    user.deleted(user.api.backups, backup)

    user.wait_usage(used(1, 1))
