# SPDX-License-Identifier: Apache-2.0
"""Volumes of images through the image-volume cache: hits, misses, limits, failures."""

from __future__ import annotations

import dataclasses
import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.interface.errors import (
    ImageUnacceptable,
    SnapshotLimitExceeded,
    VolumeBackendAPIException,
)
from flows import errors
from flows.context import ImageCacheOptions
from flows.volume.image_cache import create, evict
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import HOST, World

ARGS: dict[str, Any] = {"request_spec": None, "filter_properties": None, "allow_reschedule": True}
ARGS |= {"volume_id": "v1", "image_id": "i1"}
CHANGED = "2026-07-01T10:00:00Z"
VERSION = datetime.datetime(2026, 7, 1, 10)


@pytest.fixture
def cloud(world: World) -> World:
    """A world with a cache, an image that is as large as a GiB, and a volume to be made."""
    limit(world)
    world.images.service.images["i1"] |= {"updated_at": CHANGED}
    world.add_volume(status="creating", made=False, size=2)
    return world


def limit(world: World, project: str = "internal", **limits: int) -> None:
    cache = ImageCacheOptions(project, "internal", **limits)
    world.options = dataclasses.replace(world.options, image_cache=cache)


def cached(world: World, volume_id: str, **columns: Any) -> str:
    """Add a volume of the cache."""
    columns = {"image_updated_at": VERSION, **columns}
    place = {"host": columns.pop("host", HOST), "status": columns.pop("status", "available")}
    world.add_volume(volume_id, size=columns.pop("size", 1), project_id="internal", **place)
    world.cache(volume_id, **columns)
    return volume_id


def run(world: World, **args: Any) -> str:
    """Create the volume; return how it got its data."""
    outcome = world.run(create.flow, **{**ARGS, **args})
    assert outcome.state == "done", outcome.failure
    volume = world.volume(args.get("volume_id", "v1"))
    assert (volume["status"], volume["bootable"]) == ("available", True)
    assert not world.db.quota.open
    calls = [name for name, details in world.driver.calls if details.get("volume")]
    return "clone" if "create_cloned_volume" in calls else "copy"


def entries(world: World) -> list[tuple[str, str]]:
    return [(entry["image_id"], entry["volume_id"]) for entry in world.db.image_cache]


def test_the_header_of_an_image_is_looked_at_before_a_volume_of_it_is_made(cloud: World) -> None:
    cloud.images.plan["check_begin"] = ImageUnacceptable("holds a disk of 9 GiB")

    outcome = cloud.run(create.flow, **ARGS)

    assert outcome.failure.check(ImageUnacceptable)
    assert cloud.images.looked_at == [("i1", 1 << 30), ("i1", 2 << 30)]  # the cache's volume first
    assert cloud.driver.called("create_volume") == []
    assert not cloud.db.quota.open


def notices(world: World) -> list[tuple[str, str, str]]:
    found = [args[1:] for kind, args, _ in world.notifier.calls if kind == "image_cache"]
    return [one for one in found if one[0] != "evict"]


