# SPDX-License-Identifier: Apache-2.0
"""The image service of drivers that copy images: data that is not as described does not pass."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.image.directory import DirectoryImages
from drivers.image.pieces import Hole
from drivers.image.verification.checked_images import CheckedImages
from drivers.interface.errors import ImageCopyFailure, ImageError, ImageUnacceptable

DATA = b"disk" * 1024


@pytest.fixture
def images(tmp_path: Path) -> DirectoryImages:
    return DirectoryImages(SimpleNamespace(image_directory=str(tmp_path)))


def read(images: Any, image_id: str, into_file: bool) -> bytes:
    if not into_file:
        return b"".join(images.download(None, image_id))
    file = io.BytesIO()
    assert images.download(None, image_id, file) is None
    return file.getvalue()


@pytest.mark.parametrize("into_file", [True, False])
def test_all_data_arrives(images: DirectoryImages, into_file: bool) -> None:
    checked = CheckedImages(images)
    image = checked.create(None, {"disk_format": "raw"}, io.BytesIO(DATA))

    assert read(checked, image["id"], into_file) == DATA


def test_holes_arrive_as_zeros(images: DirectoryImages) -> None:
    image = images.create(None, {"disk_format": "raw"})
    images.upload_sparse(None, image["id"], iter([DATA, Hole(7), DATA]))

    assert read(CheckedImages(images), image["id"], False) == DATA + bytes(7) + DATA


@pytest.mark.parametrize("into_file", [True, False])
@pytest.mark.parametrize(
    ("data", "error"),
    [(b"Disk" * 1024, ImageCopyFailure), (DATA[:-1], ImageError), (b"QFI\xfb", ImageUnacceptable)],
)
def test_other_data_is_an_error(
    images: DirectoryImages, tmp_path: Path, into_file: bool, data: bytes, error: type[Exception]
) -> None:
    image = images.create(None, {"disk_format": "raw"}, io.BytesIO(DATA))
    (tmp_path / image["id"]).write_bytes(data)

    with pytest.raises(error):
        read(CheckedImages(images), image["id"], into_file)
