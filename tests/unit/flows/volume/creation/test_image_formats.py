# SPDX-License-Identifier: Apache-2.0
"""Formats that an operator allows, and packed images: spec/volume-rpc, create_volume."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from drivers.interface.errors import ImageConversionNotAllowed, ImageUnacceptable
from flows.context import Options
from flows.image import facts
from flows.volume import create_from_image
from tests.unit.flows.world.images import IMAGE
from tests.unit.flows.world.world import World


def create(world: World, options: Options, cloned: bool = True, **image: Any) -> Any:
    """Create a volume from an image.

    :param cloned: whether the driver can clone it.
    """
    world.options = options
    world.images.service.images["i1"] |= image
    world.driver.plan["clone_image"] = ({}, cloned)
    world.add_volume(status="creating", made=False)
    args = {"volume_id": "v1", "image_id": "i1", "request_spec": {"image_id": "i1"}}
    args |= {"filter_properties": {"retry": {"num_attempts": 1}}, "allow_reschedule": True}
    return world.run(create_from_image.flow, **args)


def test_a_packed_image_is_unpacked_and_never_cloned(world: World) -> None:
    options = Options(unpack_images=True, clone_image_volumes=True)

    assert create(world, options, container_format="compressed").state == "done"

    assert world.driver.called("clone_image") == []
    assert world.driver.called("create_volume") != []


@pytest.mark.parametrize(
    ("options", "image", "error", "detail"),
    [
        (Options(), {"container_format": "compressed"}, ImageUnacceptable, "001"),
        (Options(convert_images=False), {"disk_format": "iso"}, ImageConversionNotAllowed, "029"),
        (Options(convert_images=False), {"disk_format": "vmdk"}, ImageConversionNotAllowed, "029"),
    ],
)
def test_an_image_is_refused_before_its_volume_exists(
    world: World, options: Options, image: dict[str, str], error: type[Exception], detail: str
) -> None:
    outcome = create(world, options, **image)

    assert outcome.failure.check(error)
    assert world.volume()["status"] == "error"
    assert world.messaged() == [("005", detail)]
    assert world.driver.called("create_volume") == []


@pytest.mark.parametrize(
    ("image", "gib"),
    [
        ({"size": 1 << 30, "disk_format": "iso"}, 1),
        ({"size": 1 << 30, "disk_format": "vhd"}, None),
        ({"virtual_size": 1 << 31, "disk_format": "vhd"}, 2),
        ({"virtual_size": 1 << 30, "container_format": "compressed"}, None),
    ],
)
def test_the_size_of_a_disk(image: dict[str, Any], gib: int | None) -> None:
    assert facts.disk_gib({**IMAGE, **image}) == gib


def test_a_driver_that_copies_images_gets_checked_data(world: World) -> None:
    given: list[Any] = []
    checked = SimpleNamespace()
    world.images.for_driver = lambda _check: checked  # type: ignore[method-assign]
    world.driver.copy_image_to_volume = lambda *args: given.append(args[2])  # type: ignore[method-assign]
    clone = world.driver.clone_image

    def clone_image(*args: Any) -> Any:
        given.append(args[4])
        return clone(*args)

    world.driver.clone_image = clone_image  # type: ignore[method-assign]

    assert create(world, Options(), cloned=False).state == "done"

    assert given == [checked, checked]


def test_an_image_that_changes_between_two_steps_is_refused(world: World) -> None:
    images = world.images.service
    create_volume = world.driver.create_volume

    def change(volume: Any) -> Any:
        images.images["i1"]["min_disk"] = 1000
        return create_volume(volume)

    world.driver.create_volume = change  # type: ignore[method-assign]
    outcome = create(world, Options(), cloned=False)

    assert outcome.failure.check(ImageUnacceptable)
    assert world.driver.objects == set()


def test_an_image_whose_header_does_not_fit_is_refused_before_its_volume_exists(
    world: World,
) -> None:
    world.images.plan["check_begin"] = ImageUnacceptable("holds a disk of 9 GiB")

    outcome = create(world, Options(), cloned=False)

    assert outcome.failure.check(ImageUnacceptable)
    assert world.volume()["status"] == "error"
    assert world.messaged() == [("005", "001")]
    assert world.scheduler.calls == []
    assert world.driver.called("create_volume") == []
    assert world.images.looked_at == [("i1", world.volume()["size"] << 30)]


def test_a_clone_needs_no_look_at_the_header(world: World) -> None:
    assert create(world, Options(), cloned=True).state == "done"

    assert world.images.looked_at == []
