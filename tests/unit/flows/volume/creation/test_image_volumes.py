# SPDX-License-Identifier: Apache-2.0
"""Volumes of images that Glance keeps in volumes: whose are cloned, and the reason for copies."""

from __future__ import annotations

import dataclasses
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from flows.volume import create_from_image
from flows.volume.image_cache import create as create_from_cache
from tests.unit.flows.world.world import HOST, World

SOURCE = "5d0a6a3e-1c1c-4f4d-9df5-2b7a8f3f2c11"
OTHER = "0f0b6c56-7a54-4a6b-8d63-7c6a0c1d7e22"
ARGS: dict[str, Any] = {"request_spec": None, "filter_properties": None, "allow_reschedule": True}
ARGS |= {"volume_id": "v1", "image_id": "i1"}
OWNER = "p"


@pytest.fixture
def cloud(world: World) -> World:
    """A world with an image whose data is in a volume, and a volume to be made of it."""
    world.options = dataclasses.replace(world.options, clone_image_volumes=True)
    world.images.service.images["i1"]["owner"] = OWNER
    world.images.service.locations = None, [{"url": f"cinder://fast/{SOURCE}", "metadata": {}}]
    world.add_volume("v1", status="creating", made=False, size=2)
    return world


def kept(world: World, volume_id: str = SOURCE, **columns: Any) -> None:
    """Add a volume that keeps the image."""
    consent = columns.pop("consent", OWNER)
    world.db.pairs["metadata", volume_id] = {"image_owner": consent} if consent else {}
    world.add_volume(volume_id, **{"size": 1, "project_id": "glance", **columns})


def run(world: World, factory: Any = create_from_image.flow) -> str | None:
    """Create the volume; return the volume that it is a clone of, None for a copy."""
    outcome = world.run(factory, **ARGS)
    assert outcome.state == "done", outcome.failure
    assert (world.volume("v1")["status"], world.volume("v1")["bootable"]) == ("available", True)
    assert world.db.pairs["image", "v1"]["image_id"] == "i1"
    clones = world.driver.called("create_cloned_volume")
    return clones[-1]["source"].id if clones and not world.driver.called("create_volume") else None


@pytest.mark.parametrize("factory", [create_from_image.flow, create_from_cache.flow])
@pytest.mark.parametrize("status", ["available", "in-use"])
def test_it_is_cloned(cloud: World, factory: Any, status: str) -> None:
    kept(cloud, status=status)

    assert run(cloud, factory) == SOURCE
    assert "signature_verified" not in cloud.db.pairs["image", "v1"]


@pytest.mark.parametrize(
    "locations",
    [
        (f"cinder://{SOURCE}", None),
        (None, [{"url": f"cinder://{SOURCE}"}]),
        (f"cinder://{OTHER}", [{"url": f"cinder://fast/{SOURCE}"}]),
        (None, ["rubbish", {"url": None}, {}, {"url": f"cinder://store/{SOURCE}"}]),
    ],
)
def test_each_form_of_a_location_is_understood(cloud: World, locations: Any) -> None:
    kept(cloud)
    cloud.images.service.locations = locations

    assert run(cloud) == SOURCE


@pytest.mark.parametrize(
    "url", [f"cinder://a/b/{SOURCE}", "cinder://", f"rbd://{SOURCE}", "cinder"]
)
def test_no_other_form_is(cloud: World, url: str) -> None:
    kept(cloud)
    cloud.images.service.locations = None, [{"url": url}]

    assert run(cloud) is None


def test_the_owner_of_the_image_may_own_the_volume(cloud: World) -> None:
    kept(cloud, consent=None, project_id=OWNER)

    assert run(cloud) == SOURCE


def test_the_first_one_here_is_cloned(cloud: World) -> None:
    kept(cloud, OTHER, host="elsewhere@backend#pool")
    kept(cloud)
    urls = [{"url": f"cinder://{one}"} for one in (OTHER, SOURCE)]
    cloud.images.service.locations = None, urls

    assert run(cloud) == SOURCE


@pytest.mark.parametrize("across", [True, False])
def test_another_pool_counts_where_the_driver_says_so(cloud: World, across: bool) -> None:
    cloud.stats["clone_across_pools"] = across
    kept(cloud, host="node@backend#other")

    assert run(cloud) == (SOURCE if across else None)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"consent": None}, "is of another project than the image"),
        ({"consent": "another"}, "is of another project than the image"),
        ({"host": "elsewhere@backend#pool"}, "is on elsewhere@backend#pool"),
        ({"status": "deleting"}, "is deleting"),
        ({"status": "error"}, "is error"),
        ({"encryption_key_id": "key"}, "is encrypted"),
        ({"size": 3}, "has 3 GiB, more than 2"),
    ],
)
def test_another_one_is_copied_and_the_log_has_the_reason(
    cloud: World, caplog: pytest.LogCaptureFixture, columns: dict[str, Any], reason: str
) -> None:
    caplog.set_level(logging.INFO)
    kept(cloud, **columns)

    assert run(cloud) is None
    assert "gets a copy of image i1, no clone: the driver does not clone" in caplog.text
    assert f"volume {SOURCE} of the image {reason}" in caplog.text


