# SPDX-License-Identifier: Apache-2.0
"""Files in a directory of images that no image has made."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from drivers.image.directory import DirectoryImages
from drivers.interface.errors import ImageCopyFailure
from tests.hostile.images.conftest import MIB


def replace(path: Path, kind: str, secret: Path) -> None:
    path.unlink()
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()


def outcome(call: Any) -> BaseException | None:
    """Return the error of a call, which ends soon."""
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            found.append(None)
        except ImageCopyFailure as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert found, "the call waits"
    return found[0]


@pytest.mark.parametrize("part", ["", ".json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "endless", "directory"])
def test_a_file_that_is_none_of_an_image(
    images: DirectoryImages, tmp_path: Path, kind: str, part: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"status": "active", "name": "SECRET"}')
    image = images.create(None, {"disk_format": "raw"}, iter([b"data"]))["id"]
    replace(tmp_path / "images" / f"{image}{part}", kind, secret)

    assert outcome(lambda: list(images.download(None, image) or ()))
    assert outcome(lambda: list(images.download_sparse(None, image)))
    if part:
        assert "SECRET" not in str(outcome(lambda: images.show(None, image)))


@pytest.mark.parametrize(
    "record", [b" " * 5 * MIB, b"[" * 100_000, b"[1]", b"7", b"null", b'"x"', b"\xff", b""]
)
def test_a_record_that_is_none(images: DirectoryImages, tmp_path: Path, record: bytes) -> None:
    image = images.create(None, {"disk_format": "raw"}, iter([b"data"]))["id"]
    (tmp_path / "images" / f"{image}.json").write_bytes(record)

    with pytest.raises(ImageCopyFailure, match="cannot be looked at"):
        images.show(None, image)
