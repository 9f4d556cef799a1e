# SPDX-License-Identifier: Apache-2.0
"""Records of images: sizes, properties and places that tenants or a broken server choose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.image.directory import DirectoryImages
from drivers.interface.errors import ImageCopyFailure, ImageUnacceptable
from drivers.volume.optional import image_clone
from flows.image import facts
from flows.volume import create_from_image, reimage
from tests.unit.flows.world.images import IMAGE
from tests.unit.flows.world.world import HOST, World

CREATE = {
    "volume_id": "v1",
    "request_spec": {"volume_id": "v1"},
    "filter_properties": {"retry": {"num_attempts": 1, "hosts": [HOST]}},
    "allow_reschedule": True,
    "image_id": "i1",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_volume(status="creating", made=False)
    yield made


def create(world: World, answer: Any) -> Any:
    """Create a volume from an image with a record."""
    world.images.service.show = lambda *_: answer  # type: ignore[method-assign]
    return world.run(create_from_image.flow, **CREATE)


def require_refused(world: World, outcome: Any, kind: type[Exception]) -> None:
    """Require an error of the image: nothing was made, and no other backend tries it again."""
    assert outcome.failure.check(kind), outcome.failure
    assert len(str(outcome.failure)) < 4200  # cut, whatever the record has
    assert world.volume()["status"] == "error"
    assert world.driver.objects == set()
    assert world.scheduler.calls == []


@pytest.mark.parametrize("name", ["size", "virtual_size", "min_disk"])
@pytest.mark.parametrize("value", [1 << 63, 10**30, -1, True, "7", 1.5, float("inf"), [1], {}])
def test_a_size_that_is_none_or_too_large(world: World, name: str, value: Any) -> None:
    require_refused(world, create(world, {**IMAGE, name: value}), ImageUnacceptable)


@pytest.mark.parametrize(
    "answer",
    [None, [], "image", {}, {**IMAGE, "id": "i2"}, {**IMAGE, "id": "../i1"}, {**IMAGE, "id": None}],
    ids=repr,
)
def test_an_answer_that_is_no_record_of_the_image(world: World, answer: Any) -> None:
    require_refused(world, create(world, answer), ImageCopyFailure)


def test_properties_that_are_no_mapping(world: World) -> None:
    require_refused(world, create(world, {**IMAGE, "properties": ["a"]}), ImageCopyFailure)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disk_format", "aki"),
        ("disk_format", "qed"),
        ("disk_format", "luks"),
        ("disk_format", "../../raw"),
        ("disk_format", ["raw"]),
        ("disk_format", "x" * 2**20),
        ("container_format", "ova"),
        ("container_format", "ami"),
        ("container_format", "compressed"),
        ("container_format", ["bare"]),
        ("container_format", "x" * 2**20),
        ("status", "queued"),
        ("status", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_formats_that_are_not_read(world: World, name: str, value: Any) -> None:
    require_refused(world, create(world, {**IMAGE, name: value}), ImageUnacceptable)


def test_a_reimage_is_refused_in_the_same_way(world: World) -> None:
    world.add_volume("v2", status="downloading", previous_status="available")
    world.images.service.images["i1"]["virtual_size"] = 1 << 63
    before = world.driver.calls[:]

    outcome = world.run(reimage.flow, volume_id="v2", image_meta={"id": "i1"}, snapshot_id=None)

    assert outcome.failure.check(ImageUnacceptable)
    assert world.driver.calls == before


def test_a_property_forges_no_field_of_the_image() -> None:
    forged = dict.fromkeys(
        ("image_id", "image_name", "checksum", "size", "disk_format", facts.VERIFIED), "forged"
    )
    image = {**IMAGE, "checksum": None, "properties": {**forged, "os": "linux"}}

    kept = facts.glance_metadata(image, {})

    assert (kept["image_id"], kept["image_name"], kept["os"]) == ("i1", "linux", "linux")
    assert facts.VERIFIED not in kept
    assert "forged" not in kept.values()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory of images, of which ``i2`` and what is beside it are not the tenant's."""
    (tmp_path / "shared").mkdir()
    for name in ("shared/i1", "shared/i2", "secret"):
        (tmp_path / name).write_bytes(b"x" * 512)
    return tmp_path / "shared"


def clone(shared: Path, locations: Any) -> list[str]:
    """Return the files of which a volume would share the data."""
    used: list[str] = []

    def share(fd: int, name: str, size: int) -> bool:
        used.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        return True

    files: Any = SimpleNamespace(share=share)
    done = image_clone.clone(files, shared, locations, IMAGE, "volume-v1", 1 << 30)
    assert done == bool(used)
    return used


@pytest.mark.parametrize(
    "url",
    [
        "file://{images}/i2",
        "file://{images}/../secret",
        "file://{images}/../shared/i2",
        "file://{images}/%2e%2e/secret",
        "file://{images}/i1%00",
        "file://{images}/i1/../i2",
        "file:///etc/passwd",
        "file://[",
        "cinder://1d1f4b1a-0d09-4a3e-8a3f-0c2a3b0a4f00",
        "cinder://other-store/1d1f4b1a-0d09-4a3e-8a3f-0c2a3b0a4f00",
        "http://169.254.169.254/latest",
        "rbd://a/b/c/d",
        "x" * 2**20,
    ],
    ids=lambda url: url[:40],
)
def test_a_place_that_is_not_this_image_is_not_cloned(shared: Path, url: str) -> None:
    place = url.replace("{images}", str(shared))

    assert clone(shared, (place, None)) == []
    assert clone(shared, (None, [{"url": place, "metadata": {}}])) == []


@pytest.mark.parametrize(
    "further", ["file:///i1", 7, {"url": "x"}, ["x"], [None], [{}], [{"url": 7}]]
)
def test_places_of_wrong_kinds_are_not_cloned(shared: Path, further: Any) -> None:
    assert clone(shared, (None, further)) == []
    assert clone(shared, ((shared / "i1").as_uri(), further)) == ["i1"]


@pytest.mark.parametrize("text", ["[]", "7", '"a"', "{", "[" * 100_000, "{}", '{"status": []}'])
def test_a_file_beside_an_image_that_is_no_record(tmp_path: Path, text: str) -> None:
    images = DirectoryImages(SimpleNamespace(image_directory=str(tmp_path)))
    (tmp_path / "i1.json").write_text(text)
    world = World(tmp_path)
    world.add_volume(status="creating", made=False)
    world.images.service = images  # type: ignore[assignment]

    require_refused(world, world.run(create_from_image.flow, **CREATE), ImageCopyFailure)