class TestHits:
    def test_the_volume_is_cloned(self, cloud: World) -> None:
        cached(cloud, "v0")
        cloud.db.pairs["image", "v0"] = {"signature_verified": "False"}

        assert run(cloud) == "clone"
        assert notices(cloud) == [("hit", "i1", HOST)]
        assert cloud.db.pairs["image", "v1"]["image_id"] == "i1"
        assert cloud.db.pairs["image", "v1"]["signature_verified"] == "False"

    @pytest.mark.parametrize(("known", "way"), [("True", "clone"), ("False", "copy")])
    def test_a_signed_image_is_cloned_only_from_verified_data(
        self, cloud: World, known: str, way: str
    ) -> None:
        cached(cloud, "v0")
        cloud.db.pairs["image", "v0"] = {"signature_verified": known}
        cloud.options = dataclasses.replace(cloud.options, verify_signatures=True)
        names = ("", "_hash_method", "_key_type", "_certificate_uuid")
        cloud.images.service.images["i1"]["properties"] = {f"img_signature{n}": "x" for n in names}
        cloud.images.check = SimpleNamespace(require_right=lambda: None)

        assert run(cloud) == way
        assert cloud.db.pairs["image", "v1"]["signature_verified"] == "True"

    def test_a_driver_that_clones_the_image_itself_comes_first(self, cloud: World) -> None:
        cached(cloud, "v0")
        cloud.driver.plan["clone_image"] = ({}, True)

        assert run(cloud) == "copy"
        assert notices(cloud) == []
        assert cloud.driver.called("create_volume") == []

    def test_the_one_that_was_used_last_is_cloned_and_becomes_the_last(self, cloud: World) -> None:
        for number in (1, 2):
            cached(cloud, f"c{number}")
        cached(cloud, "c3", image_id="i3")

        assert run(cloud) == "clone"
        [clone] = cloud.driver.called("create_cloned_volume")
        assert clone["source"].id == "c2"
        assert entries(cloud)[-1] == ("i1", "c2")

    @pytest.mark.parametrize("across", [True, False])
    def test_another_pool_counts_where_the_driver_says_so(self, cloud: World, across: bool) -> None:
        cloud.stats["clone_across_pools"] = across
        cached(cloud, "v0", host="node@backend#other")
        cached(cloud, "v9", host="elsewhere@backend#other")

        run(cloud)

        [clone] = cloud.driver.called("create_cloned_volume")
        assert (clone["source"].id == "v0") == across

    def test_an_entry_follows_its_volume(self, cloud: World) -> None:
        cached(cloud, "v0")
        cloud.volume("v0")["host"] = "elsewhere@backend#pool"

        run(cloud)

        [clone] = cloud.driver.called("create_cloned_volume")
        assert clone["source"].id == "image-1"

    @pytest.mark.parametrize("status", ["error", "deleting", "in-use", "deleted"])
    def test_an_entry_without_a_usable_volume_is_removed(self, cloud: World, status: str) -> None:
        cached(cloud, "v0", status=status)
        cloud.volume("v0")["deleted"] = status == "deleted"

        run(cloud)

        assert entries(cloud) == [("i1", "image-1")]
        assert cloud.volume("v0")["status"] == status

    def test_an_entry_of_an_earlier_version_is_evicted(self, cloud: World) -> None:
        cached(cloud, "v0", image_updated_at=datetime.datetime(2025, 1, 1))

        run(cloud)

        assert cloud.volume("v0")["deleted"]
        assert entries(cloud) == [("i1", "image-1")]

    def test_a_smaller_volume_is_not_cloned(self, cloud: World) -> None:
        cached(cloud, "v0", size=3)

        assert run(cloud) == "copy"

    def test_an_encrypted_volume_is_not_cloned(self, cloud: World) -> None:
        cached(cloud, "v0")
        cloud.volume().update(encryption_key_id="key", volume_type_id="t1")
        cloud.db.types["t1"] = {"name": "luks", "encryption": {"provider": "luks"}}
        cloud.driver.copy_image_to_volume = lambda *_args, **_named: None  # type: ignore[method-assign]

        assert run(cloud) == "copy"