def test_an_image_without_an_owner_has_no_volume(cloud: World) -> None:
    kept(cloud, consent=None)
    cloud.images.service.images["i1"]["owner"] = None

    assert run(cloud) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda world: None, "does not exist here"),
        (
            lambda world: setattr(world.images.service, "locations", (None, [])),
            "no clone: the image service shows no location of it",
        ),
        (
            lambda world: setattr(
                world, "options", dataclasses.replace(world.options, clone_image_volumes=False)
            ),
            "cinder is not in allowed_direct_url_schemes",
        ),
        (
            lambda world: world.images.service.images["i1"].update(disk_format="qcow2"),
            "the disk format of the image is qcow2, not raw",
        ),
        (
            lambda world: setattr(
                world.images.service, "locations", ("rbd://user:secret@pool", None)
            ),
            "from its location (rbd)",
        ),
    ],
)
def test_the_log_has_the_reason_of_a_copy(
    cloud: World, caplog: pytest.LogCaptureFixture, change: Any, reason: str
) -> None:
    caplog.set_level(logging.INFO)
    change(cloud)

    assert run(cloud) is None
    assert reason in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "error", [VolumeBackendAPIException("full"), NotImplementedError(), KeyError("x")]
)
def test_a_clone_that_fails_leaves_nothing_and_the_image_is_copied(
    cloud: World, error: Exception
) -> None:
    kept(cloud)
    cloud.driver.plan["create_cloned_volume"] = error

    assert run(cloud) is None
    calls = [name for name, _details in cloud.driver.calls]
    assert calls.index("create_cloned_volume") < calls.index("delete_volume")
    assert calls.index("delete_volume") < calls.index("create_volume")


def test_a_signed_image_is_not_cloned_unverified(
    cloud: World, caplog: pytest.LogCaptureFixture
) -> None:
    kept(cloud)
    cloud.options = dataclasses.replace(cloud.options, verify_signatures=True)
    names = ("", "_hash_method", "_key_type", "_certificate_uuid")
    cloud.images.service.images["i1"]["properties"] = {f"img_signature{n}": "x" for n in names}

    cloud.images.check = SimpleNamespace(require_right=lambda: None)
    caplog.set_level(logging.INFO)

    assert run(cloud) is None
    assert "its signature is to be verified" in caplog.text
    assert cloud.driver.called("create_cloned_volume") == []


def test_the_driver_comes_first(cloud: World) -> None:
    kept(cloud)
    cloud.driver.plan["clone_image"] = ({}, True)

    run(cloud)

    assert cloud.driver.called("create_cloned_volume") == []


def test_a_volume_that_is_deleted_meanwhile_is_not_cloned(cloud: World) -> None:
    kept(cloud)
    locks = cloud.context().locks

    class Late:
        def volume(self, volume_id: str) -> Any:
            cloud.volume(volume_id)["status"] = "deleting"
            return locks.volume(volume_id)

    ctx = dataclasses.replace(cloud.context(), locks=Late())  # type: ignore[arg-type]
    assert cloud.run_in(cloud.journal, create_from_image.flow, ARGS, context=ctx).state == "done"
    assert cloud.driver.called("create_volume")
    assert cloud.volume("v1")["host"] == HOST


class TestTheLock:
    @pytest.fixture
    def locked(self, cloud: World) -> list[str]:
        """Run the creation; return the volumes that were locked."""
        found: list[str] = []
        locks = cloud.context().locks

        class Noting:
            def volume(self, volume_id: str) -> Any:
                found.append(volume_id)
                return locks.volume(volume_id)

        self.locks = Noting()
        return found

    def run(self, cloud: World, **args: Any) -> bool:
        """Create the volume; return whether it was copied."""
        ctx = dataclasses.replace(cloud.context(), locks=self.locks)  # type: ignore[arg-type]
        asked = {**ARGS, **args}
        outcome = cloud.run_in(cloud.journal, create_from_image.flow, asked, context=ctx)
        assert outcome.state == "done", outcome.failure
        return not cloud.driver.called("create_cloned_volume")

    @pytest.mark.parametrize("columns", [{"consent": "another"}, {"status": "deleting"}])
    def test_is_not_waited_for_where_the_volume_is_not_cloned(
        self, cloud: World, locked: list[str], columns: dict[str, Any]
    ) -> None:
        kept(cloud, **columns)

        assert self.run(cloud)
        assert locked == []

    def test_is_not_that_of_the_new_volume(self, cloud: World, locked: list[str]) -> None:
        cloud.db.pairs["metadata", SOURCE] = {"image_owner": OWNER}
        cloud.add_volume(SOURCE, status="creating", made=False, size=2)

        assert self.run(cloud, volume_id=SOURCE)
        assert locked == []

    def test_is_held_for_a_clone(self, cloud: World, locked: list[str]) -> None:
        kept(cloud)

        assert not self.run(cloud)
        assert locked == [SOURCE]
