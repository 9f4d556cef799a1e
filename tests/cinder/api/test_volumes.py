# SPDX-License-Identifier: Apache-2.0
"""Volumes, as a user of the API sees them."""

from __future__ import annotations

import pytest
from cinderclient import exceptions

from tests.cinder.api.user import User
from tests.cinder.conftest import Cloud
from tests.cinder.failing_driver import UNLUCKY
from tests.reading import part

DEFAULT = "__DEFAULT__"
CREATED = ["volume.create.start", "volume.create.end"]
DELETED = ["volume.delete.start", "volume.delete.end"]


def used(volumes: int, gigabytes: int, **more: int) -> dict[str, int]:
    """Return the usage of a project, including that of the default type."""
    found = {"volumes": volumes, "gigabytes": gigabytes, **more}
    return {**found, **{f"{name}_{DEFAULT}": count for name, count in found.items()}}


def test_services_are_listed_as_cinders(cloud: Cloud) -> None:
    found = {(s.binary, s.host): s for s in cloud.admin.api.services.list()}

    one, backup = found["cinder-volume", "node@one"], found["cinder-backup", "node"]
    assert (one.state, one.status, one.zone) == ("up", "enabled", "nova")
    assert (backup.state, backup.status, backup.zone) == ("up", "enabled", "nova")
    assert (one.backend_state, one.frozen) == ("up", False)


def test_pools_are_known_to_the_scheduler(cloud: Cloud) -> None:
    pools = {pool.name: pool for pool in cloud.admin.api.pools.list(detailed=True)}

    assert set(pools) == {"node@one#one", "node@two#two"}
    assert pools["node@one#one"].volume_backend_name == "one"
    assert float(pools["node@one#one"].free_capacity_gb) > 0