class TestMisses:
    def test_the_image_is_read_into_the_cache_and_the_volume_cloned(self, cloud: World) -> None:
        assert run(cloud) == "clone"

        image = cloud.volume("image-1")
        assert (image["status"], image["size"], image["use_quota"]) == ("available", 1, True)
        assert (image["project_id"], image["display_name"]) == ("internal", "image-i1")
        assert cloud.db.pairs["admin_metadata", "image-1"] == {"readonly": "True"}
        assert entries(cloud) == [("i1", "image-1")]
        assert cloud.db.image_cache[0]["image_updated_at"] == VERSION
        assert notices(cloud) == [("miss", "i1", HOST)]
        assert cloud.db.quota.used == {"volumes": 2, "gigabytes": 3, "snapshots": 0}

    def test_the_least_recently_used_of_the_pool_are_evicted(self, cloud: World) -> None:
        limit(cloud, max_count=2, max_gib=3)
        for number, size in enumerate((1, 2, 1), 1):
            cached(cloud, f"c{number}", image_id=f"i{number + 1}", size=size)
        cached(cloud, "c9", host="elsewhere@backend#pool", image_id="i9")

        assert run(cloud) == "clone"
        assert entries(cloud)[-2:] == [("i9", "c9"), ("i1", "image-1")]
        assert [cloud.volume(f"c{n}")["deleted"] for n in (1, 2, 3, 9)] == [
            True,
            True,
            False,
            False,
        ]

    def test_an_image_larger_than_the_cache_does_not_come_into_it(self, cloud: World) -> None:
        limit(cloud, max_gib=1)
        cached(cloud, "c1", image_id="i2")
        cloud.images.service.images["i1"]["virtual_size"] = 2 << 30

        assert run(cloud) == "copy"
        assert entries(cloud) == [("i2", "c1")]

    def test_nor_one_whose_disk_has_an_unknown_size(self, cloud: World) -> None:
        cloud.images.service.images["i1"]["disk_format"] = "qcow2"

        assert run(cloud) == "copy"
        assert entries(cloud) == []

    def test_a_lack_of_quota_leaves_the_volume_untouched(self, cloud: World) -> None:
        limit(cloud, project="poor")

        assert run(cloud) == "copy"
        assert entries(cloud) == []
        assert cloud.volume("image-1")["deleted"]
        assert notices(cloud) == [("miss", "i1", HOST)]

    def test_a_failed_fill_leaves_nothing_and_the_volume_is_made(self, cloud: World) -> None:
        def fetch(key: str) -> None:
            if key == "image-1":
                raise OSError("no space")

        whole = cloud.images.fetch
        cloud.images.fetch = lambda *args: (fetch(args[4]), whole(*args))[1]  # type: ignore[method-assign]

        assert run(cloud) == "copy"
        assert cloud.volume("image-1")["deleted"]
        assert cloud.driver.objects == {"volume-v1"}

    def test_a_volume_that_cannot_be_removed_stays_in_error(self, cloud: World) -> None:
        whole = cloud.images.fetch

        def fetch(*args: Any) -> None:
            if args[4] == "image-1":
                cloud.driver.plan["delete_volume"] = lambda volume: (
                    VolumeBackendAPIException("stuck") if volume.id == "image-1" else None
                )
                raise OSError("no space")
            whole(*args)

        cloud.images.fetch = fetch  # type: ignore[method-assign]

        assert run(cloud) == "copy"
        assert cloud.volume("image-1")["status"] == "error"
        assert cloud.db.quota.used["volumes"] == 2

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_kill_when_the_fill_is_asked_for_loses_nothing(
        self, cloud: World, moment: str
    ) -> None:
        cloud.strike_at(4, moment)
        with pytest.raises(Killed):
            cloud.run(create.flow, **ARGS)
        assert cloud.effects[-1] == "operations.fill_image_cache"
        cloud.revive()

        assert run(cloud, resumed=True) == "clone"
        assert cloud.operations.fills == 1
        assert cloud.driver.objects == {"volume-v1", "volume-image-1"}


class TestClonesThatFail:
    @pytest.mark.parametrize("error", [VolumeBackendAPIException("full"), KeyError("bug")])
    def test_the_volume_is_made_of_the_image(self, cloud: World, error: Exception) -> None:
        cached(cloud, "v0")
        cloud.driver.plan["create_cloned_volume"] = error

        run(cloud)

        assert cloud.driver.called("create_volume")
        assert entries(cloud) == [("i1", "v0")]
        assert cloud.driver.objects == {"volume-v0", "volume-v1"}

    def test_a_volume_with_too_many_clones_is_evicted(self, cloud: World) -> None:
        cached(cloud, "v0")
        cloud.driver.plan["create_cloned_volume"] = SnapshotLimitExceeded("255 clones")

        run(cloud)

        assert entries(cloud) == []
        assert cloud.volume("v0")["deleted"]

    def test_a_driver_without_clones_makes_them_by_a_snapshot(self, cloud: World) -> None:
        cached(cloud, "v0")
        cloud.driver.missing.add("create_cloned_volume")

        run(cloud)

        assert cloud.driver.called("create_volume_from_snapshot")
        assert cloud.driver.objects == {"volume-v0", "volume-v1"}

    def test_a_volume_that_is_evicted_meanwhile_is_not_cloned(self, cloud: World) -> None:
        cached(cloud, "v0")
        locks = cloud.context().locks

        class Late:
            def volume(self, volume_id: str) -> Any:
                cloud.volume("v0")["status"] = "deleting"
                return locks.volume(volume_id)

        ctx = dataclasses.replace(cloud.context(), locks=Late())  # type: ignore[arg-type]
        assert cloud.run_in(cloud.journal, create.flow, ARGS, context=ctx).state == "done"
        assert cloud.driver.called("create_volume")


class TestEviction:
    args: dict[str, Any] = {"image_id": "i1", "unmanage_only": False, "cascade": False}

    def test_a_volume_in_use_stays(self, cloud: World) -> None:
        cached(cloud, "v0", status="in-use")

        outcome = cloud.run(evict.flow, volume_id="v0", **self.args)

        assert outcome.failure is not None
        assert outcome.failure.check(errors.StatusChanged)
        assert cloud.volume("v0")["status"] == "in-use"
        assert cloud.driver.calls == []
