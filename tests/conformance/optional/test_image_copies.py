# SPDX-License-Identifier: Apache-2.0
"""Images that become volumes, and volumes that become images. Source: seeds, VolumeDriverCore."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from drivers.interface.errors import DriverError, ImageError
from drivers.interface.image import ImageStatus
from drivers.interface.volume import VolumeDriver

from ..checks import outside
from ..checks.outside import ABSOLUTE
from ..test_volumes import GIB, is_update

DATA = b"image" * 50_000


class Images:
    """An image service in memory, with the methods that drivers call."""

    def __init__(self, **data):
        self.data = dict(data)
        self.meta = {}

    def show(self, context, image_id):
        if image_id not in self.data:
            raise ImageError(f"image {image_id} is absent")
        known = {"id": image_id, "name": "n", "disk_format": "raw", "container_format": "bare"}
        size = len(self.data[image_id])
        state = {"status": ImageStatus.ACTIVE, "size": size, "properties": {}, "min_disk": 0}
        return {**known, **state, **self.meta.get(image_id, {})}

    def download(self, context, image_id, data=None):
        self.show(context, image_id)
        if data is None:
            return iter([self.data[image_id]])
        data.write(self.data[image_id])
        return None

    def update(self, context, image_id, image_meta, data=None, **_):
        if data is not None:
            read = getattr(data, "read", None)
            chunks = iter(lambda: read(65536), b"") if read else data
            self.data[image_id] = b"".join(bytes(chunk).rstrip(b"\0") for chunk in chunks)
        return self.show(None, image_id)

    def get_location(self, context, image_id):
        return None, None


def announced(driver, method):
    if method not in vars(type(driver)) and getattr(type(driver), method) is getattr(
        VolumeDriver, method
    ):
        pytest.skip(f"{type(driver).__name__} does not announce {method}")


class TestCloneImage:
    """Create a volume from an image without copying its data."""

    @pytest.mark.parametrize(
        "locations",
        [
            (None, None),
            (None, []),
            ("nowhere://image", None),
            (f"file://{ABSOLUTE}", [{"url": f"file://{ABSOLUTE}", "metadata": {}}]),
            (None, [{"url": "rbd://fsid/pool/image/snap", "metadata": {}}]),
        ],
        ids=outside.shown,
    )
    def test_unknown_location_is_not_cloned(self, backend, driver, locations):
        Path(ABSOLUTE).write_bytes(DATA)  # which a driver may not give to a user
        backend.open(backend.connect(backend.created()))
        volume, image = backend.volume(), {"id": "image", "disk_format": "raw"}
        first = next(iter(inspect.signature(driver.clone_image).parameters))

        if first == "context":
            answer = driver.clone_image(backend.context, volume, locations, image, Images())
        else:
            answer = driver.clone_image(volume, locations, "image", image, Images())

        assert answer in (None, (None, False), ({}, False))
        with pytest.raises(DriverError):
            driver.extend_volume(volume, 2)


class TestCopyImageToVolume:
    """Fetch the image from the image service and write it to a volume that exists."""

    def test_data_is_that_of_the_image(self, backend, driver):
        announced(driver, "copy_image_to_volume")
        volume = backend.created()

        answer = driver.copy_image_to_volume(backend.context, volume, Images(one=DATA), "one")

        assert is_update(answer, volume)
        assert backend.read(volume, 0, len(DATA)) == DATA
        assert backend.size(volume) == GIB

    def test_nothing_old_is_behind_it_and_it_can_be_repeated(self, backend, driver):
        announced(driver, "copy_image_to_volume")
        volume = backend.created()
        backend.write(volume, GIB - 4096, b"old data")

        for _ in range(2):
            driver.copy_image_to_volume(backend.context, volume, Images(one=DATA), "one")

        assert backend.read(volume, 0, len(DATA)) == DATA
        assert backend.read(volume, GIB - 4096, 8) == bytes(8)

    def test_absent_image_is_an_error(self, backend, driver):
        announced(driver, "copy_image_to_volume")
        with pytest.raises(DriverError):
            driver.copy_image_to_volume(backend.context, backend.created(), Images(), "absent")


class TestCopyVolumeToImage:
    """Copy the volume to the image."""

    def test_image_has_the_data_and_the_volume_stays(self, backend, driver):
        announced(driver, "copy_volume_to_image")
        volume, images = backend.created(), Images(one=b"")
        backend.write(volume, 0, DATA)
        meta = {"id": "one", "disk_format": "raw", "container_format": "bare"}

        answer = driver.copy_volume_to_image(backend.context, volume, images, meta)

        assert is_update(answer, volume)
        assert images.data["one"].startswith(DATA)
        assert backend.read(volume, 0, len(DATA)) == DATA

    def test_absent_volume_is_an_error(self, backend, driver):
        announced(driver, "copy_volume_to_image")
        meta = {"id": "one", "disk_format": "raw", "container_format": "bare"}
        with pytest.raises(DriverError):
            driver.copy_volume_to_image(backend.context, backend.volume(), Images(one=b""), meta)


@pytest.mark.parametrize("method", ["copy_image_to_volume", "copy_volume_to_image"])
def test_an_image_copy_that_is_not_announced_says_so(backend, driver, method):
    if getattr(type(driver), method) is not getattr(VolumeDriver, method):
        pytest.skip(f"{type(driver).__name__} announces {method}")

    with pytest.raises(NotImplementedError):
        getattr(driver, method)(backend.context, backend.created(), None, {})
