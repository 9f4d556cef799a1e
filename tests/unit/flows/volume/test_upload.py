# SPDX-License-Identifier: Apache-2.0
"""An upload writes and deletes an image of the caller's project only, in the right store."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import ImageLimitExceeded
from flows.volume import upload
from tests.unit.flows.world.images import IMAGE
from tests.unit.flows.world.world import World

ARGS = {"volume_id": "v1", "image_meta": {"id": "i2"}}


def prepared(world: World, **facts: Any) -> dict[str, dict[str, Any]]:
    """Return the images of the service, one of which is to be written."""
    world.add_volume(status="uploading")
    images: dict[str, dict[str, Any]] = world.images.service.images
    images["i2"] = {**IMAGE, "id": "i2", "status": "queued", **facts}
    return images


@pytest.mark.parametrize("status", ["queued", "saving"])
def test_a_foreign_image_is_neither_written_nor_deleted(world: World, status: str) -> None:
    images = prepared(world, owner="another", status=status)
    before = dict(images["i2"])

    assert world.run(upload.flow, **ARGS).state == "failed"
    assert images["i2"] == before
    assert world.volume()["status"] == "available"


@pytest.mark.parametrize("owner", [{}, {"owner": None}, {"owner": "p"}])
def test_an_image_of_the_project_is_written(world: World, owner: dict[str, Any]) -> None:
    images = prepared(world, **owner)

    assert world.run(upload.flow, **ARGS).state == "done"
    assert images["i2"]["status"] == "active"


def test_an_image_of_the_project_goes_when_the_upload_fails(world: World) -> None:
    images = prepared(world, owner="p")
    world.images.plan["store"] = OSError("disk")
    world.driver.plan["copy_volume_to_image"] = OSError("disk")

    assert world.run(upload.flow, **ARGS).state == "failed"
    assert "i2" not in images


@pytest.mark.parametrize(
    ("spec", "image", "placement"),
    [
        (None, None, {}),
        ("fast", None, {"store_id": "fast"}),
        (None, "i0", {"base_image_ref": "i0"}),
        ("fast", "i0", {"store_id": "fast", "base_image_ref": "i0"}),
    ],
)
def test_the_store_and_the_first_image_are_passed_on(
    world: World, spec: str | None, image: str | None, placement: dict[str, str]
) -> None:
    prepared(world)
    world.db.types["t1"] = {"extra_specs": {"image_service:store_id": spec} if spec else {}}
    world.db.pairs["image", "v1"] = {"image_id": image} if image else {}

    assert world.run(upload.flow, **ARGS).state == "done"
    assert world.images.placements == [placement]


def test_a_volume_without_a_type_has_no_store(world: World) -> None:
    prepared(world)
    world.volume()["volume_type_id"] = None

    assert world.run(upload.flow, **ARGS).state == "done"
    assert world.images.placements == [{}]


def test_a_limit_of_the_image_service_is_a_message_of_its_own(world: World) -> None:
    prepared(world)
    world.images.plan["store"] = ImageLimitExceeded("413")

    assert world.run(upload.flow, **ARGS).state == "failed"
    assert world.messaged() == [("003", "006")]
