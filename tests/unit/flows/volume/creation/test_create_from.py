# SPDX-License-Identifier: Apache-2.0
"""Creating a volume from something: spec/volume-rpc, create_volume, the kinds."""

from __future__ import annotations

from typing import Any

import pytest

from flows import errors
from flows.volume import create
from tests.unit.flows.world.world import HOST, World

SPEC = {"volume_id": "v1"}
RETRY = {"retry": {"num_attempts": 1, "hosts": [HOST]}, "other": 1}


def run(world: World, spec: Any = None, properties: Any = None, allow: bool = True) -> Any:
    return world.run(
        create.flow,
        volume_id="v1",
        request_spec=spec,
        filter_properties=properties,
        allow_reschedule=allow,
    )


@pytest.fixture
def new(world: World) -> World:
    world.add_volume(status="creating", made=False)
    return world


class TestSources:
    """The kinds, from the row first."""

    def test_from_a_snapshot(self, world: World) -> None:
        world.add_volume("v0", bootable=True)
        world.add_snapshot(volume_id="v0")
        world.db.pairs["image", "s1"] = {"os": "linux"}
        world.add_volume(status="creating", made=False, snapshot_id="s1", size=3)

        run(world)

        (call,) = world.driver.called("create_volume_from_snapshot")
        assert (call["volume"].size, call["snapshot"].id) == (3, "s1")
        assert world.volume()["status"] == "available"
        assert world.volume()["bootable"] is True
        assert world.db.pairs["image", "v1"] == {"os": "linux"}

    def test_a_clone(self, world: World) -> None:
        world.add_volume("v0", status="in-use")
        world.add_volume(status="creating", made=False, source_volid="v0")

        run(world)

        (call,) = world.driver.called("create_cloned_volume")
        assert call["source"].id == "v0"
        assert world.volume()["status"] == "available"
        assert world.volume()["bootable"] is None
        assert world.volume("v0")["status"] == "in-use"

    def test_a_driver_without_clones_clones_through_a_snapshot(self, world: World) -> None:
        world.add_volume("v0", provider_location="original", provider_id="original")
        world.add_volume(status="creating", made=False, source_volid="v0")
        world.driver.missing.add("create_cloned_volume")
        world.driver.plan["create_snapshot"] = {"provider_id": "moment"}

        run(world)

        (call,) = world.driver.called("create_volume_from_snapshot")
        assert call["snapshot"].provider_id == "moment"
        assert call["snapshot"].volume.id == "v0"
        for call in world.driver.called("delete_snapshot"):
            assert call["snapshot"].provider_location is None
        assert world.driver.objects == {"volume-v0", "volume-v1"}

    @pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
    def test_a_source_that_is_gone(self, world: World, source: str) -> None:
        world.add_volume(status="creating", made=False, **{source: "gone"})

        run(world, SPEC, RETRY)

        assert world.volume()["status"] == "error"
        assert world.driver.objects == set()

    @pytest.mark.parametrize("source", ["snapshot_id", "source_volid"])
    def test_a_volume_smaller_than_its_source_is_refused(self, world: World, source: str) -> None:
        world.add_volume("v0", size=5)
        world.add_snapshot("v0", volume_id="v0", volume_size=5)
        world.add_volume(status="creating", made=False, **{source: "v0"})

        outcome = run(world)

        assert outcome.failure.check(errors.InvalidInput)
        assert world.volume()["status"] == "error"

    @pytest.mark.parametrize("kind", ["image_id", "backup_id"])
    @pytest.mark.parametrize("sent", ["plain", "object"])
    def test_a_source_that_we_cannot_read_gives_no_empty_volume(
        self, new: World, kind: str, sent: str
    ) -> None:
        spec = {**SPEC, kind: "i1"}

        run(new, spec if sent == "plain" else {"versioned_object.data": spec}, RETRY)

        assert new.volume()["status"] == "error"
        assert new.driver.called("create_volume") == []

    def test_image_metadata_that_cannot_be_copied_ends_in_error(self, world: World) -> None:
        world.add_volume("v0", bootable=True)
        world.add_volume(status="creating", made=False, source_volid="v0")
        world.db.image_metadata_fails = True

        outcome = run(world, SPEC, RETRY)

        assert outcome.failure.check(errors.MetadataCopyFailure)
        assert world.volume()["status"] == "error"
        assert world.driver.objects == {"volume-v0"}
        assert world.scheduler.calls == []