class TestCreate:
    def test_an_empty_one(self, cloud: Cloud, user: User) -> None:
        volume = user.volume(2, name="data", metadata={"purpose": "test"})

        assert (volume.name, volume.size, volume.bootable) == ("data", 2, "false")
        assert volume.metadata == {"purpose": "test"}
        user.wait_usage(used(1, 2))
        told = cloud.notices.payload(volume.id, "volume.create.end")
        assert (told["status"], told["size"], told["tenant_id"]) == ("available", 2, user.project)
        path = cloud.file(volume)
        assert path.stat().st_size == 2 * 2**30

        user.deleted(user.api.volumes, volume)
        user.wait_usage({})
        assert cloud.notices.of(volume.id) == [*CREATED, *DELETED]
        assert not path.exists()

    def test_from_a_snapshot(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        cloud.scribble(volume)
        snapshot = user.snapshot(volume)
        cloud.scribble(volume)
        made = user.volume(2, snapshot_id=snapshot.id)

        assert (made.snapshot_id, made.size) == (snapshot.id, 2)
        assert cloud.data(made) != cloud.data(volume)
        user.wait_usage(used(2, 4, snapshots=1))

    def test_from_another(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        cloud.scribble(volume)
        made = user.volume(2, source_volid=volume.id)

        assert made.source_volid == volume.id
        assert cloud.data(made) == cloud.data(volume)

    def test_from_an_image(self, cloud: Cloud, user: User) -> None:
        image, data = cloud.image()
        volume = user.volume(imageRef=image)

        assert volume.bootable == "true"
        assert volume.volume_image_metadata["image_id"] == image
        assert part(cloud.file(volume), len(data)) == data

    def test_one_that_fails_goes_round_and_ends_in_error(self, cloud: Cloud, user: User) -> None:
        volume = user.volume(name=UNLUCKY, wanted="error")

        user.wait_usage(used(1, 1))  # it counts until it is deleted
        events = cloud.notices.of(volume.id)
        assert events.count("volume.create.start") == 3  # scheduler_max_attempts
        assert "scheduler.create_volume" in events
        assert user.told(volume)
        user.deleted(user.api.volumes, volume)
        user.wait_usage({})
        assert not cloud.left(volume)

    def test_of_a_type_of_one_backend(self, cloud: Cloud, user: User) -> None:
        kind = cloud.type("on-two", {"volume_backend_name": "two"})
        volume = user.volume(volume_type=kind.name)

        shown = cloud.admin.api.volumes.get(volume.id)
        assert getattr(shown, "os-vol-host-attr:host") == "node@two#two"


class TestExtend:
    def test_an_available_one(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        user.api.volumes.extend(volume, 3)
        volume = user.wait(user.api.volumes, volume, "available")

        assert volume.size == 3 and cloud.file(volume).stat().st_size == 3 * 2**30
        user.wait_usage(used(1, 3))
        assert cloud.notices.payload(volume.id, "volume.resize.end")["size"] == 3

    def test_an_attached_one(self, cloud: Cloud, user: User) -> None:
        kind = cloud.type("on-one", {"volume_backend_name": "one"})
        volume = user.volume(volume_type=kind.name)
        user.attached(volume)
        user.api.volumes.extend(volume, 2)
        volume = user.wait_size(volume, 2)

        assert (volume.status, volume.size) == ("in-use", 2)
        assert user.usage()["gigabytes"] == 2


class TestDelete:
    def test_one_in_error(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        cloud.admin.api.volumes.reset_state(volume, "error")
        user.deleted(user.api.volumes, volume)
        user.wait_usage({})

    def test_by_force(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        cloud.admin.api.volumes.reset_state(volume, "creating")
        cloud.admin.api.volumes.force_delete(volume)
        user.wait_gone(user.api.volumes, volume)
        user.wait_usage({})

    def test_with_its_snapshots(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        snapshots = [user.snapshot(volume), user.snapshot(volume)]
        with pytest.raises(exceptions.BadRequest):
            user.api.volumes.delete(volume)
        user.deleted(user.api.volumes, volume, cascade=True)

        for snapshot in snapshots:
            user.wait_gone(user.api.volume_snapshots, snapshot)
        user.wait_usage({})


class TestTransfer:
    def test_to_another_project(self, cloud: Cloud, user: User) -> None:
        volume, other = user.volume(), cloud.user()
        transfer = user.api.transfers.create(volume.id)
        other.api.transfers.accept(transfer.id, transfer.auth_key)
        moved = other.wait(other.api.volumes, volume, "available")

        assert getattr(moved, "os-vol-tenant-attr:tenant_id") == other.project
        user.wait_usage({})
        other.wait_usage(used(1, 1))


class TestManage:
    def test_there_and_back(self, cloud: Cloud, user: User) -> None:
        volume = user.volume(volume_type=cloud.type("on-one", {"volume_backend_name": "one"}).name)
        cloud.scribble(volume)
        data, path = cloud.data(volume), cloud.file(volume)
        cloud.admin.api.volumes.unmanage(volume)
        user.wait_gone(user.api.volumes, volume)
        assert path.exists()
        user.wait_usage({})

        path.rename(path.with_name("lun-1"))
        taken = user.api.volumes.manage("node@one#one", {"source-name": "lun-1"}, name="found")
        taken = user.wait(user.api.volumes, taken, "available")
        assert (taken.name, taken.size) == ("found", 1)
        assert cloud.data(taken) == data
        user.wait_usage(used(1, 1))

    def test_what_is_not_there(self, cloud: Cloud, user: User) -> None:
        taken = user.api.volumes.manage("node@one#one", {"source-name": "nowhere"})
        taken = user.wait(user.api.volumes, taken, "error")  # shown for error_managing

        user.deleted(user.api.volumes, taken)
        assert cloud.notices.of(taken.id)[:1] == ["volume.manage_existing.start"]


class TestRetype:
    def test_within_a_backend(self, cloud: Cloud, user: User) -> None:
        one = cloud.type("on-one", {"volume_backend_name": "one"})
        other = cloud.type("on-one-too", {"volume_backend_name": "one", "demo:tier": "gold"})
        volume = user.volume(volume_type=one.name)
        user.api.volumes.retype(volume, other.name, "never")
        volume = user.wait_for(user.api.volumes, volume, lambda v: v.volume_type == other.name)

        assert user.wait(user.api.volumes, volume, "available")
        assert user.usage()["volumes_on-one-too"] == 1
        assert cloud.notices.payload(volume.id, "volume.retype")["volume_type"] == other.id

    def test_with_a_migration(self, cloud: Cloud, user: User) -> None:
        one = cloud.type("on-one", {"volume_backend_name": "one"})
        two = cloud.type("on-two", {"volume_backend_name": "two"})
        volume = user.volume(volume_type=one.name)
        cloud.scribble(volume)
        data, before = cloud.data(volume), cloud.file(volume)
        user.api.volumes.retype(volume, two.name, "on-demand")
        volume = user.wait_for(user.api.volumes, volume, lambda v: v.volume_type == two.name)
        volume = user.wait(user.api.volumes, volume, "available")

        assert cloud.data(volume) == data and cloud.file(volume).parent.name == "two"
        cloud.wait_no_file(before)
        assert user.usage()["volumes_on-two"] == 1 and "volumes_on-one" not in user.usage()


class TestMigrate:
    def test_to_another_backend(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        cloud.scribble(volume)
        data, before = cloud.data(volume), cloud.file(volume)
        [target] = {"one", "two"} - {before.parent.name}
        cloud.admin.api.volumes.migrate_volume(volume, f"node@{target}#{target}", True, False)
        done = cloud.admin.wait_for(
            cloud.admin.api.volumes, volume, lambda v: v.migration_status == "success"
        )

        assert done.status == "available"
        assert cloud.file(volume).parent.name == target and cloud.data(volume) == data
        cloud.wait_no_file(before)
        user.wait_usage(used(1, 1))
        user.deleted(user.api.volumes, volume)
        assert not cloud.left(volume)
