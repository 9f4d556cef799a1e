# SPDX-License-Identifier: Apache-2.0
"""Images in a directory, which are written into a volume that is full of old data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.image.directory import DirectoryImages
from drivers.image.image_transfer import ImageTransport
from drivers.image.qemu_img import ConversionLimits
from drivers.interface.pace import Pace

MIB = 1024**2
SIZE = 32 * MIB
"""Of the volume, in bytes."""


@pytest.fixture
def images(tmp_path: Path) -> DirectoryImages:
    return DirectoryImages(SimpleNamespace(image_directory=str(tmp_path / "images")))


@pytest.fixture
def transport(images: DirectoryImages, tmp_path: Path) -> ImageTransport:
    return ImageTransport(images, tmp_path / "conversion", ConversionLimits())


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.write_bytes(b"old!" * (SIZE // 4))
    return path


@pytest.fixture
def fetch(
    images: DirectoryImages, transport: ImageTransport, volume: Path, tmp_path: Path
) -> Callable[..., None]:
    """A function that writes data, as an image of a format, into the volume."""

    def fetch(data: Path | bytes, disk_format: str, **known: Any) -> None:
        if isinstance(data, bytes):
            (tmp_path / "data").write_bytes(data)
            data = tmp_path / "data"
        with data.open("rb") as file:
            image = images.create(None, {"disk_format": disk_format}, file)
        with volume.open("r+b", buffering=0) as file:
            transport.fetch(None, {**image, **known}, file, SIZE, "v1", Pace())

    return fetch
